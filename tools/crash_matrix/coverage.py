"""Records which calls of a scene's tick are known and which were tried, and chooses the next ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tools.crash_matrix.calls import Point

if TYPE_CHECKING:
    from tools.crash_matrix.trial import Row

#: How often the matrix tries to hit a call that only some ticks make, such as one more wait for a slow command.
_TRIES = 6
#: How often it tries to hit a call that every tick makes. The count of strace may differ between two ticks.
_MORE_TRIES = 40
#: How many points one trial gets. Points that it does not reach are given to another trial.
_SHARE = 32

#: How many calls are tried and known, in three groups: changes that every tick makes, reads that every tick makes, and
#: calls that only some ticks make.
Cell = list[int]
_CHANGES, _LOOKS, _AT_TIMES = range(3)


class Coverage:
    """The points of all scenes for one fault."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Point, list[int]]] = {}  # with the counts of strace
        self._absent: dict[str, set[Point]] = {}
        self._tried: dict[str, set[Point]] = {}
        self._tries: Counter[tuple[str, Point]] = Counter()
        self._busy: set[tuple[str, Point]] = set()

    def survey(self, scene: str, ticks: Sequence[Sequence[Point]]) -> None:
        """Learn the points of a scene from some of its ticks."""
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
        """Return the points to try next, from the scene with the least coverage.

        Calls that change something come first.
        """
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
        """Return a point with a possible count of strace. If several counts are known, each call takes another one."""
        counted = self._known[scene][point]
        return replace(point, when=counted[self._tries[scene, point] % len(counted)])

    @property
    def urgent(self) -> bool:
        """Return whether there are untried calls that change something and that every tick makes."""
        return any(self._left(scene, _CHANGES) for scene in self._known)

    @property
    def remains(self) -> bool:
        """Return whether any point is untried, or under trial."""
        kinds = (_CHANGES, _AT_TIMES, _LOOKS)
        return bool(self._busy) or any(self._left(scene, kind) for scene in self._known for kind in kinds)

    def settle(self, scene: str, asked: Iterable[Point], row: Row) -> None:
        """Add the results for points that a trial has tried."""
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
        """Return how many points are tried and known, by the scene and by the kind of file."""
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
    """Return `count` of the points, evenly spread over the list."""
    return points[:: -(-len(points) // count)] if points else []
