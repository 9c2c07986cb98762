"""Finds out what a scheduler does not say: whether a step is still running, and whether its walltime was over.

If a scheduler or the daemon on a node crashes, the processes of a job may keep running, and nothing ends them at their
time limit. The runner reports their end. Without a report, only the host where the processes were started can tell
whether they are still running.

A scheduler may forget an ended job at once. Then the times of the runner's reports show that the scheduler has ended a
step at its time limit.
"""

from __future__ import annotations

from msgspec import structs

from maestro_es.adapters.host import Host
from maestro_es.adapters.process import marked
from maestro_es.core.attempt_token import TOKEN_VARIABLE
from maestro_es.core.graph import Graph
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.observations import AttemptObservation, Claim, ClaimState, NoAnswer, ReportKind
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import Unreachable

#: How long, in seconds, a step may take to end after its walltime, and to start after its job.
_MARGIN, _START = 60, 2


def still_runs(graph: Graph, step: StepRecord, claim: Claim, host: Host, now: Micros) -> tuple[bool, Micros | None]:
    """Return whether a step may still be running, and when its walltime is over (None: never, or unknown).

    On the host where it was started, its processes are counted. On any other host, it counts as running until its
    walltime is over, or for ever if this time is unknown.
    """
    if claim.state is not ClaimState.JOB:
        return False, None
    until = _end_of_walltime(graph, step, claim, now)
    if (claim.host, claim.instance) == (host.name, host.boot_id) and not host.namespace:
        try:
            return bool(marked(step.token, TOKEN_VARIABLE)), until
        except Unreachable:
            return True, until
    return until is None or now < until, until


def _end_of_walltime(graph: Graph, step: StepRecord, claim: Claim, now: Micros) -> Micros | None:
    seconds = _walltime(graph, step)
    began = _began(step, claim) if step.started_at else now
    return began + (seconds + _MARGIN) * 1_000_000 if began and seconds else None


def _began(step: StepRecord, claim: Claim) -> Micros | None:
    """Return when the last attempt of a step began (None: unknown). The record has the start of the first attempt."""
    is_first = (step.started_at or 0) >= (step.requested_at or 0)
    return claim.began_at or (step.started_at if is_first else None)


def _walltime(graph: Graph, step: StepRecord) -> int:
    """Return the walltime of a step in seconds (0: it has none)."""
    from maestro_es.study_file.render import render  # noqa: PLC0415 - needed only after a crash of a scheduler

    run = render("", graph.template(step.template).run, step.params, step.workspace, step.workspaces, "").run
    try:
        return walltime_seconds(run.get("walltime"))
    except ValueError:
        return 0


def with_reason(graph: Graph, step: StepRecord, observed: AttemptObservation) -> AttemptObservation:
    """Return an observation with the reason why a step was stopped, if its scheduler has forgotten the job.

    If the step was told to stop when its walltime was over, it has timed out.
    """
    stopped, started = observed.report(ReportKind.STOPPED), observed.report(ReportKind.STARTED)
    began = started.at if started else _began(step, observed.claim)
    if observed.accounting not in (JobState.GONE, NoAnswer.NOT_ASKED) or not stopped or not began:
        return observed
    seconds = _walltime(graph, step)
    if observed.report(ReportKind.REFUSED) or not seconds or stopped.at - began < (seconds - _START) * 1_000_000:
        return observed
    reason = f"{observed.raw_state}; its walltime was over when it was stopped"
    return structs.replace(observed, accounting=JobState.TIMED_OUT, raw_state=reason)
