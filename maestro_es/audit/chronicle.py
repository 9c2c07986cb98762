"""The whole story of a study as columns of numbers, read from its log in one pass.

The page of ``report`` is drawn from these columns, and `maestro_es.report.page_data` writes them. A study may have a
million steps, so there is no object for each step. `maestro_es.audit.shown_states` decides which states a step goes
through.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any

from maestro_es.audit.attempts import ENDS
from maestro_es.audit.columns import NOTHING, Ids, Numbered, Texts
from maestro_es.audit.sentences import describe
from maestro_es.audit.shown_states import KINDS, kind_of, state_after
from maestro_es.core import events as e
from maestro_es.core.attempt_token import attempt_of
from maestro_es.core.model import Micros, Param, State, SubmissionKind
from maestro_es.core.reducer import uncollected
from maestro_es.store.event_query import writers
from maestro_es.store.study_log import StudyLog

#: Times are in milliseconds since the first event.
_MILLISECOND = 1000

#: The columns with times.
_TIMES = {"added", "requested", "submitted", "started", "ended", "time"}

#: The fields of an attempt's usage that become columns, if the log has them.
USAGE = ("cpu", "memory", "nodes", "walltime", "memory_limit")

KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_SUBMISSIONS = {kind: number for number, kind in enumerate(SubmissionKind)}


def _columns(*names: str) -> dict[str, array[int]]:
    """Return empty columns. Times have more than 32 bits, and other numbers have fewer."""
    return {name: array("q" if name in _TIMES else "i") for name in names}


class Chronicle:
    """The steps, attempts and other events of a study, in columns. `start` is the time of the first event.

    steps: `template` is the number of a template in `templates`, and `added` is a time; `names` holds the names
    params: for each parameter, a column with the number of each step's value; `values` holds the values and labels
    edges: `child` waits for `parent`; funnels: a step waits for all steps of a template
    attempts: in the order of their requests; times are `NOTHING` if they are unknown. `waits` is the kind of state
        after the request. `end` is the number of an entry in `ends`: the type and the sentence of the event that ended
        the attempt, the kind of state after it, and the exit code. `usage` holds a column for each quantity in the log
    notes: all other events; `kind` is the kind of the step's state after the event, `NOTHING` if it does not change
    """

    def __init__(self, start: Micros) -> None:
        self.start = start
        self.templates: Numbered[str] = Numbered()
        self.names = Texts()
        self.steps = _columns("template", "added")
        self.params: dict[str, array[int]] = {}
        self.values: dict[str, Numbered[tuple[str, str]]] = {}
        self.edges = _columns("child", "parent")
        self.funnels: Numbered[tuple[int, int]] = Numbered()
        self.attempts = _columns(
            "step", "number", "requested", "submitted", "started", "ended", "submission", "waits", "end", "host"
        )
        self.jobs = Ids()
        self.hosts: Numbered[str] = Numbered()
        self.ends: Numbered[tuple[str, str, int, int | None]] = Numbered()
        self.usage: dict[str, array[int]] = {}
        self.notes = _columns("time", "step", "type", "by", "sentence", "kind", "seq")
        self.types: Numbered[str] = Numbered()
        self.people: Numbered[str] = Numbered()
        self.sentences: Numbered[str] = Numbered()
        #: For each step: its state, the kind of this state, the time of the last change, and the last attempt.
        self.states = bytearray()
        self.kinds = bytearray()
        self._changed = array("q")
        self._attempt = array("i")

    def kind_of_step(self, number: int) -> str:
        """Return the kind of the last state of a step."""
        return KINDS[self.kinds[number - 1]]

    def add(self, event: Any, step: int | None, recorded_at: Micros, seq: int) -> None:  # noqa: ANN401 - any event
        """Add one event. Events must come in the order of the log."""
        add = _ADD.get(type(event))
        if add and step:
            add(self, event, step - 1, self._time(getattr(event, "at", recorded_at)), seq)
        elif step:
            self._add_other(event, step - 1, self._time(getattr(event, "at", None) or recorded_at), seq)
        elif type(event) not in _UNSHOWN:
            last = max(self._changed, default=0) if isinstance(event, e.StudyCompleted) else 0
            self._note(event, NOTHING, max(self._time(recorded_at), last), seq, NOTHING)

    def _time(self, at: Micros) -> int:
        return (at - self.start) // _MILLISECOND

    def _add_step(self, event: e.StepAdded, step: int, time: int, _seq: int) -> None:
        self.names.append(event.name)
        self.steps["template"].append(self.templates.number(event.template))
        self.steps["added"].append(max(time, 0))
        self.states.append(State.INITIALIZED.value)
        self.kinds.append(KIND_NUMBERS[kind_of(State.INITIALIZED, is_upstream=False)])
        self._changed.append(max(time, 0))
        self._attempt.append(NOTHING)
        self._add_params(event.params, step)
        for parent in event.parents:
            self.edges["child"].append(step)
            self.edges["parent"].append(parent - 1)
        for funnel in event.funnels:
            self.funnels.number((step, self.templates.number(funnel)))

    def _add_params(self, params: Iterable[Param], step: int) -> None:
        for param in params:
            column = self.params.setdefault(param.key, array("i"))
            column.extend([NOTHING] * (step - len(column)))
            values = self.values.setdefault(param.key, Numbered())
            column.append(values.number((str(param.value), param.label)))

    def _connect(self, event: e.ConnectionAdded, step: int, time: int, seq: int) -> None:
        self.edges["child"].append(step)
        self.edges["parent"].append(event.parent - 1)
        self._add_other(event, step, time, seq)

    def _disconnect(self, event: e.ConnectionRemoved, step: int, time: int, seq: int) -> None:
        child, parent = self.edges["child"], self.edges["parent"]
        for at in range(len(child) - 1, -1, -1):
            if (child[at], parent[at]) == (step, event.parent - 1):
                del child[at], parent[at]
        self._add_other(event, step, time, seq)

    def _request(self, event: e.SubmissionRequested, step: int, time: int, _seq: int) -> None:
        kind = self._change(event, step)
        values = {
            "step": step,
            "number": event.attempt,
            "requested": self._later(step, time),
            "submission": _SUBMISSIONS[event.kind],
            "waits": kind,
        }
        for name, column in self.attempts.items():
            column.append(values.get(name, NOTHING))
        for column in self.usage.values():
            column.append(NOTHING)
        self.jobs.append("")
        self._attempt[step] = len(self.jobs) - 1

    def _submit(self, event: e.JobSubmitted, step: int, time: int, seq: int) -> None:
        attempt = self._attempt[step]
        self._change(event, step)
        self.attempts["submitted"][attempt] = self._later(step, time)
        self.jobs[attempt] = event.job_id
        self._set_host(attempt, event.host)
        if event.adopted or event.edited or event.left_out:
            self._note(event, step, self._changed[step], seq, NOTHING)

    def _begin(self, event: e.JobStarted, step: int, time: int, _seq: int) -> None:
        attempt = self._attempt[step]
        self._change(event, step)
        self.attempts["started"][attempt] = self._later(step, time)
        self._set_host(attempt, event.host)

    def _set_host(self, attempt: int, host: str) -> None:
        if host:
            self.attempts["host"][attempt] = self.hosts.number(host)

    def _add_other(self, event: Any, step: int, time: int, seq: int) -> None:  # noqa: ANN401 - any event
        """Add an event that ends the attempt of a step, or any other event about a step."""
        before = self.states[step], self.kinds[step]
        kind = self._change(event, step)
        has_changed = (self.states[step], kind) != before
        attempt = self._attempt[step]
        is_shown = not self._use(event, step) and type(event) not in _UNSHOWN
        if isinstance(event, ENDS) and attempt != NOTHING and self.attempts["ended"][attempt] == NOTHING:
            self.attempts["ended"][attempt] = self._later(step, time)
            sentence = describe(event, self._name)
            end = (type(event).__name__, sentence, kind, getattr(event, "exit_code", None))
            self.attempts["end"][attempt] = self.ends.number(end)
        elif is_shown:
            at = self._later(step, time) if has_changed else time
            self._note(event, step, at, seq, kind if has_changed else NOTHING)

    def _use(self, event: Any, step: int) -> bool:  # noqa: ANN401 - any event
        """Add the usage of an attempt. Return whether the event contains a usage."""
        usage = getattr(event, "usage", None)
        attempt = NOTHING if usage is None else self._attempt_of(step, attempt_of(event.token))
        for name in USAGE if attempt != NOTHING else ():
            value = getattr(usage, name, None)
            if value is not None:
                column = self.usage.setdefault(name, array("q", [NOTHING]) * len(self.jobs))
                column[attempt] = value
        return usage is not None

    def _attempt_of(self, step: int, number: int) -> int:
        """Return the attempt of a step with this number, which is nearly always the last one."""
        attempt = self._attempt[step]
        steps, numbers = self.attempts["step"], self.attempts["number"]
        while attempt != NOTHING and (steps[attempt], numbers[attempt]) != (step, number):
            attempt -= 1
        return attempt

    def _change(self, event: Any, step: int) -> int:  # noqa: ANN401 - any event
        """Change the state of a step, and return the kind of the new state."""
        state = state_after(event, State(self.states[step]))
        is_upstream = getattr(event, "blocker", None) is not None
        self.states[step] = state.value
        self.kinds[step] = KIND_NUMBERS[kind_of(state, is_upstream=is_upstream)]
        return self.kinds[step]

    def _later(self, step: int, time: int) -> int:
        """Return a time that is later than the last change of a step, because the clocks of hosts may differ."""
        self._changed[step] = max(time, self._changed[step] + 1)
        return self._changed[step]

    def _note(self, event: Any, step: int, time: int, seq: int, kind: int) -> None:  # noqa: ANN401 - any event
        values = {
            "time": max(time, 0),
            "step": step,
            "type": self.types.number(type(event).__name__),
            "sentence": self.sentences.number(describe(event, self._name)),
            "kind": kind,
            "seq": seq,
            "by": NOTHING,
        }
        for name, column in self.notes.items():
            column.append(values[name])

    def _name(self, number: int) -> str:
        return self.names[number - 1]


_ADD: dict[type[e.Event], Callable[[Chronicle, Any, int, int, int], None]] = {
    e.StepAdded: Chronicle._add_step,  # noqa: SLF001 - methods of the class above
    e.ConnectionAdded: Chronicle._connect,  # noqa: SLF001 - likewise
    e.ConnectionRemoved: Chronicle._disconnect,  # noqa: SLF001 - likewise
    e.SubmissionRequested: Chronicle._request,  # noqa: SLF001 - likewise
    e.JobSubmitted: Chronicle._submit,  # noqa: SLF001 - likewise
    e.JobStarted: Chronicle._begin,  # noqa: SLF001 - likewise
}

#: The events that are not notes: every process writes an InvocationStarted, and the page shows the others elsewhere.
_UNSHOWN = {e.InvocationStarted, e.StepTemplateAdded, e.StepAdded}


def chronicle(log: StudyLog, upto: int) -> Chronicle:
    """Read the story of a study up to an event."""
    result: Chronicle | None = None
    with uncollected():
        for block in log.blocks(upto=upto):
            result = result or Chronicle(block.times[0])
            for seq, (time, step, event) in enumerate(zip(*block[1:], strict=True), block.first):
                result.add(event, step, time, seq)
    if result is None:
        return Chronicle(0)
    for column in result.params.values():
        column.extend([NOTHING] * (len(result.names) - len(column)))
    for at, actor in enumerate(writers(log, result.notes["seq"])):
        result.notes["by"][at] = result.people.number(actor)
    return result
