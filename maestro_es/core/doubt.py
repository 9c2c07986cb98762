"""Which outputs a reboot has put in doubt: those of local steps that finished just before their host went down.

A system writes what a program has written up to half a minute later. Nothing of ours makes it do so earlier: that may
take very long on a busy file system. So a step whose report or event is on disk may have output that is not, if the
power was cut. Nobody knows when that was: not before the last sign of life, and not after the host came up again. All
that ended too shortly before the last sign of life is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maestro_es.core import events as e
from maestro_es.core.events import Draft
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, State, StepRecord
from maestro_es.core.observations import Observations


def doubt_outputs(graph: Graph, seen: Observations, before: str, settled: Iterable[Draft]) -> list[Draft]:
    """Record whose output is in doubt. `before` is the boot id before a reboot that is new to the log.

    What has finished in an earlier boot, and was `settled` only now, ended after the last tick of that boot.
    """
    late = {number: event.at for number, event in settled if number and isinstance(event, e.StepFinished)}
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
    """Whether a local step was started on this host in that boot."""
    return not step.scheduled and step.job_host == seen.host and boot != "" and _boot(step) == boot


def _is_late(step: StepRecord, seen: Observations, late: Mapping[int, Micros]) -> bool:
    """Whether a local step of this host has finished in an earlier boot, and nobody knew until now."""
    here = step.number in late and not step.scheduled and step.job_host == seen.host
    return here and _boot(step) not in ("", seen.boot_id)


def _boot(step: StepRecord) -> str:
    return step.job_instance.partition("/")[0]


def _wrote_at(graph: Graph, host: str, boot: str) -> Micros:
    """Return when a host wrote its last event in a boot; 0 if it wrote none that we remember."""
    study = graph.study
    if (study.host, study.boot_id) == (host, boot):
        return study.written_at
    return max((known.seen_at for known in study.boots if known.key == (host, boot)), default=0)


def _last_sign(step: StepRecord) -> Micros:
    """Return when the host of a step was alive for certain: it has started it, and seen its end."""
    return max(step.requested_at or 0, step.ended_at or 0)


def _has_output(step: StepRecord) -> bool:
    return step.state is State.FINISHED and not step.skipped and not step.doubted
