"""Decides which local steps are doubted after a reboot: those that finished just before the host went down.

These are the steps that finished just before the host went down.

An operating system may write the output of a program to disk half a minute late. A program can force an earlier write,
but that takes very long on a busy file system. So after a power cut, the report or the event of a step may be on disk
while its output is not. The power cut happened at an unknown time, after the host was last seen and before its next
boot. This module marks all steps that ended shortly before the host was last seen, or later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, State, StepRecord
from maestro_es.core.observations import Observations


def doubt_outputs(graph: Graph, seen: Observations, before: str, reconciled: Iterable[NewEvent]) -> list[NewEvent]:
    """Mark the doubted steps. `before` is the boot id before a reboot that is not recorded yet.

    `reconciled` records steps that finished before the reboot, which the log did not contain yet. They ended after the
    last tick before the reboot.
    """
    late = {number: event.at for number, event in reconciled if number and isinstance(event, e.StepFinished)}
    suspects = graph.steps() if before else map(graph.step, late)
    steps = [step for step in suspects if _is_of_boot(step, seen, before) or _is_late(step, seen, late)]
    if not steps:
        return []
    past = seen.last_boot
    alive = max([past.alive_at or 0 if past else 0, _wrote_at(graph, seen.host, before), *map(_last_sign, steps)])
    since = alive - (past.window if past else 0)
    booted = seen.booted_at or None
    return [
        (step.number, e.OutputDoubted(host=seen.host, alive_at=alive, booted_at=booted))
        for step in steps
        if _has_output(step) and (step.number in late or (step.ended_at or 0) > since)
    ]


def _is_of_boot(step: StepRecord, seen: Observations, boot: str) -> bool:
    """Return whether a local step was started on this host during this boot."""
    return not step.scheduled and step.job_host == seen.host and boot != "" and _boot(step) == boot


def _is_late(step: StepRecord, seen: Observations, late: Mapping[int, Micros]) -> bool:
    """Return whether a local step of this host finished during an earlier boot and this is recorded only now."""
    ended_late = step.number in late and not step.scheduled and step.job_host == seen.host
    return ended_late and _boot(step) not in ("", seen.boot_id)


def _boot(step: StepRecord) -> str:
    return step.job_instance.partition("/")[0]


def _wrote_at(graph: Graph, host: str, boot: str) -> Micros:
    """Return when a host wrote its last event during a boot (0: no such event is recorded)."""
    study_record = graph.study
    if (study_record.host, study_record.boot_id) == (host, boot):
        return study_record.written_at
    return max((known.seen_at for known in study_record.boots if known.key == (host, boot)), default=0)


def _last_sign(step: StepRecord) -> Micros:
    """Return the last time at which the host of a step was certainly up. That is the start or the end of the step."""
    return max(step.requested_at or 0, step.ended_at or 0)


def _has_output(step: StepRecord) -> bool:
    return step.state is State.FINISHED and not step.skipped and not step.doubted
