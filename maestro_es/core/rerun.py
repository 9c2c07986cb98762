"""The requests that rerun or skip steps, or resume a cancelled study. Each function returns events.

If a step fails, the steps that depend on it do not run. They wait again when the failed step is rerun or skipped,
unless another step on which they depend has also ended without success. So a step never waits for a step that will not
run.

`step_rules._reset` applies the events. It sets the counts of restarts and resubmissions to zero, and chooses the
script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph, waiting_for
from maestro_es.core.model import (
    FAILED_STATES,
    IN_FLIGHT,
    RELEASED,
    Micros,
    Phase,
    State,
    StepRecord,
    StudyStatus,
    SubmissionKind,
)
from maestro_es.core.requests import choose, update
from maestro_es.core.transitions import can_go_on, untouched
from maestro_es.errors import RequestRefused

#: How many steps a refusal names. The others are only counted.
_NAMED = 5


class How(NamedTuple):
    """How steps run again. With `from_scratch`, they run their main script, even if they could resume.

    With `keep_script`, they run their scripts as users have edited them.
    """

    from_scratch: bool = False
    keep_script: bool = False

    def changes(self, step: StepRecord) -> bool:
        """Return whether these options change how a waiting step will run."""
        if not step.attempt or step.phase not in (Phase.BLOCKED, Phase.READY):
            return False
        restarts = step.kind is SubmissionKind.RESTART
        return (self.from_scratch and restarts) or (self.keep_script and not step.keep_script)


#: The default: a step that had started resumes from its checkpoint.
GO_ON = How()


def retry(
    graph: Graph,
    patterns: Sequence[str] = (),
    *,
    failed: bool = False,
    descendants: bool = False,
    how: How = GO_ON,
    limits: Mapping[str, int] | None = None,
    reason: str = "",
) -> list[NewEvent]:
    """Request that steps run again in their workspaces. Their counts of restarts and resubmissions start at zero.

    A pattern selects steps that have failed or were cancelled. `failed` leaves out the cancelled steps; without
    patterns it selects all failed steps. A finished step is selected only by its full name. Steps that ended because
    of a selected step run again too. With `descendants`, all steps that depend on a selected step run again as well.
    Without `descendants`, the request is refused if a finished step is selected, but a step that depends on it and has
    already run is not. `limits` are settings as for `update`.

    A step that had started and has not finished resumes with its restart script, unless `how` says otherwise or a step
    on which it depends runs again. A step that is waiting to run may be selected again, to run differently.
    """
    _refuse_cancelling(graph)
    if not patterns and not failed:
        raise RequestRefused("name the steps to run again, or use --failed for all failed steps")
    named = set(patterns)
    if failed and not patterns and not any(graph.study.states.get(state.name) for state in FAILED_STATES):
        raise RequestRefused("no step has failed")
    chosen = choose(
        graph,
        patterns or ["*"],
        lambda step: "" if how.changes(step) and not failed else _not_to_retry(graph, step, named, failed),
    )
    to_reset = {step.number: step for step in chosen}
    if descendants:
        to_reset.update(_all_after(graph, chosen))
    else:
        _refuse_results_after(graph, to_reset)
    to_reset.update(_ended_because_of(graph, to_reset.values()))
    must = {step.number for step in to_reset.values() if step.name in named}
    must |= {step.number for step in to_reset.values() if step.state in RELEASED and not step.skipped}
    resets = _resets(graph, _that_can_run(graph, to_reset, must), reason, how)
    return [*_reopening(graph, reason), *update(graph, dict(limits or {}), reason), *resets]


def retry_doubted(graph: Graph, patterns: Sequence[str] = (), reason: str = "") -> list[NewEvent]:
    """Request that doubted steps run again, together with all steps that depend on them."""
    doubted = {step.name for step in graph.doubted()}
    if not doubted:
        raise RequestRefused("no step's output is doubted")
    chosen = choose(graph, patterns or ["*"], lambda step: "" if step.name in doubted else "has no doubted output")
    return retry(graph, [step.name for step in chosen], descendants=True, reason=reason)


def skip(graph: Graph, patterns: Sequence[str], by: str, reason: str = "") -> list[NewEvent]:
    """Request that steps count as finished, although they have failed or have not run. `by` is the user."""
    _refuse_cancelling(graph)
    chosen = choose(graph, patterns, _not_to_skip)
    skipped = {step.number for step in chosen}
    after = {n: step for n, step in _ended_because_of(graph, chosen).items() if n not in skipped}
    able = _that_can_run(graph, after, set(), gone=skipped) if after else after
    skips: list[NewEvent] = [(number, e.StepSkipped(by=by, reason=reason)) for number in skipped]
    return [*_reopening(graph, reason), *skips, *_resets(graph, able, reason, GO_ON)]


def reopen(graph: Graph, reason: str = "", how: How = GO_ON) -> list[NewEvent]:
    """Request that a cancelled study resumes. The cancelled steps run again, as after `retry`."""
    _refuse_cancelling(graph)
    if graph.study.status is StudyStatus.RUNNING:
        raise RequestRefused("the study has not ended; 'maestro-es retry STEP' runs a cancelled step again")
    to_reset = {step.number: step for step in graph.steps() if step.state is State.CANCELLED and step.blocker is None}
    if not to_reset:
        more = "; 'maestro-es retry --failed' runs the failed ones again"
        hint = more if graph.study.status is StudyStatus.FAILURE else ""
        raise RequestRefused(f"no step of the study was cancelled: there is nothing to resume{hint}")
    to_reset.update(_ended_because_of(graph, to_reset.values()))
    resets = _resets(graph, _that_can_run(graph, to_reset, set()), reason, how)
    return [*_reopening(graph, reason), *resets]


def give_up(
    graph: Graph, patterns: Sequence[str], is_watched: Callable[[StepRecord], bool], by: str, at: Micros, reason: str
) -> list[NewEvent]:
    """Give up steps that ran on another host, because the user `by` says that the host is gone for good.

    The steps run again, or are cancelled if a cancel was requested. `is_watched` returns whether this host can see a
    local step, or whether the scheduler still watches a job.
    """
    statement = f"{by} says that the host is gone for good{f': {reason}' if reason else ''}"
    evidence = (e.Evidence(source="user", detail=statement),)
    new_events: list[NewEvent] = []
    for step in choose(graph, patterns, lambda step: _not_to_give_up(step, is_watched)):
        if step.cancelling or graph.study.cancelling:
            event: e.AnyEvent = e.StepCancelled(token=step.token, at=at, message="cancelled", evidence=evidence)
        else:
            number, limit = step.hardware_failures + 1, graph.study.settings.hardware_limit
            event = e.HardwareFailed(
                token=step.token, at=at, number=number, limit=limit, reason=statement, evidence=evidence, noticed=True
            )
        new_events.append((step.number, event))
    return new_events


# -- which steps -----------------------------------------------------------------------------------------------------


def _refuse_cancelling(graph: Graph) -> None:
    if graph.study.cancelling and graph.study.status is StudyStatus.RUNNING:
        raise RequestRefused("the study is being cancelled: wait until it has ended ('maestro-es status')")


def _reopening(graph: Graph, reason: str) -> list[NewEvent]:
    if graph.study.status is StudyStatus.RUNNING:
        return []
    return [(None, e.StudyReopened(reason=reason))]


def _not_to_retry(graph: Graph, step: StepRecord, named: set[str], failed: bool) -> str:  # noqa: FBT001 - a value
    """Return the reason why a step can't run again (empty: it can)."""
    if step.phase in IN_FLIGHT:
        return "is in flight: cancel it first, or wait for it to end"
    if step.phase is not Phase.DONE:
        return "has not ended: it is still waiting to run"
    if failed and step.state not in FAILED_STATES:
        return f"has not failed, it is {step.state.name}"
    if failed and step.blocker is not None:
        return f"ended because of {graph.step(step.blocker).name}, and runs again with that step"
    if step.state in RELEASED and step.name not in named:
        return "has finished; give its full name to run it again"
    return ""


