"""The graph at a past moment, replayed in bounded memory.

The records of a million steps take a gigabyte. So only the most recently changed records are in memory, and all others
are in a temporary file. The parts of a step or a template that never change are read from the tables of the log.
"""

from __future__ import annotations

import itertools
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import msgspec.msgpack  # the real module: commands that must start quickly use a stand-in

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import IN_FLIGHT, RELEASED, Phase, StepRecord
from maestro_es.core.reducer import Block, apply_all, replay_all, uncollected
from maestro_es.spool import UnnamedFile, room_for
from maestro_es.store import graph_queries
from maestro_es.store.log_reader import LogReader
from maestro_es.store.step_rows import LoadedRecords, template_of

#: The largest number of records in memory. While a block of events is applied, there may be twice as many.
_KEEP = 2_000

#: This many records are read at once, if they span at most this many bytes of the file.
_TOGETHER, _CLOSE = 500, 500_000

#: What is kept in memory for each step, in one byte: its phase, and these flags.
_HELD, _DOUBTED, _CANCELLING, _SCHEDULED, _RELEASED = 8, 16, 32, 64, 128
_NO_STEP = 7
_PHASE = 7


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StepRecord).decode


def replay_past(log: LogReader, upto: int) -> PastGraph:
    """Return the graph as it was after an event. The tables of the log must contain at least this event."""
    with room_for("the steps of a past moment"):
        graph = PastGraph(log)
        replay_all(map(graph.prepared, log.blocks(upto=upto)), graph)
        graph.store()
    return graph


def replay_on(graph: PastGraph, blocks: Iterable[Block]) -> Iterator[Block]:
    """Apply later events to a graph, and yield them."""
    with room_for("the steps of a past moment"), uncollected():
        graph.resume()
        for block in map(graph.prepared, blocks):
            apply_all(graph, block)
            yield block
        graph.store()


