"""Which calls of a scene's tick are known, which have been tried, and which are to be tried next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.crash.matrix.calls import Point

#: How often a call is looked for that ticks do not always make: one more wait for a command that is slow.
_TRIES = 6
#: How many points a trial is given at once; those that it does not come to are given to another.
_SHARE = 32

#: How many are tried and known, of the calls that change something and of those that look.
Cell = list[int]


class Coverage:
    """The points of all scenes for one fault."""

    def __init__(self) -> None:
        self._known: dict[str, list[Point]] = {}
        self._tried: dict[str, set[Point]] = {}
        self._tries: Counter[tuple[str, Point]] = Counter()
        self._busy: set[tuple[str, Point]] = set()

    def add(self, scene: str, points: Iterable[Point]) -> None:
        """Get to know points of a scene."""
        known = self._known.setdefault(scene, [])
        self._tried.setdefault(scene, set())
        known += [point for point in points if point not in known]

    def take(self, most: int) -> tuple[str, list[Point]]:
        """Return points to be tried, of the scene that is least known; calls that change something come first."""
        for changes in (True, False):
            left = {scene: self._left(scene, changes=changes) for scene in self._known}
            scenes = [scene for scene, points in left.items() if points]
            if scenes:
                scene = min(scenes, key=self._progress)
                points = _spread(left[scene], min(most, _SHARE))
                self._busy |= {(scene, point) for point in points}
                return scene, points
        return "", []

    @property
    def remains(self) -> bool:
        """Whether there is anything left to be tried, or to be waited for."""
        return bool(self._busy) or any(
            self._left(scene, changes=changes) for scene in self._known for changes in (True, False)
        )

    def settle(self, scene: str, asked: Iterable[Point], hits: Iterable[Point], missed: Iterable[Point]) -> None:
        """Take in what came of points that were taken."""
        self._busy -= {(scene, point) for point in asked}
        found = [point for point in hits if point.touches]
        self.add(scene, found)
        self._tried[scene] |= set(found)
        self._tries.update((scene, point) for point in missed)

    def _left(self, scene: str, *, changes: bool) -> list[Point]:
        return [
            point
            for point in self._known[scene]
            if point.changes is changes
            and point not in self._tried[scene]
            and (scene, point) not in self._busy
            and self._tries[scene, point] < _TRIES
        ]

    def _progress(self, scene: str) -> float:
        busy = sum(place == scene for place, _ in self._busy)
        return (len(self._tried[scene]) + busy) / len(self._known[scene])

    def cells(self) -> dict[str, dict[str, Cell]]:
        """Return how many points are tried and known, by the scene and by what they touch."""
        table: dict[str, dict[str, Cell]] = {}
        for scene, known in self._known.items():
            row = table.setdefault(scene, {})
            for point in known:
                cell = row.setdefault(point.touches, [0, 0, 0, 0])
                first = 0 if point.changes else 2
                cell[first] += point in self._tried[scene]
                cell[first + 1] += 1
        return table


def _spread(points: list[Point], count: int) -> list[Point]:
    """Return so many of them, from all over the list."""
    return points[:: -(-len(points) // count)] if points else []
