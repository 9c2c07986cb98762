"""The part of the graph that answers questions: how it is, how it was, what has happened, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

from maestro_es import audit
from maestro_es.audit.as_of import Past, as_of, as_of_two
from maestro_es.audit.times import When, parse_when, show_time, show_utc
from maestro_es.core import arguments
from maestro_es.core import events as e
from maestro_es.core.environment import Environment
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import replay
from maestro_es.execution_graph.base import GraphBase

if TYPE_CHECKING:
    from collections import Counter

    from maestro_es.audit.blame import Decision
    from maestro_es.audit.diff import Diff
    from maestro_es.audit.history import Entry, Query
    from maestro_es.audit.status import Summary
    from maestro_es.audit.step_details import StepDetails
    from maestro_es.audit.why.context import View
    from maestro_es.store.user_query import QueryResult

#: A moment of a study: text as ``--at`` takes it ("2h" ago, "2026-01-31 14:30"), the number of an event, or what
#: `as_of` has returned.
Instant = Union[str, int, When, Past]


class Why(NamedTuple):
    """Why a step, or the study if `step` is empty, is in its `state`: a sentence, and the events that prove it."""

    step: str
    state: str
    why: str
    evidence: Sequence[Entry]


class Comparison(NamedTuple):
    """What changed between two moments, the `first` and the `last`."""

    diff: Diff
    first: Past
    last: Past


class AuditableGraph(GraphBase):
    """The part of `ExecutionGraph` that answers questions. None of its methods changes the study.

    Where `at` is given, the answer is of that moment and not of now. RequestRefused if it is before the study began,
    or still to come; ValueError if a text is no time.
    """

    @staticmethod
    def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
        """Return the graph that these events add up to. It is to be read, and rejects assignment."""
        return _snapshot(replay(events))

    def at(self, *, seq: int | None = None, time: Micros | None = None) -> MemoryGraph:
        """Return the graph as it was after event `seq`, or at a `time` in microseconds UTC. It rejects assignment.

        ValueError unless one of the two is given.
        """
        if (seq is None) is (time is None):
            raise ValueError("give either seq or time")
        if seq is not None:
            upto = arguments.count("seq", seq)
        else:
            upto = self._study.log.seq_at(arguments.count("time", time))
        return _snapshot(self._study.log.replay(upto=upto))

    def as_of(self, when: Instant) -> Past:
        """Return the study as its log knew it at a moment: the graph, the last event, and the time.

        The other methods take it as `at`; so the log is read once for many questions.
        """
        if isinstance(when, Past):
            return when
        self._fresh()
        return as_of(self._study.log, self._when(when), self.runtime.now())

    def _when(self, moment: Instant) -> When:
        match moment:
            case When():
                return moment
            case Past():
                return When(seq=moment.seq)
            case str():
                return parse_when(moment, self.runtime.now())
            case _:
                return When(seq=arguments.count("at", moment))

    def _past(self, at: Instant | None) -> Past | None:
        return None if at is None else self.as_of(at)

    def history(self, step: str | None = None, after: int = 0) -> list[e.Recorded]:
        """Return the events with a seq greater than `after`, all or those of one step."""
        first = arguments.count("after", after)
        name = None if step is None else arguments.name("step", step)
        graph = self._fresh()
        if name is None:
            return list(self._study.log.events(first))
        events = self._study.log.events_of(graph.number_of(name) or 0)
        return [recorded for recorded in events if recorded.seq > first]

    def search(self, query: Query) -> Iterator[Entry]:
        """Yield the events that a query wants, oldest first, each with its sentence and who wrote it.

        RequestRefused if it names what there is not: a step, a parameter, a type of event, a cause, a job.
        """
        self._fresh()
        return audit.history.history(self._study.log, query)

    def count_by(self, query: Query, fields: Sequence[str], *, utc: bool = False) -> Counter[tuple[object, ...]]:
        """Return how many of the events that a query wants there are of each combination of the fields' values.

        `fields` are those of ``history --count-by``; days and hours are those of this host, or of `utc`.
        """
        self._fresh()
        return audit.history.count_by(self._study.log, query, fields, utc=utc)

    def follow(self, query: Query, pause_s: float = 1.0) -> Iterator[Entry | None]:
        """Yield the events that a query wants and then, for ever, new ones as they come.

        None says that there are no more yet; the next look is `pause_s` seconds later. Between two looks nothing is
        locked. LogUnavailable if the log can't be read for about a minute.
        """
        self._study.log.wait_for_lock(pause_s)
        return audit.history.follow(self._study.log, query, lambda: time.sleep(pause_s))

    def summary(self, at: Instant | None = None) -> Summary:
        """Return the study as a whole: its status, how many steps are in which state, when it was ticked last."""
        past = self._past(at)
        self._fresh()
        return audit.status.summarise(self._study, past)

    def show(self, step: str, at: Instant | None = None, *, utc: bool = False) -> StepDetails:
        """Return everything about the step that a name or a pattern means; of the past, without its files.

        RequestRefused if it means no step, or several. `utc` is how times are written in its sentences.
        """
        past = self._past(at)
        self._fresh()
        return audit.step_details.details(self._study, step, past, show_utc if utc else show_time)

    def why(self, step: str | None = None, at: Instant | None = None, *, utc: bool = False) -> Why:
        """Return why a step, or the study as a whole, is as it is. `step` and `utc` are as for `show`."""
        past = self._past(at)
        self._fresh()
        number = None if step is None else audit.step_details.find_step(self._at(past), step).number

        def ask(view: View) -> Why:
            log = self._study.log
            if number is None:
                answer = audit.explain.why_study(view)
                return Why(
                    "", view.graph.study.status.name, answer.message, audit.history.entries(log, answer.evidence)
                )
            step = view.graph.step(number)
            answer = audit.explain.why(view, step)
            return Why(step.name, step.state.name, answer.message, audit.history.entries(log, answer.evidence))

        return audit.consistent_view.consistent_view(self._study, past, show_utc if utc else show_time, ask)

    def _at(self, past: Past | None) -> Graph:
        return past.graph if past else self._study.graph

    def blame(self, step: str) -> list[Decision]:
        """Return what people decided about a step, or about the study before its end: oldest first."""
        return audit.blame.blame(self._study.log, audit.step_details.find_step(self._fresh(), step))

    def diff(self, since: Instant, until: Instant | None = None) -> Comparison:
        """Return what changed between two moments, the second of which is now if it is not given."""
        self._fresh()
        log, now = self._study.log, self.runtime.now()
        last_moment = None if until is None else self._when(until)
        first, last = as_of_two(log, self._when(since), last_moment, now)
        return Comparison(audit.diff.diff(first.graph, last.graph, log.events(first.seq, last.seq)), first, last)

    def diff_since_last(self) -> Comparison:
        """Return what changed since this user noted with `note_seen` up to where the changes are known."""
        self._fresh()
        seen = audit.diff.read_cursor(self._study.dir)
        return self.diff(seen if seen <= self._study.log.head.seq else 0)

    def note_seen(self, comparison: Comparison) -> None:
        """Note that this user knows all changes up to the last moment of a comparison. OSError if that fails."""
        if audit.diff.read_cursor(self._study.dir) != comparison.last.seq:
            audit.diff.move_cursor(self._study.dir, comparison.last.seq)

    def query(self, sql: str, values: Mapping[str, str] | None = None) -> QueryResult:
        """Return what one SELECT finds in the log, and in the views that docs/questions.md describes.

        `values` are those of its parameters, ``:NAME``. RequestRefused for SQL that is wrong, would write, or takes
        too long.
        """
        from maestro_es.store.user_query import query  # noqa: PLC0415 - for this only

        return query(self._study.log, sql, values or {})

    @property
    def query_limit_s(self) -> float:
        """How long a `query` may take, in seconds. A single call of a function in SQL may take longer."""
        return self._study.log.time_limit

    def edits(self, *steps: str, named: Path | None = None) -> Iterator[str]:
        """Yield a line about each script of these steps, and the study file, that was edited: which version counts.

        `named` is the path by which the user calls the study. RequestRefused if there is no step of a name.
        """
        numbers = [audit.step_details.find_step(self._fresh(), step).number for step in steps]
        return audit.edits.edits(self._study, numbers, named or self.path)

    def environment(self) -> Environment:
        """Return the environment of the steps, with the values of its variables; `problem` says why that can't be."""
        from maestro_es.study.environment_file import environment_of  # noqa: PLC0415 - for this only

        return environment_of(self._study.dir, self._fresh().study)

    def is_ours(self) -> bool:
        """Whether the study's directory belongs to this user."""
        return self._study.dir.is_ours()

    def scheduler_facts(self) -> dict[str, str]:
        """Return what the scheduler said of itself when the study was created, by its own names."""
        from maestro_es.study.environment_file import scheduler_facts  # noqa: PLC0415 - for this only

        return scheduler_facts(self._study.log)


def _snapshot(graph: MemoryGraph) -> MemoryGraph:
    from maestro_es.core.snapshot import Snapshot  # noqa: PLC0415 - for programs only

    return Snapshot(graph)
