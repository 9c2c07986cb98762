"""Why a step or a study is as it is: one sentence, and the events that prove it.

An answer is made from the log alone, of now or of any moment before: see `maestro_es.audit.why.context`.
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
from maestro_es.core.model import Micros, Phase, StepRecord, StudyStatus


def why(view: View, record: StepRecord) -> Explanation:
    """Return why a step is as it is: a sentence, and its evidence in the order of the log."""
    found = in_full(view, record)
    waits = record.attempt and record.phase in (Phase.BLOCKED, Phase.READY)
    script = which_script(view.graph, record) if waits else ""
    runs = f"; it will run {script}" if script else ""
    return in_order(Explanation(f"{record.name} {found.message}{runs}", found.evidence))


def in_full(view: View, record: StepRecord) -> Explanation:
    """Return why a step is as it is, and what is in doubt, in words that follow its name."""
    parts = (because(view, record), _in_doubt(view, record))
    proofs = (proof for part in parts for proof in part.evidence)
    return Explanation("".join(part.message for part in parts), tuple(proofs))


def in_order(answer: Explanation) -> Explanation:
    """Return an answer with its evidence in the order of the log, each event once."""
    proofs = {recorded.seq: recorded for recorded in answer.evidence}
    return Explanation(answer.message, tuple(proofs[seq] for seq in sorted(proofs)))


def because(view: View, record: StepRecord) -> Explanation:
    """Return why a step is as it is, in words that follow its name."""
    match record.phase:
        case Phase.BLOCKED:
            return _blocked(view, record)
        case Phase.READY:
            return ready(view, record)
        case Phase.REQUESTED:
            return requested(view, record)
        case Phase.SUBMITTED:
            return submitted(view, record)
        case Phase.DONE:
            return ended(view, record.number)
        case _:
            return assert_never(record.phase)


def _in_doubt(view: View, record: StepRecord) -> Explanation:
    """Return what is in doubt of the output of a step, or of one that it has used, as words that end a sentence."""
    if record.doubted:
        found = _doubts(view, record)
        booted = "".join(f" (up again since {view.show(at)})" for _, at in found if at)
        host = record.job_host or "its host"
        words = f"; but {host} went down shortly after that{booted}, so its output may be incomplete"
        return Explanation(words, tuple(proof for proof, _ in found))
    if record.attempt == 0:
        return Explanation("")
    parents, funnels = view.graph.parents(record.number), view.graph.funnels(record.number)
    used = [step for step in view.graph.doubted() if step.number in parents or step.template in funnels]
    if not used:
        return Explanation("")
    proofs = tuple(proof for step in used for proof, _ in _doubts(view, step))
    return Explanation(
        f"; it used the output of {listed(step.name for step in used)}, which may be incomplete", proofs
    )


def _doubts(view: View, record: StepRecord) -> list[tuple[e.Recorded, Micros | None]]:
    """Return the last event that puts the output of a step in doubt, and when its host was up again."""
    events = [(r, r.event.booted_at) for r in view.events_of(record.number) if isinstance(r.event, e.OutputDoubted)]
    return events[-1:]


def _blocked(view: View, record: StepRecord) -> Explanation:
    """Return what a step waits for, and why that has not finished yet."""
    edges = (e.StepAdded, e.ConnectionAdded, e.ConnectionRemoved)
    added = tuple(recorded for recorded in view.events_of(record.number) if isinstance(recorded.event, edges))
    waiting = waits_for(view.graph, record)
    words = f"waits for {listed(waiting)}"
    for ending in ended_first(view, record):
        return Explanation(f"{words}, but {ending.message}", (*added, *ending.evidence))
    parts = [
        _root(view, record, waiting),
        *(Explanation(f"; also, {h.message}", h.evidence) for h in held(view, record)),
    ]
    proofs = (proof for part in parts for proof in part.evidence)
    return Explanation(words + "".join(part.message for part in parts), (*added, *proofs))


def _root(view: View, record: StepRecord, waiting: Sequence[str]) -> Explanation:
    """Return what the waiting comes down to."""
    found = roots(view, record)
    if not found:
        return Explanation(", and so for many more steps")
    first, *rest = found
    if waiting == [first.name]:
        link = ", which"
    elif is_direct(view.graph, record, first):
        link = f"; {first.name}"
    else:
        link = f", and therefore for {first.name}, which"
    reason = because(view, first)
    return Explanation(f"{link} {reason.message}{others(rest)}", reason.evidence)


def why_study(view: View) -> Explanation:
    """Return why a study is as it is: a sentence, and its evidence in the order of the log."""
    parts = list(_parts(view))
    proofs = [proof for part in parts for proof in part.evidence] or list(view.last(e.StudyCreated))
    return in_order(Explanation("".join(part.message for part in parts), tuple(proofs)))


def _parts(view: View) -> Iterator[Explanation]:
    study = view.graph.study
    yield Explanation(study.name or study.study_id)
    if study.status is not StudyStatus.RUNNING:
        yield _ended(view)
        return
    if not study.open_steps:
        yield Explanation(f": {counts(study.states)}{'; the next tick completes it' if study.steps else ''}")
        return
    flying = list(view.graph.in_flight())
    yield Explanation(f": {study.open_steps} of {study.steps} steps are not done, {len(flying)} in flight")
    if study.cancelling:
        request = cancel_of(view)
        yield Explanation(f"; it is being cancelled{view.attribution(request)}", request)
    if study.paused:
        paused = view.last(e.StudyPaused)
        yield Explanation(f"; it is paused{view.attribution(paused)}", paused)
    first = _first(view, flying)
    if first:
        reason = because(view, first)
        yield Explanation(f"; {first.name} {reason.message}", reason.evidence)


def _ended(view: View) -> Explanation:
    study = view.graph.study
    completed = view.last(e.StudyCompleted)
    when = "".join(f" at {view.show(recorded.recorded_at)}" for recorded in completed)
    return Explanation(f" has ended{when}, {study.status.name}: {counts(study.states)}", completed)


def _first(view: View, flying: list[StepRecord]) -> StepRecord | None:
    """Return the step that tells most of why the study is not done."""
    if flying:
        return min(flying, key=lambda step: (priority(step), step.number))
    for scheduled in (True, False):
        for step in view.graph.ready(scheduled=scheduled, limit=1):
            return step
    return next(iter(view.graph.held()), None)
