"""Why a step is as it is: one sentence, and the events that prove it.

An answer is made from the log alone, of now or of any moment before: see `maestro_es.audit.view`.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.audit.sentences import assert_never, listed
from maestro_es.audit.view import Answer, View
from maestro_es.audit.which_script import which_script
from maestro_es.audit.why_blocked import is_direct, others, roots, waits_for
from maestro_es.audit.why_ended import ended
from maestro_es.audit.why_in_flight import requested, submitted
from maestro_es.audit.why_ready import ended_first, held, ready
from maestro_es.core import events as e
from maestro_es.core.model import Phase, StepRecord


def why(view: View, record: StepRecord) -> Answer:
    """Return why a step is as it is: a sentence, and its evidence in the order of the log."""
    found = because(view, record)
    waits = record.attempt and record.phase in (Phase.BLOCKED, Phase.READY)
    script = which_script(view.graph, record) if waits else ""
    runs = f"; it will run {script}" if script else ""
    return in_order(Answer(f"{record.name} {found.words}{runs}", found.evidence))


def in_order(answer: Answer) -> Answer:
    """Return an answer with its evidence in the order of the log, each event once."""
    proofs = {recorded.seq: recorded for recorded in answer.evidence}
    return Answer(answer.words, tuple(proofs[seq] for seq in sorted(proofs)))


def because(view: View, record: StepRecord) -> Answer:
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


def _blocked(view: View, record: StepRecord) -> Answer:
    """Return what a step waits for, and why that has not finished yet."""
    added = tuple(r for r in view.events_of(record.number) if isinstance(r.event, (e.StepAdded, e.ConnectionAdded)))
    waiting = waits_for(view.graph, record)
    words = f"waits for {listed(waiting)}"
    for ending in ended_first(view, record):
        return Answer(f"{words}, but {ending.words}", (*added, *ending.evidence))
    parts = [_root(view, record, waiting), *(Answer(f"; besides, {h.words}", h.evidence) for h in held(view, record))]
    proofs = (proof for part in parts for proof in part.evidence)
    return Answer(words + "".join(part.words for part in parts), (*added, *proofs))


def _root(view: View, record: StepRecord, waiting: Sequence[str]) -> Answer:
    """Return what the waiting comes down to."""
    found = roots(view, record)
    if not found:
        return Answer(", and that for many steps more")
    first, *rest = found
    if waiting == [first.name]:
        link = ", which"
    elif is_direct(view.graph, record, first):
        link = f"; {first.name}"
    else:
        link = f", and so for {first.name}, which"
    reason = because(view, first)
    return Answer(f"{link} {reason.words}{others(rest)}", reason.evidence)
