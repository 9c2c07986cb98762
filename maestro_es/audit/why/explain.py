"""Explains why a step or a study is in its state, with one sentence and the events that prove it.

An answer is about the present or about a past moment. `maestro_es.audit.why.context` has its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_es.audit.attempts import which_script
from maestro_es.audit.sentences import assert_never, listed
from maestro_es.audit.status import counts
from maestro_es.audit.why.context import Explanation, View, cancel_of
from maestro_es.audit.why.ended import ended
from maestro_es.audit.why.in_flight import requested, submitted
from maestro_es.audit.why.waiting import ended_first, held, is_direct, others, priority, ready, roots, waits_for
from maestro_es.core import events as e
from maestro_es.core.graph import has_ended_badly
from maestro_es.core.model import Micros, Phase, StepRecord, StudyStatus


def why(view: View, step: StepRecord) -> Explanation:
    """Return why a step is in its state: a sentence, and its evidence in the order of the log."""
    explanation = in_full(view, step)
    waits = step.attempt and step.phase in (Phase.BLOCKED, Phase.READY)
    script = which_script(view.graph, step) if waits else ""
    runs = f"; it will run {script}" if script else ""
    return in_order(Explanation(f"{step.name} {explanation.message}{runs}", explanation.evidence))


def in_full(view: View, step: StepRecord) -> Explanation:
    """Return words that follow the name of a step: why it is in its state, and whether its output is doubted."""
    parts = (because(view, step), _in_doubt(view, step))
    proofs = (proof for part in parts for proof in part.evidence)
    return Explanation("".join(part.message for part in parts), tuple(proofs))


def in_order(answer: Explanation) -> Explanation:
    """Return an answer with its evidence in the order of the log, each event once."""
    proofs = {recorded.seq: recorded for recorded in answer.evidence}
    return Explanation(answer.message, tuple(proofs[seq] for seq in sorted(proofs)))


def because(view: View, step: StepRecord) -> Explanation:
    """Return words that follow the name of a step: why it is in its state."""
    match step.phase:
        case Phase.BLOCKED:
            return _blocked(view, step)
        case Phase.READY:
            return ready(view, step)
        case Phase.REQUESTED:
            return requested(view, step)
        case Phase.SUBMITTED:
            return submitted(view, step)
        case Phase.DONE:
            return ended(view, step.number)
        case _:
            return assert_never(step.phase)


def _in_doubt(view: View, step: StepRecord) -> Explanation:
    """Return the end of a sentence if the output of a step, or output that the step used, is doubted."""
    if step.doubted:
        doubts = _doubts(view, step)
        booted = "".join(f" (up again since {view.show(at)})" for _, at in doubts if at)
        host = step.job_host or "its host"
        message = f"; but {host} went down shortly after that{booted}, so its output may be incomplete"
        return Explanation(message, tuple(proof for proof, _ in doubts))
    if step.attempt == 0:
        return Explanation("")
    parents, funnels = view.graph.parents(step.number), view.graph.funnels(step.number)
    used = [step for step in view.graph.doubted() if step.number in parents or step.template in funnels]
    if not used:
        return Explanation("")
    proofs = tuple(proof for step in used for proof, _ in _doubts(view, step))
    return Explanation(
        f"; it used the output of {listed(step.name for step in used)}, which may be incomplete", proofs
    )


def _doubts(view: View, step: StepRecord) -> list[tuple[e.Recorded, Micros | None]]:
    """Return the last event that marks a step as doubted, if any, and when its host booted afterwards."""
    events = [(r, r.event.booted_at) for r in view.events_of(step.number) if isinstance(r.event, e.OutputDoubted)]
    return events[-1:]


def _blocked(view: View, step: StepRecord) -> Explanation:
    """Return the steps for which a step waits, and why one of them has not finished."""
    edges = (e.StepAdded, e.ConnectionAdded, e.ConnectionRemoved)
    added = tuple(recorded for recorded in view.events_of(step.number) if isinstance(recorded.event, edges))
    waiting = waits_for(view.graph, step)
    message = f"waits for {listed(waiting)}"
    for ending in ended_first(view, step):
        return Explanation(f"{message}, but {ending.message}", (*added, *ending.evidence))
    parts = [
        _root(view, step, waiting),
        *(Explanation(f"; also, {h.message}", h.evidence) for h in held(view, step)),
    ]
    proofs = (proof for part in parts for proof in part.evidence)
    return Explanation(message + "".join(part.message for part in parts), (*added, *proofs))


def _root(view: View, step: StepRecord, waiting: Sequence[str]) -> Explanation:
    """Return the root cause: an unblocked step on which the step depends, and why that step is not done."""
    origins = roots(view, step)
    if not origins:
        return Explanation(", and so for many more steps")
    first, *rest = origins
    if waiting == [first.name]:
        link = ", which"
    elif is_direct(view.graph, step, first):
        link = f"; {first.name}"
    else:
        link = f", and therefore for {first.name}, which"
    reason = because(view, first)
    if view.graph.study.cascading and has_ended_badly(first):
        message = f"{link} {reason.message}; so it will not run, and the next ticks end it"
        return Explanation(message, (*reason.evidence, *view.last(e.CascadeStarted)))
    return Explanation(f"{link} {reason.message}{others(rest)}", reason.evidence)


def why_study(view: View) -> Explanation:
    """Return why a study is in its state: a sentence, and its evidence in the order of the log."""
    parts = list(_parts(view))
    proofs = [proof for part in parts for proof in part.evidence] or list(view.last(e.StudyCreated))
    return in_order(Explanation("".join(part.message for part in parts), tuple(proofs)))


def _parts(view: View) -> Iterator[Explanation]:
    study_record = view.graph.study
    yield Explanation(study_record.name or study_record.study_id)
    if study_record.status is not StudyStatus.RUNNING:
        yield _ended(view)
        return
    if not study_record.open_steps:
        soon = "; the next tick completes it" if study_record.steps else ""
        yield Explanation(f": {counts(study_record.states)}{soon}")
        return
    flying = list(view.graph.in_flight())
    verb = "is" if study_record.open_steps == 1 else "are"
    not_done = f"{study_record.open_steps} of {study_record.steps} steps {verb} not done"
    yield Explanation(f": {not_done}, {len(flying)} in flight")
    if study_record.cancelling:
        request = cancel_of(view)
        yield Explanation(f"; it is being cancelled{view.attribution(request)}", request)
    if study_record.paused:
        paused = view.last(e.StudyPaused)
        yield Explanation(f"; it is paused{view.attribution(paused)}", paused)
    first = _first(view, flying)
    if first:
        reason = because(view, first)
        yield Explanation(f"; {first.name} {reason.message}", reason.evidence)


def _ended(view: View) -> Explanation:
    study_record = view.graph.study
    completed = view.last(e.StudyCompleted)
    when = "".join(f" at {view.show(recorded.recorded_at)}" for recorded in completed)
    return Explanation(f" ended{when}, {study_record.status.name}: {counts(study_record.states)}", completed)


def _first(view: View, flying: list[StepRecord]) -> StepRecord | None:
    """Return the step that best explains why the study is not done, if any."""
    if flying:
        return min(flying, key=lambda step: (priority(step), step.number))
    for scheduled in (True, False):
        for step in view.graph.ready(scheduled=scheduled, limit=1):
            return step
    return next(iter(view.graph.held()), None)
