"""Which calls of a scene's tick are known, which have been tried, and which are to be tried next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tools.crash_matrix.calls import Point

if TYPE_CHECKING:
    from tools.crash_matrix.trial import Row

#: How often a call is looked for that ticks make at times, such as one more wait for a command that is slow.
_TRIES = 6
#: How often one is that every tick makes: strace may have counted otherwise in the tick from which it is known.
_MORE_TRIES = 40
#: How many points a trial is given at once; those that it does not come to are given to another.
_SHARE = 32

#: How many are tried and known: of the calls that change something and that each tick makes, of those that look, and
#: of all that a tick makes only at times.
Cell = list[int]
_CHANGES, _LOOKS, _AT_TIMES = range(3)


class Coverage:
    """The points of all scenes for one fault."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Point, list[int]]] = {}  # and what strace has counted
        self._absent: dict[str, set[Point]] = {}
        self._tried: dict[str, set[Point]] = {}
        self._tries: Counter[tuple[str, Point]] = Counter()
        self._busy: set[tuple[str, Point]] = set()

    def survey(self, scene: str, ticks: Sequence[Sequence[Point]]) -> None:
        """Get to know the points of a scene by some of its ticks."""
        for tick in ticks:
            self._add(scene, tick)
        self._absent[scene].update(*(self._known[scene].keys() - set(tick) for tick in ticks))

    def _add(self, scene: str, points: Iterable[Point]) -> None:
        known = self._known.setdefault(scene, {})
        self._tried.setdefault(scene, set())
        self._absent.setdefault(scene, set())
        for point in points:
            counted = known.setdefault(point, [])
            if point.when not in counted:
                counted.append(point.when)

    def take(self, most: int) -> tuple[str, list[Point]]:
        """Return points to be tried, of the scene that is least known; calls that change something come first."""
        for kind in (_CHANGES, _AT_TIMES, _LOOKS):
            left = {scene: self._left(scene, kind) for scene in self._known}
            scenes = [scene for scene, points in left.items() if points]
            if scenes:
                scene = min(scenes, key=self._progress)
                points = _spread(left[scene], min(most, _SHARE))
                self._busy |= {(scene, point) for point in points}
                return scene, [self._aim(scene, point) for point in points]
        return "", []

    def _aim(self, scene: str, point: Point) -> Point:
        """Return a point with what strace may count there: something else each time, if there is."""
        counted = self._known[scene][point]
        return replace(point, when=counted[self._tries[scene, point] % len(counted)])

    @property
    def urgent(self) -> bool:
        """Whether there are calls left that change something, and that every tick makes."""
        return any(self._left(scene, _CHANGES) for scene in self._known)

    @property
    def remains(self) -> bool:
        """Whether there is anything left to be tried, or to be waited for."""
        kinds = (_CHANGES, _AT_TIMES, _LOOKS)
        return bool(self._busy) or any(self._left(scene, kind) for scene in self._known for kind in kinds)

    def settle(self, scene: str, asked: Iterable[Point], row: Row) -> None:
        """Take in what came of points that were taken."""
        self._busy -= {(scene, point) for point in asked}
        found = [point for point in row.hits if point.touches]
        self._absent[scene] |= {*row.absent, *(point for point in found if point not in self._known[scene])}
        self._add(scene, found)
        self._tried[scene] |= set(found)
        self._tries.update((scene, point) for point in row.missed)

    def _left(self, scene: str, kind: int) -> list[Point]:
        most = _TRIES if kind == _AT_TIMES else _MORE_TRIES
        return [
            point
            for point in self._known[scene]
            if self._kind(scene, point) == kind
            and point not in self._tried[scene]
            and (scene, point) not in self._busy
            and self._tries[scene, point] < most
        ]

    def _kind(self, scene: str, point: Point) -> int:
        if point in self._absent[scene]:
            return _AT_TIMES
        return _CHANGES if point.changes else _LOOKS

    def _progress(self, scene: str) -> float:
        busy = sum(place == scene for place, _ in self._busy)
        return (len(self._tried[scene]) + busy) / len(self._known[scene])

    def cells(self) -> dict[str, dict[str, Cell]]:
        """Return how many points are tried and known, by the scene and by what they touch."""
        table: dict[str, dict[str, Cell]] = {}
        for scene, known in self._known.items():
            row = table.setdefault(scene, {})
            for point in known:
                cell = row.setdefault(point.touches, [0] * 6)
                first = 2 * self._kind(scene, point)
                cell[first] += point in self._tried[scene]
                cell[first + 1] += 1
        return table


def _spread(points: list[Point], count: int) -> list[Point]:
    """Return so many of them, from all over the list."""
    return points[:: -(-len(points) // count)] if points else []
