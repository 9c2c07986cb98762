"""The study of docs/questions.md: ten steps on a cluster, over a night in which a node fails.

    python -m tests.fakes.night DIR

creates it in DIR. Its log is written through the interface of the log, with fixed times and users. ``docs/heat.jsonl``
is the output of 'maestro-es export DIR'.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause, Param, Settings, StudyStatus, SubmissionKind
from maestro_es.core.usage import Usage
from maestro_es.creation.create import make_directory
from maestro_es.store.study_log import StudyLog

MINUTE = 60_000_000

#: 2026-01-30 17:30 UTC. All times below are minutes after this time.
EVENING = 1_769_794_200_000_000

SIZES = ("10", "20", "40")
METHODS = ("cg", "gmres")
STEPS = {
    **{f"mesh_SIZE.{size}": ("mesh", {"SIZE": size}) for size in SIZES},
    **{
        f"solve_METHOD.{method}.SIZE.{size}": ("solve", {"METHOD": method, "SIZE": size})
        for size in SIZES
        for method in METHODS
    },
    "report": ("report", {}),
}
NUMBERS = {name: number for number, name in enumerate(STEPS, 1)}


class Try(NamedTuple):
    """One attempt: requested and submitted, started on a node, and ended, in minutes; None: not yet."""

    step: str
    requested: int
    started: int
    ended: int | None
    node: str
    end: str = "finished"


TRIES = (
    Try("mesh_SIZE.10", 1, 2, 10, "n05"),
    Try("mesh_SIZE.20", 1, 2, 16, "n05"),
    Try("mesh_SIZE.40", 11, 13, 45, "n06"),
    Try("solve_METHOD.cg.SIZE.10", 17, 30, 60, "n05"),
    Try("solve_METHOD.gmres.SIZE.10", 46, 95, 140, "n06"),
    Try("solve_METHOD.cg.SIZE.20", 61, 120, 260, "n05"),
    Try("solve_METHOD.gmres.SIZE.20", 141, 285, 523, "n07", "node"),
    Try("solve_METHOD.cg.SIZE.40", 281, 290, 440, "n08", "time"),
    Try("solve_METHOD.gmres.SIZE.40", 281, 291, 523, "n07", "node"),
    Try("solve_METHOD.cg.SIZE.40", 440, 442, 560, "n08"),
    Try("solve_METHOD.gmres.SIZE.20", 523, 530, 700, "n09"),
    Try("solve_METHOD.gmres.SIZE.40", 523, 531, 711, "n09", "time"),
    Try("solve_METHOD.gmres.SIZE.40", 711, 715, 895, "n10", "time"),
    Try("solve_METHOD.gmres.SIZE.40", 895, 900, 930, "n10", "memory"),
    Try("solve_METHOD.gmres.SIZE.40", 952, 955, None, "n11"),
)

KINDS = {"": SubmissionKind.FIRST, "node": SubmissionKind.RESUBMIT, "time": SubmissionKind.RESTART}
NODE_FAIL = (e.Evidence(source="accounting", detail="NODE_FAIL"),)
TIMEOUT = (e.Evidence(source="accounting", detail="TIMEOUT"),)


def make_night(root: Path) -> None:
    """Create the study in a directory that may exist but has no study."""
    study = make_directory(root)
    now = EVENING
    log = StudyLog.create(study.log, lambda: now, person("ada", 4000, "maestro-es run -y heat.yaml"))
    with log:
        log.append(plan())
    told = ticks()
    for minute, (who, new_events) in sorted([*DECISIONS.items(), *((m, (None, d)) for m, d in told.items())]):
        now = EVENING + minute * MINUTE
        identity = who or person("ada", 4000 + minute, "maestro-es tick --all")
        with StudyLog.open(study.log, lambda: now, identity) as log:  # noqa: B023 - used in this turn only
            log.append(new_events)


def person(actor: str, pid: int, command: str) -> e.InvocationStarted:
    """Return the invocation of a user's command."""
    return e.InvocationStarted(actor=actor, host="login1", boot_id="b", pid=pid, command=command, version="0.1.0")


def plan() -> Iterator[NewEvent]:
    """Yield the events that create the study."""
    adapter = {"type": "slurm", "queue": "batch"}
    settings = Settings(submission_throttle=2, restart_limit=2)
    yield (
        None,
        e.StudyCreated(study_id="beef" * 8, root="/home/ada/heat", name="heat", adapter=adapter, settings=settings),
    )
    for template in ("mesh", "solve", "report"):
        yield None, e.StepTemplateAdded(name=template, description="", run={"cmd": "true", "restart": "true"})
    for name, (template, params) in STEPS.items():
        added = e.StepAdded(
            name=name,
            template=template,
            workspace=f"{template}/{name.partition('_')[2]}".rstrip("/"),
            params=tuple(Param(key, value, f"{key}.{value}", key) for key, value in params.items()),
            parents=(NUMBERS[f"mesh_SIZE.{params['SIZE']}"],) if template == "solve" else (),
            funnels=("solve",) if template == "report" else (),
            scheduled=template != "report",
            restart_limit=2,
        )
        yield NUMBERS[name], added


