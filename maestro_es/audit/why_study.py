"""Why a study as a whole is not done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maestro_es.audit.view import Answer, View, cancel_of
from maestro_es.audit.why import because, in_order
from maestro_es.audit.why_blocked import urgency
from maestro_es.core import events as e
from maestro_es.core.model import State, StepRecord, StudyStatus


def why_study(view: View) -> Answer:
    """Return why a study is as it is: a sentence, and its evidence in the order of the log."""
    parts = list(_parts(view))
    proofs = [proof for part in parts for proof in part.evidence] or list(view.last(e.StudyCreated))
    return in_order(Answer("".join(part.words for part in parts), tuple(proofs)))


def _parts(view: View) -> Iterator[Answer]:
    study = view.graph.study
    yield Answer(study.name or study.study_id)
    if study.status is not StudyStatus.RUNNING:
        yield _ended(view)
        return
    if not study.open_steps:
        yield Answer(f": {_counts(study.states)}{'; the next tick completes it' if study.steps else ''}")
        return
    flying = list(view.graph.in_flight())
    yield Answer(f": {study.open_steps} of {study.steps} steps are not done, {len(flying)} in flight")
    if study.cancelling:
        wish = "".join(f", as {view.wish(recorded)}" for recorded in cancel_of(view))
        yield Answer(f"; it is being cancelled{wish}", cancel_of(view))
    if study.paused:
        paused = view.last(e.StudyPaused)
        wish = "".join(f", as {view.wish(recorded)}" for recorded in paused)
        yield Answer(f"; it is paused{wish}", paused)
    first = _first(view, flying)
    if first:
        reason = because(view, first)
        yield Answer(f"; {first.name} {reason.words}", reason.evidence)


def _ended(view: View) -> Answer:
    study = view.graph.study
    completed = view.last(e.StudyCompleted)
    when = "".join(f" at {view.show(recorded.recorded_at)}" for recorded in completed)
    return Answer(f" has ended{when}, {study.status.name}: {_counts(study.states)}", completed)


def _first(view: View, flying: list[StepRecord]) -> StepRecord | None:
    """Return the step that tells most of why the study is not done."""
    if flying:
        return min(flying, key=lambda step: (urgency(step), step.number))
    for scheduled in (True, False):
        for step in view.graph.ready(scheduled=scheduled, limit=1):
            return step
    return next(iter(view.graph.held()), None)


def _counts(states: Mapping[str, int]) -> str:
    return ", ".join(f"{states[state.name]} {state.name}" for state in State if state.name in states) or "no steps"
