"""The part of the graph that answers questions about its present and past state, and its events.

`maestro_es.audit` finds the answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

from maestro_es import audit
from maestro_es.audit.as_of import Past, as_of
from maestro_es.audit.times import When, parse_when, show_time, show_utc
from maestro_es.core import arguments
from maestro_es.core import events as e
from maestro_es.core.environment import Environment
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import BAD_ENDS, Micros, State, StepRecord
from maestro_es.core.reducer import replay
from maestro_es.execution_graph.base import GraphBase, pattern_of, patterns_of

if TYPE_CHECKING:
    from collections import Counter

    from maestro_es.audit.blame import Decision
    from maestro_es.audit.checkup import CheckResult
    from maestro_es.audit.chronicle import Chronicle
    from maestro_es.audit.diagram import Diagram
    from maestro_es.audit.diff import Comparison
    from maestro_es.audit.history import Entry, Query
    from maestro_es.audit.overview import Overview
    from maestro_es.audit.status import Summary
    from maestro_es.audit.step_details import StepDetails
    from maestro_es.audit.why.context import View
    from maestro_es.audit.why.failures import FailureGroup
    from maestro_es.spool import Spool
    from maestro_es.store.status_rows import StatusRow
    from maestro_es.store.user_query import QueryResult

#: A moment of a study: a text as for ``--at`` ("2h" ago, "2026-01-31 14:30"), the number of an event, or a result
#: of `as_of`.
Instant = Union[str, int, When, Past]

#: How many error lines of a failed step an answer contains.
_ERROR_LINES = 10


class Why(NamedTuple):
    """Why a step is in its `state`: a sentence, and the events that prove it. An empty `step` stands for the study.

    If the step has failed, `errors` holds the last lines of its standard error. If it has failed because of another
    step, `errors` holds the last lines of that step. `written_by` is the step that wrote the lines. `failures` holds
    the failed steps of the study, in groups. It is empty if the question is about a step, or about the past.
    """

    step: str
    state: str
    why: str
    evidence: Sequence[Entry]
    errors: Sequence[str] = ()
    written_by: str = ""
    failures: Sequence[FailureGroup] = ()


class AuditableGraph(GraphBase):
    """The part of `ExecutionGraph` that answers questions. None of its methods changes the study.

    With `at`, a method answers for that moment instead of now. RequestRefused if the moment is before the first event
    or in the future. ValueError if a string is not a time.
    """

    @staticmethod
    def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
        """Return the graph that results from these events. It is read-only and rejects assignment."""
        return _snapshot(replay(events))

    def at(self, *, seq: int | None = None, time: Micros | None = None) -> MemoryGraph:
        """Return the graph as it was after event `seq`, or at a `time` in microseconds since 1970 (UTC).

        The graph rejects assignment. ValueError unless exactly one of the two is given.
        """
        if (seq is None) is (time is None):
            raise ValueError("give either seq or time")
        self._fresh()
        if seq is not None:
            upto = arguments.count("seq", seq)
        else:
            upto = self._study.log.seq_at(arguments.count("time", time))
        return _snapshot(self._study.log.replay(upto=upto))

    def as_of(self, when: Instant) -> Past:
        """Return the study as its log recorded it at a moment: the graph, the last event, and the time.

        The other methods accept this result as `at`. If you have several questions, the log is then read only once.
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
        """Return the events with a seq greater than `after`: the events of one step, or all events."""
        first = arguments.count("after", after)
        name = None if step is None else arguments.name("step", step)
        graph = self._fresh()
        if name is None:
            return list(self._study.log.events(first))
        events = self._study.log.events_of(graph.number_of(name) or 0)
        return [recorded for recorded in events if recorded.seq > first]

    def search(self, query: Query) -> Iterator[Entry]:
        """Yield the events that match a query, oldest first, each with its sentence and its writer.

        RequestRefused if the query names a step, parameter, event type, cause or job that does not exist.
        """
        self._fresh()
        return audit.history.history(self._study.log, query)

    def count_by(self, query: Query, fields: Sequence[str], *, utc: bool = False) -> Counter[tuple[object, ...]]:
        """Count the events that match a query, and return the number for each combination of the fields' values.

        `fields` are the same as for ``history --count-by``. Days and hours are in local time, or in UTC with `utc`.
        """
        self._fresh()
        return audit.history.count_by(self._study.log, query, fields, utc=utc)

    def follow(self, query: Query, pause_s: float = 1.0) -> Iterator[Entry | None]:
        """Yield the events that match a query, and then new ones as they come. The iterator never ends.

        It yields None when there are no more events yet, and reads the log again `pause_s` seconds later. It holds no
        lock meanwhile. LogUnavailable if the log can't be read for about a minute.
        """
        self._study.log.wait_for_lock(pause_s)
        return audit.history.follow(self._study.log, query, lambda: time.sleep(pause_s))

    def checkup(self, checked: set[str] | None = None) -> list[CheckResult]:
        """Check whether ticks can advance the study: files, clocks, locks, environment and scheduler.

        Several processes try locks, links and renames in the study directory. A caller that checks many studies passes
        one set as `checked`. Then each file system and each cluster is checked once. Returns a list of results, each
        with `level`, `area`, `text` and `remedy`.
        """
        from maestro_es.audit.checkup import checkup  # noqa: PLC0415 - seldom needed

        self._fresh()
        return [*checkup(self._study, set() if checked is None else checked)]

    def summary(self, at: Instant | None = None) -> Summary:
        """Return a summary of the study: its status, the number of steps in each state, the time of the last tick."""
        past = self._past(at)
        self._fresh()
        return audit.status.summarise(self._study, past)

    def overview(self, at: Instant | None = None) -> Overview:
        """Return the study at a glance: the steps of each template by state, the rate, and the time left."""
        from maestro_es.audit.overview import overview  # noqa: PLC0415 - for this only

        past = self._past(at)
        if past:
            return overview(past.graph.steps(), past.at)
        self._fresh()
        return self._study.log.at_once(lambda: overview(self._study.graph.steps(), self.runtime.now()))

    def status_table(self) -> Spool[StatusRow]:
        """Return a row for each step, in Maestro's order. `why` says why the step did not succeed, if it did not."""
        self._fresh()
        return audit.status.status_table(self._study)

    def select(
        self,
        patterns: Iterable[str] = (),
        states: Iterable[State] = (),
        params: Iterable[tuple[str, str]] = (),
        at: Instant | None = None,
    ) -> Spool[StepRecord]:
        """Return copies of the steps that match a pattern, are in one of the states and have the parameters.

        Each parameter is a name and a glob for its value or label. An empty filter lets all steps through. The steps
        are in the order of the status table, and take little memory. RequestRefused if a pattern matches no step, or
        if no step has one of the parameters.
        """
        choice = (patterns_of(tuple(patterns)), tuple(states), tuple(params))
        past, graph = self._past(at), self._fresh()
        for name, _ in choice[2]:
            audit.history.check_param(graph, name)
        return audit.status.listed_steps(self._study, past, *choice)

    def show(self, step: str, at: Instant | None = None, *, utc: bool = False) -> StepDetails:
        """Return the details of the step that matches a name or a pattern. With `at`, its files are left out.

        RequestRefused if no step matches, or several do. With `utc`, sentences give times in UTC.
        """
        pattern, past = pattern_of(step), self._past(at)
        self._fresh()
        return audit.step_details.details(self._study, pattern, past, show_utc if utc else show_time)

    def why(self, step: str | None = None, at: Instant | None = None, *, utc: bool = False) -> Why:
        """Return why a step, or the study as a whole, is in its state. `step` and `utc` are as for `show`."""
        pattern, past = None if step is None else pattern_of(step), self._past(at)
        self._fresh()
        number = None if pattern is None else audit.step_details.find_step(self._at(past), pattern).number

        def ask(view: View) -> Why:
            log = self._study.log
            if number is None:
                answer = audit.explain.why_study(view)
                proofs = audit.history.entries(log, answer.evidence)
                failures = () if past else audit.failures.group_failures(self._study.graph, self._last_error)
                return Why("", view.graph.study.status.name, answer.message, proofs, failures=failures)
            step = view.graph.step(number)
            answer = audit.explain.why(view, step)
            main = (step.name, step.state.name, answer.message, audit.history.entries(log, answer.evidence))
            return Why(*main, *(() if past else self._errors(step)))

        return audit.consistent_view.consistent_view(self._study, past, show_utc if utc else show_time, ask)

    def failures(self) -> list[FailureGroup]:
        """Return the failed steps in groups. The steps of a group have one template, and ended in the same way."""
        return audit.failures.group_failures(self._fresh(), self._last_error)

    def _last_error(self, step: StepRecord) -> str:
        return audit.step_output.last_error(self._study, step)

    def _errors(self, step: StepRecord) -> tuple[Sequence[str], str]:
        """Return the last errors of a step that has failed, or of the step whose failure kept it from running."""
        origin = step
        while origin.blocker is not None:
            origin = self._study.graph.step(origin.blocker)
        if origin.state not in BAD_ENDS:
            return (), ""
        return audit.step_output.end_of_errors(self.show(origin.name), _ERROR_LINES), origin.name

    def _at(self, past: Past | None) -> Graph:
        return past.graph if past else self._study.graph

    def diagram(self, *, each_step: bool = False) -> Diagram:
        """Return a diagram of the templates of the study. With `each_step`, it shows each step instead.

        The diagram has the edges, and the states of the steps. RequestRefused if it would show too many steps.
        """
        graph = self._fresh()
        return (
            audit.diagram.diagram_of_steps(graph) if each_step else audit.diagram.diagram_of_templates(self._study.log)
        )

    def chronicle(self) -> Chronicle:
        """Return all steps, attempts and other events of the study as columns of numbers, in little memory."""
        self._fresh()
        return audit.chronicle.chronicle(self._study.log, self._study.log.head.seq)

    def blame(self, step: str) -> list[Decision]:
        """Return the decisions of users about a step, and about the study until the step ended, oldest first."""
        pattern = pattern_of(step)
        return audit.blame.blame(self._study.log, audit.step_details.find_step(self._fresh(), pattern))

    def diff(self, since: Instant, until: Instant | None = None) -> Comparison:
        """Return the changes between two moments. By default, the second is now."""
        self._fresh()
        last_moment = None if until is None else self._when(until)
        return audit.diff.compare(self._study.log, self._when(since), last_moment, self.runtime.now())

    def diff_since_last(self) -> Comparison:
        """Return the changes since the moment that this user last noted with `note_seen`."""
        self._fresh()
        seen = audit.diff.read_cursor(self._study.dir)
        return self.diff(seen if seen <= self._study.log.head.seq else 0)

    def note_seen(self, comparison: Comparison) -> None:
        """Note that this user has seen all changes up to the last moment of a comparison.

        OSError if the note can't be written.
        """
        if audit.diff.read_cursor(self._study.dir) != comparison.last.seq:
            audit.diff.move_cursor(self._study.dir, comparison.last.seq)

    def query(self, sql: str, values: Mapping[str, str] | None = None) -> QueryResult:
        """Run one SELECT on the log and on the views that docs/questions.md describes, and return its result.

        `values` are the values of its parameters, ``:NAME``. RequestRefused if the SQL is wrong, would write, or takes
        too long.
        """
        from maestro_es.store.user_query import query  # noqa: PLC0415 - for this only

        self._fresh()
        return query(self._study.log, sql, values or {})

    @property
    def query_limit_s(self) -> float:
        """The time limit of a `query`, in seconds. A single call of an SQL function may exceed it."""
        return self._study.log.time_limit

    def edits(self, *steps: str, named: Path | None = None) -> Iterator[str]:
        """Yield a line about each edited script of these steps, and about the study file if it was edited.

        The line says which version runs. `named` is the study's path as the user has typed it. RequestRefused if a
        pattern matches no step.
        """
        patterns, graph = patterns_of(steps), self._fresh()
        numbers = [audit.step_details.find_step(graph, pattern).number for pattern in patterns]
        return audit.edits.edits(self._study, numbers, named or self.path)

    def environment(self) -> Environment:
        """Return the environment of the steps, with the values of its variables.

        If the values can't be read, the `problem` of the environment says why.
        """
        from maestro_es.study.environment_file import environment_of  # noqa: PLC0415 - for this only

        return environment_of(self._study.dir, self._fresh().study)

    def is_ours(self) -> bool:
        """Whether the study's directory belongs to this user."""
        return self._study.dir.is_ours()

    def scheduler_facts(self) -> dict[str, str]:
        """Return the facts that the scheduler reported about itself when the study was created, by its own names."""
        from maestro_es.study.environment_file import scheduler_facts  # noqa: PLC0415 - for this only

        return scheduler_facts(self._study.log)


def _snapshot(graph: MemoryGraph) -> MemoryGraph:
    from maestro_es.core.snapshot import Snapshot  # noqa: PLC0415 - for programs only

    return Snapshot(graph)
