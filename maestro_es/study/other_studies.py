"""Finds out which other studies of this user run steps on this host, or wait to run some.

The evidence already exists: the processes of runners, and the logs of the registered studies. A process shows
that a step runs, whether or not its study is ticked. A log shows how many steps are ready. They count only if a tick
of the study ran in the last minutes, because otherwise nothing would start them.

A tick must not wait for a file system that does not answer, because its own study may be on another one. So only logs
on the mount of the tick's own study are read. Of other studies, only the processes count.

`maestro_es.core.fair_share` decides the share of each study.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from maestro_es.adapters import proc, process
from maestro_es.adapters.host import Host
from maestro_es.adapters.job_questions import still_running
from maestro_es.core.attempt_token import placement_of, step_of, study_part
from maestro_es.core.fair_share import Demand, cpus_of, demand_of, jobs_in, next_queue, slots_of
from maestro_es.core.file_names import RUNNER
from maestro_es.core.graph import Graph
from maestro_es.core.model import ENVIRONMENT, Micros, StudyStatus
from maestro_es.core.observations import OtherStudy
from maestro_es.core.throttle import BACKOFF, count_slots
from maestro_es.errors import Unreachable
from maestro_es.files import read
from maestro_es.store.study_log import StudyLog
from maestro_es.study import last_tick
from maestro_es.study.file_probe import unescaped
from maestro_es.study.invocation import Driver, Runtime, open_as_it_is
from maestro_es.study.layout import StudyDir
from maestro_es.study.registry import registered

#: A study counts as ticked if its last tick ran within this time, in microseconds: three periods of cron.
ALIVE = 180 * 1_000_000

#: How long a tick waits for the log of another study, in seconds.
LOG_SECONDS = 1.0

#: The table of all mounted file systems. Reading it touches none of them.
_MOUNTS, _POINT = Path("/proc/self/mountinfo"), 4

#: More slots than any host has.
_ALL = 1 << 30

#: The largest number of symbolic links in a path.
_LINKS = 40

#: Places in the arguments of a local step's process, counted from the runner. A job around it may follow.
_TOKEN, _HOST, _AROUND = 1, 7, 9


def other_studies(study_id: str, root: Path, runtime: Runtime) -> list[OtherStudy]:
    """Return the other studies of this user that run steps on this host, or have ticked in the last minutes.

    A study whose log can't be read counts with its running steps only. If the list of studies or the processes of this
    host can't be read, the result is empty.
    """
    others = registered_beside(study_id, root)
    try:
        running = runners_on(runtime.host) if others else {}
    except Unreachable:
        return []
    looks = (
        _look_at(other_id, StudyDir(other), runtime, running)
        if is_near
        else _only_processes(other_id, running, is_hidden=True)
        for other_id, other, is_near in others
    )
    return [other for other in looks if other]


def registered_beside(study_id: str, root: Path) -> list[tuple[str, Path, bool]]:
    """Return the id and the directory of each other study in the list, and whether it is on the mount of this study.

    If the list can't be read, the result is empty.
    """
    try:
        others = [(other_id, other) for other_id, other in registered().items() if other_id != study_id]
        nearby = Nearby(root) if others else None
    except (OSError, RuntimeError):  # RuntimeError: this user has no home directory
        return []
    return [(other_id, other, nearby is not None and nearby.holds(other)) for other_id, other in others]


class Nearby:
    """The directories on the mount of a study. A mount is found by its name in the table of mounts."""

    def __init__(self, root: Path) -> None:
        self._own = Path(os.path.realpath(root))
        try:
            table = os.fsdecode(read(_MOUNTS))
        except FileNotFoundError:
            table = ""  # not Linux
        self._points = {unescaped(line.split(" ")[_POINT]) for line in table.splitlines()}
        self._above = {self._own, *self._own.parents}

    def holds(self, folder: Path) -> bool:
        """Return whether a directory is on the mount. No system call touches a path on another mount."""
        done, links = Path("/"), 0
        left = [*reversed(folder.parts[1:])]
        while left:
            name = left.pop()
            done = done.parent if name == ".." else done / name
            if done in self._above:
                continue  # no part of our own path is a link
            if not self._is_on_mount(done):
                return False
            try:
                target = Path(os.readlink(done))
            except OSError:
                continue  # it is not a link
            links += 1
            if links > _LINKS:
                return False
            left.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
            done = Path("/") if target.is_absolute() else done.parent
        return self._is_on_mount(done)

    def _is_on_mount(self, folder: Path) -> bool:
        return self._point_of(folder) == self._point_of(self._own) != ""

    def _point_of(self, folder: Path) -> str:
        """Return where the file system of a directory is mounted (empty: unknown)."""
        return next((str(above) for above in (folder, *folder.parents) if str(above) in self._points), "")


class Runners(NamedTuple):
    """The tokens of the local steps of a study that run on this host, and a mask of the cores that they may use."""

    tokens: set[str]
    cpus: int = 0


def runners_on(host: Host) -> dict[str, Runners]:
    """Return the local steps that run on this host, or in the job around this process, by study."""
    around = still_running(host.job) if host.job else ""
    by_study: dict[str, Runners] = {}
    for running in process.of_this_user():
        argv = running.arguments
        at = next((index for index, word in enumerate(argv[:3]) if os.path.basename(word) == RUNNER), None)
        of_runner = () if at is None else argv[at:]
        is_here = len(of_runner) >= _AROUND and of_runner[_HOST] == host.name and (*of_runner, "")[_AROUND] == around
        if is_here and _in_common(host.cpus, cpus := proc.cpus_of(running.pid)):
            part, token = of_runner[_TOKEN].partition("-")[0], of_runner[_TOKEN]
            before = by_study.get(part, Runners(set()))
            by_study[part] = Runners(before.tokens | {token}, before.cpus | cpus)
    return by_study


def _in_common(ours: int, theirs: int) -> int:
    """Return how many of our slots another driver may use, given the masks of the cores of both (0: unknown).

    If the drivers have no core in common, it uses none. If one set contains the other, there is no limit, because the
    drivers have one pool. If the sets only overlap, any step may run on the cores that both have. So all steps of the
    other driver count, but at most the number of these cores.
    """
    common = ours & theirs
    is_one_pool = not (ours and theirs) or common in {ours, theirs}
    return _ALL if is_one_pool else common.bit_count()


def _limited(other: OtherStudy, most: int) -> OtherStudy:
    """Return a study with its use and its demand reduced to this number of slots."""
    parts = {name: min(getattr(other, name), most) for name in ("running", "asks", "step", "slots")}
    return structs.replace(other, **parts)


def _look_at(
    study_id: str, study_dir: StudyDir, runtime: Runtime, running: Mapping[str, Runners]
) -> OtherStudy | None:
    """Return how this tick sees a study. None if it runs nothing here and its ticks start nothing."""
    runners = running.get(study_part(study_id), Runners(set()))
    try:
        ticked = study_dir.ticked_at()
        is_alive = ticked is not None and abs(runtime.now() - ticked) < ALIVE
        if not (runners.tokens or is_alive):
            return None
        study_dir.check_owner()
        noted = last_tick.read(study_dir)
        with open_as_it_is(study_dir.root, runtime, migrate=False, timeout=LOG_SECONDS) as log:
            if not runners.tokens and log.graph.study.status is not StudyStatus.RUNNING:
                return None
            other = _read(log, study_id, runtime, runners.tokens, noted if is_alive else None)
        cpus = runners.cpus | (noted.cpus if noted else 0)
        return _limited(other, _in_common(runtime.host.cpus, cpus))
    except Exception:  # noqa: BLE001 - a log that is damaged in any way must not stop the ticks of another study
        return _only_processes(study_id, running, is_hidden=False)


def _only_processes(study_id: str, running: Mapping[str, Runners], *, is_hidden: bool) -> OtherStudy | None:
    """Return what the processes of a study show. Each of its running steps counts as one CPU."""
    number = len(running.get(study_part(study_id), Runners(set())).tokens)
    return OtherStudy(study_id, running=number, asks=number, hidden=is_hidden) if number else None


def _read(
    log: StudyLog, study_id: str, runtime: Runtime, tokens: Collection[str], noted: last_tick.Note | None
) -> OtherStudy:
    """Read the log of a study. `noted` is the note of its last tick, if that ran in the last minutes."""
    graph, host = log.graph, runtime.host
    cores = noted.cpus.bit_count() if noted and noted.cpus else host.cores
    study_record, slots = graph.study, slots_of(graph, cores)
    running = cpus_of(graph, (graph.step(step_of(token)) for token in tokens), slots)
    goes_on = noted is not None and study_record.status is StudyStatus.RUNNING and may_start(graph)
    starts_here = goes_on and noted is not None and starts_local_steps(graph, noted, host)
    demand = local_demand(graph, noted, host) if starts_here and noted else Demand(running)
    queue = next_queue(graph)
    waits = goes_on and queue != () and _waits_for_queue(graph, noted, runtime.now())
    return OtherStudy(
        study_id,
        running=running,
        asks=max(demand.asks, running),
        step=demand.step,
        slots=slots if starts_here or tokens else 0,
        jobs=len(jobs_in(graph, queue)) if waits else 0,
        waits=waits,
        queue=queue,
    )


def _waits_for_queue(graph: Graph, noted: last_tick.Note | None, now: Micros) -> bool:
    """Return whether ticks of a study try to submit jobs to a queue that was full.

    While it has a step or a driver inside an allocation, a study submits no jobs.
    """
    scheduled, refusal = count_slots(graph, 0, now)[1], graph.study.refusal
    is_recent = refusal is None or now - refusal.at < 2 * BACKOFF[1]
    tries = scheduled.available is not None and scheduled.free(1) > 0 and is_recent
    is_inside = noted is not None and noted.driver == Driver.INSIDE.name
    return tries and not is_inside and not any(placement_of(step.token) for step in graph.in_flight())


def may_start(graph: Graph) -> bool:
    """Return whether ticks of a study start steps at present."""
    study_record = graph.study
    stops = study_record.paused or study_record.cancelling or study_record.settings.dry_run
    return not stops and ENVIRONMENT not in study_record.unreachable


def local_demand(graph: Graph, noted: last_tick.Note, host: Host) -> Demand:
    """Return what the local steps of a study would use on this host if the study were alone there."""
    cores = noted.cpus.bit_count() or host.cores
    return demand_of(graph, host.size.with_slots(cores), slots_of(graph, cores))


def starts_local_steps(graph: Graph, noted: last_tick.Note, host: Host) -> bool:
    """Return whether the last tick of a study could start local steps on this host."""
    is_here = (noted.host, noted.job) == (host.name, host.job) and _in_common(host.cpus, noted.cpus) > 0
    needs_job = graph.study.environment.job and not host.job
    return is_here and noted.driver != Driver.SCRONTAB.name and not needs_job
