"""Finds out whether a step is still running although its scheduler no longer watches its job.

If a scheduler or the daemon on a node crashes, the processes of a job may keep running, and nothing ends them at their
time limit. The runner reports their end. Without a report, only the host where the processes were started can tell
whether they are still running.
"""

from __future__ import annotations

from maestro_es.adapters.host import Host
from maestro_es.adapters.process import marked
from maestro_es.core.attempt_token import TOKEN_VARIABLE
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.observations import Claim, ClaimState
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import Unreachable

#: How long, in seconds, a step may take to end after its walltime.
_MARGIN = 60


def still_runs(graph: Graph, step: StepRecord, claim: Claim, host: Host, now: Micros) -> tuple[bool, Micros | None]:
    """Return whether a step may still be running, and when its walltime is over (None: it has no walltime).

    On the host where it was started, its processes are counted. On any other host, it counts as running until its
    walltime is over, or for ever if it has none.
    """
    if claim.state is not ClaimState.JOB:
        return False, None
    until = _end_of_walltime(graph, step, now)
    if (claim.host, claim.instance) == (host.name, host.boot_id) and not host.namespace:
        try:
            return bool(marked(step.token, TOKEN_VARIABLE)), until
        except Unreachable:
            return True, until
    return until is None or now < until, until


def _end_of_walltime(graph: Graph, step: StepRecord, now: Micros) -> Micros | None:
    from maestro_es.study_file.render import render  # noqa: PLC0415 - needed only after a crash of a scheduler

    run = render("", graph.template(step.template).run, step.params, step.workspace, step.workspaces, "").run
    try:
        seconds = walltime_seconds(run.get("walltime"))
    except ValueError:
        return None
    return (step.started_at or now) + (seconds + _MARGIN) * 1_000_000 if seconds else None
