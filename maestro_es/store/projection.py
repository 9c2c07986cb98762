"""The state in the tables of an `events.db` (the projection), with the protocol `maestro_es.core.graph.Graph`.

Records are loaded when the reducer reads them. `flush` writes changed records in the transaction that appends the
events. So the cost of a tick depends on the number of changes, not on the size of the study.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from maestro_es.core.events import StepAdded, StepFinished, StepTemplateAdded
from maestro_es.core.model import Phase, StepRecord, StudyRecord
from maestro_es.core.reducer import REDUCER_VERSION, Block, apply_all
from maestro_es.errors import DamagedLog
from maestro_es.store import graph_queries
from maestro_es.store.log_file import drawn, explain
from maestro_es.store.step_rows import (
    LoadedRecords,
    NoSuchStep,
    as_json,
    changes,
    damaged,
    from_row,
    template_of,
    to_row,
)
from maestro_es.store.step_selection import StepSelection

#: If there are fewer events than this, their records are looked up one by one.
_FEW = 10

#: How many loaded records are kept after a flush.
_KEEP = 5_000

_study = msgspec.json.Decoder(StudyRecord)


class ProjectedGraph(StepSelection):
    """The graph in the tables; `maestro_es.core.graph.Graph` documents the methods.

    If `rebooted`, the tables were last written on this host, before its last boot.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, host: str, boot_id: str) -> None:
        self._connection = connection
        self._path = path
        self._host = host
        self._boot_id = boot_id
        self.applied_seq = 0
        self.reducer_version = 0
        self.study = StudyRecord()
        self.forget()

    def forget(self) -> None:
        """Drop everything in memory that is not flushed, and read the tables again."""
        self.records = LoadedRecords(self._load_one)
        self._new: dict[str, StepRecord] = {}
        self._free: set[str] = set()
        self._workspaces: dict[str, int] | None = None
        self._outside: list[str] = []
        self._changed: set[int] = set()
        self._edges: list[tuple[int, int]] = []
        self._children: dict[int, list[int]] = {}
        self._funnel_rows: list[tuple[str, int]] = []
        self._unfinished: dict[str, int] = {}
        self._template_cache: dict[str, StepTemplateAdded] = {}
        self._new_templates: list[StepTemplateAdded] = []
        query = "SELECT applied_seq, reducer_version, study, host, boot_id FROM projection"
        row = self._connection.execute(query).fetchone() or (0, 0, "{}", "", "")
        self.rebooted = row[3] == self._host and self._boot_id not in ("", row[4])
        self.reducer_version = row[1]
        try:
            self.applied_seq = int(row[0])
            self.study = _study.decode(row[2])
        except (msgspec.DecodeError, TypeError, ValueError):
            self.reducer_version = 0  # the state comes from another version or is damaged, so it will be rebuilt
            self.study = StudyRecord()

    def clear(self) -> None:
        """Empty the tables before the whole log is replayed."""
        for table in ("projection", "template", "step", "edge", "funnel"):
            self._connection.execute(f"DELETE FROM {table}")
        self.forget()

    def flush(self, applied_seq: int) -> None:
        """Write the changes to the tables. The caller commits them together with the events."""
        self._write()
        self.applied_seq, self.reducer_version = applied_seq, REDUCER_VERSION
        self._connection.execute(
            "INSERT OR REPLACE INTO projection (id, applied_seq, reducer_version, host, boot_id, study)"
            " VALUES (1, ?, ?, ?, ?, ?)",
            (applied_seq, REDUCER_VERSION, self._host, self._boot_id, as_json(self.study)),
        )
        self._children = {}
        if len(self.records) > _KEEP:
            self.records.clear()

    def flush_some(self, applied_seq: int) -> None:
        """Write the changes if there are many, so that memory does not grow during a replay."""
        if len(self.records) > _KEEP:
            self.flush(applied_seq)

    def _write(self) -> None:
        """Write all changes, so that a query sees them."""
        self._write_structure()
        added = {step.number for step in self._new.values()}
        changed = [changes(self.records[number]) for number in sorted(self._changed - added)]
        self._execute(graph_queries.INSERT, [to_row(step) for step in self._new.values()])
        self._execute(graph_queries.UPDATE, changed)
        counts = [(count, name) for name, count in self._unfinished.items()]
        self._execute("UPDATE template SET unfinished = ? WHERE name = ?", counts)
        self._new, self._free, self._changed, self._unfinished = {}, set(), set(), {}

    def _write_structure(self) -> None:
        """Write new templates, edges and funnels, so that queries about them find them."""
        templates = [(template.name, as_json(template)) for template in self._new_templates]
        self._execute("INSERT INTO template (name, data, unfinished) VALUES (?, ?, 0)", templates)
        self._execute("INSERT INTO edge (parent, child) VALUES (?, ?)", self._edges)
        self._execute("INSERT OR IGNORE INTO funnel (template, child) VALUES (?, ?)", self._funnel_rows)
        self._new_templates, self._edges, self._funnel_rows = [], [], []

    def _execute(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._connection.executemany(statement, rows)

    def _select(self, where: str, *values: object) -> list[StepRecord]:
        self._write()
        return self._load(where, *values)

    def _load(self, where: str, *values: object) -> list[StepRecord]:
        """Return the records of some steps. If all are in memory, only their numbers are read from the table."""
        numbers = [row[0] for row in self._rows(f"SELECT number FROM step {where}", *values)]
        if all(number in self.records for number in numbers):
            return [self.records[number] for number in numbers]
        return [self._record(row) for row in self._drawn(f"{graph_queries.SELECT} {where}", *values)]

    def _record(self, row: Sequence[Any]) -> StepRecord:
        """Return the record in memory if there is one, because it may be newer. Otherwise make one from the row."""
        step = self.records.get(row[0])
        if step is None:
            step = self.records[row[0]] = from_row(row)
        return step

    def _made(self, row: Sequence[Any]) -> StepRecord:
        return self.records.get(row[0]) or from_row(row)

    def _drawn(self, query: str, *values: object) -> Iterator[Any]:
        """Yield the rows of a reading query one by one, so that they need not fit in memory. Explain errors."""
        return drawn(self._connection, self._path, query, values)

    def _column(self, query: str, value: object, unwritten: Sequence[object] = ()) -> list[Any]:
        """Write the `unwritten` rows, if there are any, and return the first column of a query about them."""
        if unwritten:
            self._write_structure()
        return [row[0] for row in self._rows(query, value)]

    def _rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a reading query, and explain errors of SQLite."""
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise explain(error, self._path) from error

    def add(self, step: StepRecord) -> None:
        self._new[step.name] = step
        self.records[step.number] = step
        if self._workspaces is not None:
            self._note_workspace(step.workspace, step.number)

    def step(self, number: int) -> StepRecord:
        return self.records[number]

    def _load_one(self, number: int | None) -> StepRecord:
        rows = self._rows(f"{graph_queries.SELECT} WHERE number = ?", number)
        if not rows:
            kind = DamagedLog if number in range(1, self.study.steps + 1) else NoSuchStep
            raise kind(f"{self._path}: the projection has no step {number}: run 'maestro-es rebuild'")
        return self._record(rows[0])

    def apply(self, block: Block) -> None:
        """Apply events. First load at once the records that their rules will look up."""
        self._load_for(block)
        apply_all(self, block)

    def _load_for(self, block: Block) -> None:
        """Load the steps of these events, and the children of those that finish. Look up the names of new steps."""
        if len(block.events) < _FEW:
            return
        names = {event.name for event in block.events if type(event) is StepAdded}
        self._free = names - {name for (name,) in self._rows(graph_queries.TAKEN_NAMES, as_json([*names]))}
        pairs = zip(block.steps, block.events, strict=True)
        self._children = {number: [] for number, event in pairs if number and type(event) is StepFinished}
        self._write_structure()
        numbers = set(block.steps)
        for parent, child in self._rows(graph_queries.CHILDREN, as_json([*self._children])):
            self._children[parent].append(child)
            numbers.add(child)
        missing = [number for number in numbers - self.records.keys() if number and number <= self.study.steps]
        for row in self._drawn(graph_queries.BY_NUMBER, as_json(missing)):
            self._record(row)

    def number_of(self, name: str) -> int | None:
        if name in self._new:
            return self._new[name].number
        if name in self._free:
            return None
        rows = self._rows("SELECT number FROM step WHERE name = ?", name)
        return rows[0][0] if rows else None

    def in_workspace(self, workspace: str) -> int | None:
        return self._all_workspaces().get(workspace)

    def outside_workspaces(self) -> list[str]:
        """Return the workspaces outside of the study's directory, by the numbers of their steps."""
        self._all_workspaces()
        return self._outside

    def _all_workspaces(self) -> dict[str, int]:
        if self._workspaces is None:
            self._write()
            self._workspaces = {}
            for row in self._rows("SELECT workspace, number FROM step ORDER BY number"):
                self._note_workspace(*row)
        return self._workspaces

    def _note_workspace(self, workspace: str, number: int) -> None:
        if self._workspaces is not None:
            self._workspaces.setdefault(workspace, number)
        if workspace.startswith("/"):
            self._outside.append(workspace)

    def instances(self, template: str) -> list[int]:
        self._write()
        return self._column("SELECT number FROM step WHERE template = ? ORDER BY number", template)

    def save(self, step: StepRecord) -> None:
        self.records[step.number] = step
        self._changed.add(step.number)

    def connect(self, parent: int, child: int) -> None:
        self._children = {}
        self._edges.append((parent, child))

    def disconnect(self, parent: int, child: int) -> None:
        self._children = {}
        self._write_structure()
        self._execute("DELETE FROM edge WHERE parent = ? AND child = ?", [(parent, child)])

    def parents(self, number: int) -> list[int]:
        return self._column("SELECT parent FROM edge WHERE child = ? ORDER BY parent", number, self._edges)

    def children(self, number: int) -> list[int]:
        if number in self._children:
            return self._children[number].copy()
        return self._column("SELECT child FROM edge WHERE parent = ? ORDER BY number", number, self._edges)

    def blocked_children(self, parents: Sequence[int]) -> Iterator[StepRecord]:
        return self._blocked("edge", f"parent IN ({', '.join('?' * len(parents))})", *parents)

    def blocked_by_funnel(self, template: str) -> Iterator[StepRecord]:
        return self._blocked("funnel", "funnel.template = ?", template)

    def blocked_in_vain(self) -> Iterator[list[tuple[StepRecord, int]]]:
        after, limit = 0, 1  # the first step often leads to all others, and a search for more would read all of them
        while pairs := self._pairs(after, limit):
            after, limit = pairs[-1][0], graph_queries.PAGE
            steps = [(self.step(number), parent) for number, parent in pairs]
            yield [(step, parent) for step, parent in steps if step.phase is Phase.BLOCKED]

    def _pairs(self, after: int, limit: int) -> list[tuple[int, int]]:
        self._write()
        return self._rows(graph_queries.IN_VAIN, after, limit)

    def failed_funnels(self) -> list[tuple[str, int]]:
        self._write()
        return [
            (template, number) for template, number in self._rows(graph_queries.FAILED_FUNNELS) if number is not None
        ]

    def _blocked(self, table: str, which: str, *values: object) -> Iterator[StepRecord]:
        """Yield blocked steps by number, in pages. The caller may change a step before it takes the next one."""
        query, after = graph_queries.BLOCKED.format(table, which), 0
        while page := self._page(query, *values, after):
            after = page[-1].number
            yield from (step for step in page if step.phase is Phase.BLOCKED)

    def _page(self, query: str, *values: object) -> list[StepRecord]:
        """Return the records of a page.

        All are made at once, because after a later flush their rows may be out of date.
        """
        self._write()
        return [self._record(row) for row in self._rows(query, *values)]

    def add_template(self, template: StepTemplateAdded) -> None:
        self._new_templates.append(template)
        self._template_cache[template.name] = template
        self._unfinished[template.name] = 0

    def template(self, name: str) -> StepTemplateAdded:
        template = self._template_cache.get(name)
        if template is None:
            rows = self._column("SELECT data FROM template WHERE name = ?", name)
            if not rows and not self.instances(name):
                raise KeyError(name)
            template = self._template_cache[name] = template_of(name, rows)
        return template

    def has_template(self, name: str) -> bool:
        return name in self._template_cache or bool(self._column("SELECT 1 FROM template WHERE name = ?", name))

    def unfinished(self, template: str) -> int:
        if template in self._unfinished:
            return self._unfinished[template]
        query = "SELECT unfinished FROM template WHERE name = ?"
        rows = self._rows(query, template)
        count = rows[0][0] if rows else 0
        if not isinstance(count, int):
            raise damaged(f"of template {template!r}", f"{count!r} of its steps are unfinished")
        return count

    def count_unfinished(self, template: str, change: int) -> int:
        self._unfinished[template] = self.unfinished(template) + change
        return self._unfinished[template]

    def join_funnel(self, template: str, child: int) -> None:
        self._funnel_rows.append((template, child))

    def funnel(self, template: str) -> list[int]:
        return self._column("SELECT child FROM funnel WHERE template = ? ORDER BY child", template, self._funnel_rows)

    def funnels(self, number: int) -> list[str]:
        return self._column("SELECT template FROM funnel WHERE child = ? ORDER BY template", number, self._funnel_rows)