def _not_to_give_up(step: StepRecord, is_watched: Callable[[StepRecord], bool]) -> str:
    """Return why a user can't give up a step (empty: it is possible)."""
    if step.phase is not Phase.SUBMITTED:
        return "is not running"
    if not is_watched(step):
        return ""
    if step.scheduled:
        return "is a job, and the scheduler will report its end"
    return "can be seen from this host, so a tick will record its end"


def _not_to_skip(step: StepRecord) -> str:
    """Return why a step can't be skipped (empty: it is possible)."""
    if step.phase in IN_FLIGHT:
        return "is in flight: cancel it first"
    if step.state in RELEASED:
        return "was already skipped" if step.skipped else "has finished: there is nothing to skip"
    return ""


def _after(graph: Graph, starts: Iterable[StepRecord], go_on: Callable[[StepRecord], bool]) -> dict[int, StepRecord]:
    """Return the steps that depend on one of these, directly or through other steps.

    If `go_on` returns false for a step, the walk leaves out this step and does not go beyond it.
    """
    descendants: dict[int, StepRecord] = {}
    templates: set[str] = set()
    frontier = list(starts)
    while frontier:
        for child in map(graph.step, waiting_for(graph, frontier.pop(), templates)):
            if child.number not in descendants and go_on(child):
                descendants[child.number] = child
                frontier.append(child)
    return descendants


def _ended_because_of(graph: Graph, starts: Iterable[StepRecord]) -> dict[int, StepRecord]:
    return _after(graph, starts, lambda step: step.blocker is not None)


