"""Finds out which other studies of this user run steps in the job around this driver, or wait to run some.

The evidence is in their logs: the token of an attempt inside a job says which part of which node it takes. A local
step takes its part only while its runner runs. A study asks for more only if its driver has ticked inside this job in
the last minutes.

`maestro_es.study.other_studies` does the same for the slots of a host. `maestro_es.core.fair_share` decides what
follows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from maestro_es.adapters.host import Host
from maestro_es.core.attempt_token import Placement, study_part
from maestro_es.core.fair_share import Demand, demand_inside
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StudyStatus
from maestro_es.core.observations import OtherStudy, ReportKind
from maestro_es.core.packing import parts_of
from maestro_es.core.step_keys import Allocation, Need
from maestro_es.errors import LogUnavailable, Unreachable
from maestro_es.store.study_log import StudyLog
from maestro_es.study import last_tick
from maestro_es.study.invocation import Driver, Runtime, open_as_it_is
from maestro_es.study.layout import StudyDir
from maestro_es.study.other_studies import (
    ALIVE,
    LOG_SECONDS,
    Runners,
    local_demand,
    may_start,
    registered_beside,
    runners_on,
    starts_local_steps,
)
from maestro_es.study.reports import read_reports

#: The longest time from the request of a local step to the start of its runner, in microseconds.
_STARTING = 10_000_000


def other_drivers(study_id: str, root: Path, runtime: Runtime, allocation: Allocation) -> list[OtherStudy]:
    """Return the other studies of this user that run steps in this job, or have a driver in it.

    A study on another mount is not seen. If the list of studies can't be read, the result is empty. Unreachable
    if a study that has ticked in this job does not say which parts its steps take.
    """
    runners = functools.cache(lambda: runners_on(runtime.host))  # the processes are listed only if needed
    looks = (
        _look_at(other_id, StudyDir(other), runtime, allocation, runners)
        for other_id, other, is_near in registered_beside(study_id, root)
        if is_near
    )
    return [other for other in looks if other]


def _look_at(
    study_id: str,
    study_dir: StudyDir,
    runtime: Runtime,
    allocation: Allocation,
    runners: Callable[[], Mapping[str, Runners]],
) -> OtherStudy | None:
    """Return how this driver sees a study. None if it uses nothing in this job and asks for nothing."""
    host, is_inside = runtime.host, False
    try:
        noted, ticked = last_tick.read(study_dir), study_dir.ticked_at()
        is_alive = ticked is not None and abs(runtime.now() - ticked) < ALIVE
        is_inside = noted is not None and noted.job == host.job
        if noted and not (is_alive or is_inside):
            return None
        study_dir.check_owner()
        is_on_our_node = is_inside and noted is not None and noted.host == host.name
        seen = allocation._replace(ours=allocation.ours if is_on_our_node else None)
        with open_as_it_is(study_dir.root, runtime, migrate=False, timeout=LOG_SECONDS) as log:
            taken = tuple(_taken(log, study_dir, seen, lambda: _tokens_in(runners(), study_id), runtime.now()))
            demand = _demand(log.graph, noted, seen, host) if is_alive and is_inside and noted else Demand(0)
    except (LogUnavailable, Unreachable) as error:
        if is_inside:
            raise Unreachable(f"{study_dir.root} does not say which of its steps run in this job: {error}") from error
        return None
    except Exception:  # noqa: BLE001 - a log that is damaged in any way must not stop the ticks of another study
        return None
    running = sum(part.cpus * part.nodes for _, part in taken)
    other = OtherStudy(study_id, running, max(demand.asks, running), demand.step, taken=taken)
    return other if other.asks else None


def _demand(graph: Graph, noted: last_tick.Note, allocation: Allocation, host: Host) -> Demand:
    """Return what a study asks for, if its driver has ticked in this job. Some drivers start only local steps."""
    if graph.study.status is not StudyStatus.RUNNING or not may_start(graph):
        return Demand(0)
    if noted.driver == Driver.INSIDE.name:
        return demand_inside(graph, allocation)
    return local_demand(graph, noted, host) if starts_local_steps(graph, noted, host) else Demand(0)


def _taken(
    log: StudyLog,
    study_dir: StudyDir,
    allocation: Allocation,
    running_here: Callable[[], Collection[str]],
    now: Micros,
) -> Iterator[tuple[Placement, Need]]:
    """Yield the parts of nodes that the steps of a study take.

    A step may have ended although the log does not say so yet: perhaps no one ticks the study. The reports, and the
    processes of this host, show this.
    """
    ended = {report.token for report in read_reports(study_dir.inbox) if report.kind is not ReportKind.STARTED}
    for step, at, part in parts_of(log.graph, allocation):
        is_starting = now - (step.requested_at or 0) < _STARTING
        if step.token in ended or not (step.scheduled or is_starting or step.token in running_here()):
            continue
        yield at, part


def _tokens_in(runners: Mapping[str, Runners], study_id: str) -> Collection[str]:
    return runners[part].tokens if (part := study_part(study_id)) in runners else ()
