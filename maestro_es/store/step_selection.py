"""The read-only queries of the graph in the tables: they select steps, edges and funnels.

`maestro_es.store.projection` reads single steps and writes the tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from maestro_es.core.model import Param, Phase, State, StepRecord, StudyRecord
from maestro_es.store import graph_queries
from maestro_es.store.step_rows import params_of


class StepSelection(ABC):
    """The part of the graph in the tables that selects steps; `maestro_es.core.graph.Graph` documents the methods."""

    study: StudyRecord

    @abstractmethod
    def _write(self) -> None:
        """Write all changes, so that a query sees them."""

    @abstractmethod
    def _write_structure(self) -> None:
        """Write new templates, edges and funnels, so that queries about them find them."""

    @abstractmethod
    def _select(self, where: str, *values: object) -> list[StepRecord]:
        """Return the records of some steps."""

    @abstractmethod
    def _rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a reading query, and explain errors of SQLite."""

    @abstractmethod
    def _drawn(self, query: str) -> Iterator[Any]:
        """Yield the rows of a reading query, without keeping them."""

    @abstractmethod
    def _made(self, row: Sequence[Any]) -> StepRecord:
        """Return the record in memory or, if there is none, make one that is not kept."""

    def names(self) -> Iterator[tuple[int, str, str]]:
        self._write()
        after = 0
        while page := self._rows(graph_queries.NAMES, after):
            after = page[-1][0]
            yield from page

    def params(self) -> Iterator[tuple[int, tuple[Param, ...]]]:
        """Yield the number and the parameters of each step, without loading its record."""
        self._write()
        for number, params in self._rows("SELECT number, params FROM step ORDER BY number"):
            yield number, params_of(number, params)

    def edges(self) -> list[tuple[int, int]]:
        """Return the parent and the child of each edge, in the order in which the edges were added."""
        self._write_structure()
        return self._rows("SELECT parent, child FROM edge ORDER BY number")

    def funnel_edges(self) -> list[tuple[str, int]]:
        """Return the template and the child of each funnel, by child."""
        self._write_structure()
        return self._rows("SELECT template, child FROM funnel ORDER BY child, template")

    def roots(self) -> list[str]:
        """Return the names of the steps that wait for nothing, by number."""
        self._write()
        return [row[0] for row in self._rows(graph_queries.ROOTS)]

    def names_in(self, phases: Sequence[Phase], states: Sequence[State]) -> list[str]:
        """Return the names of the steps in one of the phases and one of the states, by number."""
        self._write()
        marks = (", ".join("?" * len(phases)), ", ".join("?" * len(states)))
        query = "SELECT name FROM step WHERE phase IN ({}) AND state IN ({}) ORDER BY number".format(*marks)
        return [row[0] for row in self._rows(query, *map(int, phases), *(state.name for state in states))]

    def unfinished_steps(self, template: str, limit: int) -> list[StepRecord]:
        return self._select(graph_queries.UNFINISHED, template, limit)

    def failed(self) -> Iterator[StepRecord]:
        """Yield the steps that have ended without success, but not because of another step, by number."""
        self._write()
        after = 0
        while page := self._rows(graph_queries.FAILED, after):
            after = page[-1][0]
            yield from map(self._made, page)

    def dependents(self) -> Iterator[tuple[int, int]]:
        """For each step that made others end without success, yield its number and how many these are."""
        self._write()
        return self._drawn(graph_queries.DEPENDENTS)

    def values(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield how many steps of each template have each value of each parameter, without loading their records."""
        self._write()
        return self._drawn(graph_queries.VALUES)

    def in_flight(self) -> list[StepRecord]:
        return self._select("WHERE phase IN (2, 3) ORDER BY number")

    def ready(self, *, scheduled: bool, limit: int) -> list[StepRecord]:
        where = f"WHERE {graph_queries.MAY_BE_SUBMITTED} AND scheduled = ? AND number {{}} ? ORDER BY number LIMIT ?"
        first = self.study.refused if scheduled else 0
        rows = self._select(where.format(">"), int(scheduled), first, limit)
        return rows + (self._select(where.format("<="), int(scheduled), first, limit - len(rows)) if first else [])

    def waiting(self) -> Iterator[StepRecord]:
        return self._paged(graph_queries.WAITING)

    def _paged(self, where: str) -> Iterator[StepRecord]:
        """Yield steps by number, in pages. The caller may change a step before it takes the next one."""
        after = 0
        while page := self._select(where, after):
            after = page[-1].number
            yield from page

    def cancelling(self) -> Iterator[StepRecord]:
        return self._paged(graph_queries.CANCELLING)

    def held(self) -> list[StepRecord]:
        return self._select("WHERE held = 1 AND phase != 4 ORDER BY number")

    def doubted(self) -> list[StepRecord]:
        """Return the doubted steps, by number."""
        return self._select("WHERE doubted = 1 ORDER BY number")

    def steps(self) -> Iterator[StepRecord]:
        self._write()
        after = 0
        while page := self._rows(graph_queries.EACH, after):
            after = page[-1][0]
            yield from map(self._made, page)

    def by_row(self) -> Iterator[StepRecord]:
        self._write()
        return map(self._made, self._drawn(graph_queries.IN_ROWS))
