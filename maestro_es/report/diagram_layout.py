"""Decides where the nodes and the edges of a diagram are, in pixels.

Each node is in the column after the last of its parents. Within the columns, nodes are sorted four times by the mean
position of their neighbours, so that few edges cross. An edge over several columns gets a place in each of them, so
that it does not run under a node. (Libraries for layouts are larger than the rest of a report: elkjs has 1.4 MB.)
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Union

from maestro_es.report.table import width

#: The height of a node and of the place of an edge, the gaps between rows and columns, and the margin.
NODE_HEIGHT, _EDGE_HEIGHT, _ROW_GAP, _COLUMN_GAP, _MARGIN = 58, 14, 18, 56, 10

#: The width of a character, and the least and greatest width of a node, of which the padding is a part.
_CHARACTER, _NARROWEST, _WIDEST, _PADDING = 7.6, 120, 260, 24

#: The longest text that fits a node.
LONGEST_NAME = int((_WIDEST - _PADDING) / _CHARACTER)

_SWEEPS = 4

#: An item of a column: a node by its name, or an edge in one of the columns that it crosses.
_Item = Union[str, tuple[str, str, int]]


class Box(NamedTuple):
    """The place of a node: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """The positions of nodes by name, and of edges as paths of SVG. An edge from a node to itself has no path."""

    width: float
    height: float
    boxes: dict[str, Box]
    paths: dict[tuple[str, str], str]


def lay_out(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> Layout:
    """Return the positions of nodes and edges. If edges form a cycle, some of them point backwards."""
    pairs = [pair for pair in dict.fromkeys(edges) if pair[0] != pair[1]]
    order = {name: at for at, name in enumerate(_in_order(names, pairs))}
    forward = {pair: pair if order[pair[0]] < order[pair[1]] else pair[::-1] for pair in pairs}
    column_of = _columns(order, set(forward.values()))
    columns, chains = _with_crossings(names, column_of, forward)
    _sort(columns, chains)
    boxes = _boxes(columns)
    right = max((box.x + box.width for box in boxes.values()), default=0)
    bottom = max((box.y + box.height for box in boxes.values()), default=0)
    paths = {pair: _path([boxes[item] for item in chain]) for pair, chain in chains.items()}
    nodes = {item: box for item, box in boxes.items() if isinstance(item, str)}
    return Layout(right + _MARGIN, bottom + _MARGIN, nodes, paths)


def _in_order(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the nodes with parents before children. In a cycle, the first node in the given order comes first."""
    children: dict[str, list[str]] = defaultdict(list)
    missing = dict.fromkeys(names, 0)
    for parent, child in pairs:
        children[parent].append(child)
        missing[child] += 1
    result: list[str] = []
    while missing:
        free = [name for name, count in missing.items() if count == 0] or [next(iter(missing))]
        for name in free:
            del missing[name]
            result.append(name)
            for child in children[name]:
                if child in missing:
                    missing[child] -= 1
    return result


def _columns(order: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    parents: dict[str, list[str]] = defaultdict(list)
    for parent, child in pairs:
        parents[child].append(parent)
    column_of: dict[str, int] = {}
    for name in order:
        column_of[name] = max((column_of[parent] + 1 for parent in parents[name]), default=0)
    return column_of


def _with_crossings(
    names: Sequence[str], column_of: Mapping[str, int], forward: Mapping[tuple[str, str], tuple[str, str]]
) -> tuple[list[list[_Item]], dict[tuple[str, str], list[_Item]]]:
    """Return the items of each column, and for each edge the items that it connects, in its direction."""
    columns: list[list[_Item]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for name in names:
        columns[column_of[name]].append(name)
    chains: dict[tuple[str, str], list[_Item]] = {}
    for pair, (left, right) in forward.items():
        crossings: list[_Item] = [(left, right, at) for at in range(column_of[left] + 1, column_of[right])]
        for at, item in enumerate(crossings, column_of[left] + 1):
            if item not in columns[at]:
                columns[at].append(item)
        chain: list[_Item] = [left, *crossings, right]
        chains[pair] = chain if pair == (left, right) else chain[::-1]
    return columns, chains


def _sort(columns: list[list[_Item]], chains: Mapping[tuple[str, str], Sequence[_Item]]) -> None:
    """Sort each column by the mean position of the neighbours in the column before or after it."""
    column_of = {item: at for at, column in enumerate(columns) for item in column}
    neighbours: dict[tuple[_Item, int], list[_Item]] = defaultdict(list)
    for chain in chains.values():
        for one, other in itertools.pairwise(chain):
            neighbours[one, column_of[other]].append(other)
            neighbours[other, column_of[one]].append(one)
    row_of = {item: _share(row, column) for column in columns for row, item in enumerate(column)}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for at in range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1):
            beside = at - 1 if forward else at + 1
            means = {
                item: _mean([row_of[one] for one in neighbours[item, beside]], row_of[item]) for item in columns[at]
            }
            columns[at].sort(key=means.__getitem__)
            row_of.update((item, _share(row, columns[at])) for row, item in enumerate(columns[at]))


def _share(row: int, column: Sequence[_Item]) -> float:
    """Return how far down a row is, from 0 to 1, because columns are centred."""
    return (row + 0.5) / len(column)


def _mean(rows: Sequence[float], otherwise: float) -> float:
    return sum(rows) / len(rows) if rows else otherwise


def _boxes(columns: Sequence[Sequence[_Item]]) -> dict[_Item, Box]:
    heights = [sum(map(_height, column)) + _ROW_GAP * (len(column) - 1) for column in columns]
    tallest = max(heights, default=0)
    boxes: dict[_Item, Box] = {}
    x: float = _MARGIN
    for column, height in zip(columns, heights, strict=True):
        wide = max(map(_width, column))
        y = _MARGIN + (tallest - height) / 2
        for item in column:
            boxes[item] = Box(x, y, wide, _height(item))
            y += _height(item) + _ROW_GAP
        x += wide + _COLUMN_GAP
    return boxes


def _height(item: _Item) -> int:
    return NODE_HEIGHT if isinstance(item, str) else _EDGE_HEIGHT


def _width(item: _Item) -> float:
    if not isinstance(item, str):
        return 0
    return min(max(width(item) * _CHARACTER + _PADDING, _NARROWEST), _WIDEST)


def _path(boxes: Sequence[Box]) -> str:
    """Return the path of an edge: curves between the columns, and straight lines across them."""
    forward = boxes[0].x < boxes[-1].x
    sides = [(box.x, box.x + box.width) if forward else (box.x + box.width, box.x) for box in boxes]
    middles = [box.y + box.height / 2 for box in boxes]
    parts = [f"M{sides[0][1]:.0f} {middles[0]:.0f}"]
    for at in range(1, len(boxes)):
        (_, start), (end, far) = sides[at - 1], sides[at]
        bend = (start + end) / 2
        parts.append(f"C{bend:.0f} {middles[at - 1]:.0f} {bend:.0f} {middles[at]:.0f} {end:.0f} {middles[at]:.0f}")
        if at < len(boxes) - 1:
            parts.append(f"H{far:.0f}")
    return "".join(parts)