def _refused() -> Sequence[NewEvent]:
    number = NUMBERS["solve_METHOD.gmres.SIZE.40"]
    token = f"beef-{number}-5"
    return (
        (number, e.SubmissionRequested(attempt=5, token=token, kind=SubmissionKind.RETRY)),
        (number, e.SubmissionRejected(token=token, message="sbatch: error: QOSMaxSubmitJobPerUserLimit", exit_code=1)),
    )


#: What people did, and the submission that Slurm refused.
DECISIONS: dict[int, tuple[e.InvocationStarted | None, Sequence[NewEvent]]] = {
    280: (
        person("grace", 7120, "maestro-es update heat --throttle 4 --reason 'the queue is empty at night'"),
        [
            (
                None,
                e.SettingsChanged(what="submission_throttle", before=2, after=4, reason="the queue is empty at night"),
            )
        ],
    ),
    450: (None, [(None, e.PollFailed(adapter="slurm", message="squeue: error: Socket timed out"))]),
    455: (None, [(None, e.PollRecovered(adapter="slurm"))]),
    950: (
        person("ada", 9950, "maestro-es retry heat --failed --reason 'more memory'"),
        [
            (None, e.StudyReopened(reason="more memory")),
            (NUMBERS["solve_METHOD.gmres.SIZE.40"], e.StepReset(reason="more memory")),
            (NUMBERS["report"], e.StepReset(reason="more memory")),
        ],
    ),
    951: (None, _refused()),
}


def ticks() -> dict[int, list[NewEvent]]:
    """Return the events about the attempts that the ticks recorded, by minute."""
    told: defaultdict[int, list[NewEvent]] = defaultdict(list)
    ended: dict[str, str] = {}
    counts: dict[str, int] = defaultdict(int)
    for job, attempt in enumerate(TRIES, 8101):
        number = NUMBERS[attempt.step]
        counts[attempt.step] += 2 if ended.get(attempt.step) == "memory" else 1  # the refused one came between
        token = f"beef-{number}-{counts[attempt.step]}"
        before = ended.get(attempt.step, "")
        if before == "time":
            restarts = sum(t.step == attempt.step and t.end == "time" for t in TRIES[: job - 8101])
            told[attempt.requested].append((number, e.StepRestarted(number=restarts, limit=2)))
        kind = KINDS.get(before, SubmissionKind.RESUBMIT)
        told[attempt.requested] += [
            (number, e.SubmissionRequested(attempt=counts[attempt.step], token=token, kind=kind)),
            (number, e.JobSubmitted(token=token, job_id=str(job))),
        ]
        began = EVENING + attempt.started * MINUTE - 20_000_000
        told[attempt.started].append((number, e.JobStarted(token=token, at=began, host=attempt.node)))
        if attempt.ended is not None:
            told[attempt.ended] += ending(attempt, number, token)
        ended[attempt.step] = attempt.end
    return {minute: sorted(new_events, key=_ends_first) for minute, new_events in told.items()}


def _ends_first(new_event: NewEvent) -> bool:
    return isinstance(new_event[1], (e.StepRestarted, e.SubmissionRequested, e.JobSubmitted, e.JobStarted))


def usage(attempt: Try) -> Usage:
    """Return what an ended attempt has used: most of the time of its cores, and memory as its mesh needs."""
    solves = attempt.step.startswith("solve")
    cores = 32 if solves else 8
    seconds = (attempt.ended or 0) * 60 - attempt.started * 60 - 10
    size = int(attempt.step.rpartition(".")[2])
    gibibytes = size * size // 100 * (4 if attempt.end == "memory" else 3 if solves else 1)
    return Usage(
        cpu=seconds * cores * 850_000,
        memory=gibibytes * 2**30,
        nodes=2 if solves else 1,
        cores=cores,
        walltime=9_000 if "cg" in attempt.step else 10_800 if attempt.end == "time" else 14_400,
        memory_limit=(64 if solves else 32) * 2**30,
    )


def ending(attempt: Try, number: int, token: str) -> list[NewEvent]:
    """Return the events for the end of an attempt, and for the steps that it affects."""
    at = EVENING + (attempt.ended or 0) * MINUTE - 30_000_000
    used = usage(attempt)
    match attempt.end:
        case "node":
            event = e.HardwareFailed(
                token=token, at=at, number=1, limit=3, reason="NODE_FAIL", evidence=NODE_FAIL, usage=used
            )
            return [(number, event)]
        case "time":
            return [(number, e.StepTimedOut(token=token, at=at, evidence=TIMEOUT, usage=used))]
        case "memory":
            why = f"{attempt.step} is FAILED"
            return [
                (
                    number,
                    e.StepFailed(token=token, at=at, cause=Cause.OUT_OF_MEMORY, message="OUT_OF_MEMORY", usage=used),
                ),
                (10, e.StepFailed(at=at, cause=Cause.UPSTREAM, message=why, blocker=number)),
                (None, e.StudyCompleted(status=StudyStatus.FAILURE)),
            ]
        case _:
            return [(number, e.StepFinished(token=token, at=at, usage=used))]


if __name__ == "__main__":
    make_night(Path(sys.argv[1]))