def _all_after(graph: Graph, chosen: Sequence[StepRecord]) -> dict[int, StepRecord]:
    """Return all steps that depend on these, except the untouched ones, which need no reset."""
    after = _after(graph, chosen, lambda _: True)
    flying = [step.name for step in after.values() if step.phase in IN_FLIGHT]
    if flying:
        raise RequestRefused(f"in flight: {_listed(flying)}; cancel these first, or wait until they end")
    return {number: step for number, step in after.items() if not untouched(step)}


def _refuse_results_after(graph: Graph, to_reset: Mapping[int, StepRecord]) -> None:
    """Refuse to run a finished step again without the steps that ran after it."""
    finished = [step for step in to_reset.values() if step.state in RELEASED]
    after = _after(graph, finished, lambda step: _has_run(step) or step.blocker is not None)
    results = [step.name for number, step in after.items() if number not in to_reset and _has_run(step)]
    if results:
        which = "it" if len(finished) == 1 else "them"
        raise RequestRefused(
            f"{_listed([step.name for step in finished])} can't run again alone, because {_listed(results)} ran after "
            f"{which}: add --descendants, or name the later steps too"
        )


def _has_run(step: StepRecord) -> bool:
    """Return whether a step has used the results of the steps on which it depends, or is about to use them."""
    if step.skipped or untouched(step):
        return False
    return step.phase is not Phase.DONE or step.state in RELEASED or step.submitted_at is not None


# -- what can run ----------------------------------------------------------------------------------------------------


def _that_can_run(
    graph: Graph, to_reset: Mapping[int, StepRecord], must: set[int], *, gone: Iterable[int] = ()
) -> dict[int, StepRecord]:
    """Return the selected steps, without those that depend on a step that ended badly and does not run again.

    If the bad step is in `gone`, the steps that depend on it are not left out.

    RequestRefused if one of the steps that `must` run is left out, or if no step remains.
    """
    able = dict(to_reset)
    bad = {step.number: step for step in graph.steps() if _ended_badly(step) and step.number not in able}
    for number in gone:
        bad.pop(number, None)
    templates = Counter(step.template for step in bad.values())
    why = ""
    pending = list(able)
    while pending:
        step = able.get(pending.pop())
        blocker = step and _blocker(graph, step, bad, templates)
        if step is None or blocker is None:
            continue
        why = why or _blocked(graph, step, blocker, bad)
        if step.number in must:
            raise RequestRefused(_blocked(graph, step, blocker, bad))
        del able[step.number]
        if _ended_badly(step):
            bad[step.number] = step
            templates[step.template] += 1
            pending += [number for number in waiting_for(graph, step, set()) if number in able]
    if not able and not gone:
        raise RequestRefused(why)
    return able


def _ended_badly(step: StepRecord) -> bool:
    return step.phase is Phase.DONE and step.state not in RELEASED


def _blocker(
    graph: Graph, step: StepRecord, bad: Mapping[int, StepRecord], templates: Mapping[str, int]
) -> StepRecord | None:
    """Return one of the `bad` steps for which this step waits. `templates` counts the bad steps by template."""
    for parent in graph.parents(step.number):
        if parent in bad:
            return bad[parent]
    for template in graph.funnels(step.number):
        if templates.get(template):
            return next(other for other in bad.values() if other.template == template)
    return None


def _blocked(graph: Graph, step: StepRecord, blocker: StepRecord, bad: Mapping[int, StepRecord]) -> str:
    """Return the message that a step can't run, with the name of the step that is the cause."""
    while blocker.blocker in bad:
        blocker = graph.step(blocker.blocker or 0)
    return (
        f"{step.name} can't run again: it waits for {blocker.name}, which is {blocker.state.name}; "
        "retry that step too, or skip it"
    )


def _resets(graph: Graph, to_reset: Mapping[int, StepRecord], reason: str, how: How) -> list[NewEvent]:
    """Return the resets of these steps, each after the resets of the steps that depend on it.

    A finished step starts from the beginning, and so does a step whose checkpoint is based on results that change.
    """
    again = [step for step in to_reset.values() if step.state in RELEASED]
    from_cmd = {step.number for step in again if not step.skipped}
    from_cmd.update(_after(graph, again, lambda step: step.number in to_reset))
    resets: list[NewEvent] = []
    for number in _children_first(graph, to_reset):
        begins = can_go_on(graph, to_reset[number]) and (how.from_scratch or number in from_cmd)
        resets.append((number, e.StepReset(reason=reason, from_scratch=begins, keep_script=how.keep_script)))
    return resets


def _children_first(graph: Graph, to_reset: Mapping[int, StepRecord]) -> list[int]:
    """Return the numbers of these steps, each after all steps that depend on it."""
    order: dict[int, None] = {}
    templates: set[str] = set()
    opened: set[int] = set()
    stack = sorted(to_reset, reverse=True)
    while stack:
        number = stack.pop()
        if number in opened:
            order[number] = None
            continue
        opened.add(number)
        stack.append(number)
        after = waiting_for(graph, to_reset[number], templates)
        stack += [child for child in after if child in to_reset and child not in opened]
    return list(order)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
