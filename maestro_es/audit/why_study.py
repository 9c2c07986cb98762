"""Why a study as a whole is not done."""

from __future__ import annotations

from collections.abc import Iterator

from maestro_es.audit.status import counts
from maestro_es.audit.view import Answer, View, cancel_of
from maestro_es.audit.why import because, in_order
from maestro_es.audit.why_blocked import priority
from maestro_es.core import events as e
from maestro_es.core.model import StepRecord, StudyStatus


def why_study(view: View) -> Answer:
    """Return why a study is as it is: a sentence, and its evidence in the order of the log."""
    parts = list(_parts(view))
    proofs = [proof for part in parts for proof in part.evidence] or list(view.last(e.StudyCreated))
    return in_order(Answer("".join(part.message for part in parts), tuple(proofs)))


def _parts(view: View) -> Iterator[Answer]:
    study = view.graph.study
    yield Answer(study.name or study.study_id)
    if study.status is not StudyStatus.RUNNING:
        yield _ended(view)
        return
    if not study.open_steps:
        yield Answer(f": {counts(study.states)}{'; the next tick completes it' if study.steps else ''}")
        return
    flying = list(view.graph.in_flight())
    yield Answer(f": {study.open_steps} of {study.steps} steps are not done, {len(flying)} in flight")
    if study.cancelling:
        request = cancel_of(view)
        yield Answer(f"; it is being cancelled{view.attribution(request)}", request)
    if study.paused:
        paused = view.last(e.StudyPaused)
        yield Answer(f"; it is paused{view.attribution(paused)}", paused)
    first = _first(view, flying)
    if first:
        reason = because(view, first)
        yield Answer(f"; {first.name} {reason.message}", reason.evidence)


def _ended(view: View) -> Answer:
    study = view.graph.study
    completed = view.last(e.StudyCompleted)
    when = "".join(f" at {view.show(recorded.recorded_at)}" for recorded in completed)
    return Answer(f" has ended{when}, {study.status.name}: {counts(study.states)}", completed)


def _first(view: View, flying: list[StepRecord]) -> StepRecord | None:
    """Return the step that tells most of why the study is not done."""
    if flying:
        return min(flying, key=lambda step: (priority(step), step.number))
    for scheduled in (True, False):
        for step in view.graph.ready(scheduled=scheduled, limit=1):
            return step
    return next(iter(view.graph.held()), None)