class PastGraph(MemoryGraph):
    """A graph at a past moment; `maestro_es.core.graph.Graph` documents the methods."""

    def __init__(self, log: LogReader) -> None:
        super().__init__()
        this = weakref.ref(self)  # so that the file is closed as soon as nothing refers to the graph

        def load(number: int | None) -> StepRecord:
            return cast("PastGraph", this()).load(number)

        self.records = LoadedRecords(load)
        self._log = log
        self._file = UnnamedFile()
        self._begins = array("Q", [0])
        self._sizes = array("I", [0])
        self._flags = bytearray([_NO_STEP])
        self._edges = _Lists()
        self._reversed: _Lists | None = None
        self._is_replayed = False

    # -- the file ---------------------------------------------------------------------------------------------------

    def store(self) -> None:
        """Write all records in memory to the file, and forget them. After that, none may change any more."""
        self._write()
        self._is_replayed = True

    def resume(self) -> None:
        """Forget the records in memory, which are all in the file. After that, they may change again."""
        self.records.clear()
        self._is_replayed = False

    def _write(self) -> None:
        written, end = [], self._file.size
        for step in self.records.values():
            data = _encode(step)
            self._begins[step.number], self._sizes[step.number] = end, len(data)
            self._flags[step.number] = _flags(step)
            end += len(data)
            written.append(data)
        self._file.append(b"".join(written))
        self.records.clear()

    def prepared(self, block: Block) -> Block:
        """Make room for the records that a block of events is about, and read them. Return the block."""
        if len(self.records) > _KEEP:
            self._write()
        stored = range(1, len(self._begins))
        missing = sorted(n for n in {*block.steps} - self.records.keys() if n is not None and n in stored)
        self.records.update({step.number: step for step in self._read_all(missing)})
        return block

    def load(self, number: int | None) -> StepRecord:
        """Return a record from the file; KeyError if there is none."""
        if number is None or not 0 < number < len(self._begins):
            raise KeyError(number)
        if self._is_replayed and len(self.records) > _KEEP:
            self.records.clear()
        step = self.records[number] = self._read(number)
        return step

    def _read(self, number: int) -> StepRecord:
        return _decode(self._file.read(self._sizes[number], self._begins[number]))

    def _read_all(self, numbers: Iterable[int]) -> Iterator[StepRecord]:
        """Yield records from the file. Those that are close to each other are read together."""
        rest = iter(numbers)
        while some := list(itertools.islice(rest, _TOGETHER)):
            places = [(self._begins[number], self._sizes[number]) for number in some]
            start, last = min(places)[0], max(places)
            size = sum(last) - start
            if size > _CLOSE:
                yield from map(self._read, some)
            else:
                data = self._file.read(size, start)
                yield from [_decode(data[at - start : at - start + length]) for at, length in places]

    def _chosen(self, choose: Callable[[int], bool], after: int = 0) -> Iterator[StepRecord]:
        """Yield the steps for whose flags `choose` returns true, by number.

        The search begins after the step `after`, and wraps around.
        """
        self._write()
        chosen = [choose(flags) for flags in range(256)]
        for first, end in ((after + 1, len(self._flags)), (1, after + 1)):
            for number, flags in enumerate(self._flags[first:end], first):
                if chosen[flags]:
                    yield self._read(number)

    def add(self, step: StepRecord) -> None:
        self._begins.append(0)
        self._sizes.append(0)
        self._flags.append(_NO_STEP)
        self.save(step)

    def save(self, step: StepRecord) -> None:
        self.records[step.number] = step
        if len(self.records) > 2 * _KEEP:
            self._write()

    def steps(self) -> Iterator[StepRecord]:
        self._write()
        return self._read_all(range(1, len(self._begins)))

    def by_row(self) -> Iterator[StepRecord]:
        self._write()
        sql = "SELECT number FROM step WHERE number <= ? ORDER BY row, number"
        return self._read_all(array("I", (int(str(row[0])) for row in self._log.drawn(sql, (self.study.steps,)))))

    def in_flight(self) -> list[StepRecord]:
        return list(self._chosen(lambda flags: flags & _PHASE in IN_FLIGHT))

    def waiting(self) -> Iterator[StepRecord]:
        return self._chosen(lambda flags: flags & _PHASE in (Phase.BLOCKED, Phase.READY))

    def ready(self, *, scheduled: bool, limit: int) -> list[StepRecord]:
        mask = _PHASE | _HELD | _CANCELLING | _SCHEDULED
        submittable = Phase.READY | (_SCHEDULED if scheduled else 0)
        first = self.study.refused if scheduled else 0
        return list(itertools.islice(self._chosen(lambda flags: flags & mask == submittable, first), limit))

    def cancelling(self) -> Iterator[StepRecord]:
        return self._chosen(lambda flags: flags & _CANCELLING != 0 and flags & _PHASE < Phase.DONE)

    def held(self) -> list[StepRecord]:
        return list(self._chosen(lambda flags: flags & _HELD != 0 and flags & _PHASE < Phase.DONE))

    def doubted(self) -> list[StepRecord]:
        return list(self._chosen(lambda flags: flags & _DOUBTED != 0 and flags & _PHASE != _NO_STEP))

    def unfinished_steps(self, template: str, limit: int) -> list[StepRecord]:
        unfinished = self._chosen(lambda flags: not flags & _RELEASED and flags & _PHASE != _NO_STEP)
        return list(itertools.islice((step for step in unfinished if step.template == template), limit))

    # -- what does not change -----------------------------------------------------------------------------------------

    def number_of(self, name: str) -> int | None:
        if not self._is_replayed:
            return None  # a step that is added has a new name: otherwise the tables would not contain it
        rows = self._log.query("SELECT number FROM step WHERE name = ? AND number <= ?", (name, self.study.steps))
        return int(str(rows[0][0])) if rows else None

    def in_workspace(self, workspace: str) -> int | None:
        return next((step.number for step in self.steps() if step.workspace == workspace), None)

    def instances(self, template: str) -> list[int]:
        sql = "SELECT number FROM step WHERE template = ? AND number <= ? ORDER BY number"
        return [int(str(number)) for (number,) in self._log.query(sql, (template, self.study.steps))]

    def names(self) -> Iterator[tuple[int, str, str]]:
        after = 0
        while page := cast("list[tuple[int, str, str]]", self._log.query(graph_queries.NAMES, (after,))):
            after = page[-1][0]
            yield from (names for names in page if names[0] <= self.study.steps)

    def add_template(self, template: StepTemplateAdded) -> None:
        self._unfinished[template.name] = 0

    def has_template(self, name: str) -> bool:
        return name in self._unfinished

    def template(self, name: str) -> StepTemplateAdded:
        if name not in self._unfinished:
            raise KeyError(name)
        rows = self._log.query("SELECT data FROM template WHERE name = ?", (name,))
        return template_of(name, [str(data) for (data,) in rows])

    def templates(self) -> Iterator[StepTemplateAdded]:
        return map(self.template, self._unfinished)

    def unfinished(self, template: str) -> int:
        return self._unfinished.get(template, 0)

    # -- edges ------------------------------------------------------------------------------------------------------

    def connect(self, parent: int, child: int) -> None:
        self._edges.add(parent, child)
        if self._reversed:
            self._reversed.add(child, parent)

    def disconnect(self, parent: int, child: int) -> None:
        self._edges.remove(parent, child)
        if self._reversed:
            self._reversed.remove(child, parent)

    def children(self, number: int) -> list[int]:
        return self._edges.of(number)

    def parents(self, number: int) -> list[int]:
        if self._reversed is None:
            self._reversed = _Lists()
            for parent in range(1, len(self._begins)):
                for child in self._edges.of(parent):
                    self._reversed.add(child, parent)
        return sorted(self._reversed.of(number))


def _flags(step: StepRecord) -> int:
    return (
        step.phase
        | (_HELD if step.held else 0)
        | (_DOUBTED if step.doubted else 0)
        | (_CANCELLING if step.cancelling else 0)
        | (_SCHEDULED if step.scheduled else 0)
        | (_RELEASED if step.state in RELEASED else 0)
    )


class _Lists:
    """For each number, a list of numbers in the order in which they were added. All lists share four arrays."""

    def __init__(self) -> None:
        self._first, self._last = array("I"), array("I")
        self._items, self._next = array("I", [0]), array("I", [0])

    def add(self, number: int, item: int) -> None:
        """Add a number to the list of another one."""
        if number >= len(self._first):
            more = bytes(self._first.itemsize * (number + 1000 - len(self._first)))
            self._first.frombytes(more)
            self._last.frombytes(more)
        at = len(self._items)
        self._items.append(item)
        self._next.append(0)
        if self._last[number]:
            self._next[self._last[number]] = at
        else:
            self._first[number] = at
        self._last[number] = at

    def of(self, number: int) -> list[int]:
        """Return the list of a number."""
        items = []
        at = self._first[number] if number < len(self._first) else 0
        while at:
            items.append(self._items[at])
            at = self._next[at]
        return items

    def remove(self, number: int, item: int) -> None:
        """Remove a number from the list of another one."""
        left = [other for other in self.of(number) if other != item]
        self._first[number] = self._last[number] = 0
        for other in left:
            self.add(number, other)
