"""Two studies share the slots of a host, and the room in the queue of a scheduler. Steps are real processes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.core.model import Phase
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.study import other_studies
from maestro_es.study.invocation import Runtime, now
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.faults import needs_strace
from tests.fakes.slurm_commands import SlurmCommands
from tools.testbed.processes import end_all_under, wait_for

#: A host has as many slots as cores, but here no less than this.
SLOTS = max(4, 2 * len(os.sched_getaffinity(0)))

LOCAL = """
description: {{name: {name}, description: d}}
study:
- name: part
  description: d
  run: {{cmd: "touch ../../on.$(N); until [ -e ../../go.$(N) ]; do sleep 0.1; done; rm ../../on.$(N)"}}
global.parameters: {{N: {{values: [{values}], label: N.%%}}}}
"""

JOBS = """
description: {{name: {name}, description: d}}
batch: {{type: slurm, host: here, bank: mine, queue: debug}}
study: [{{name: part, description: d, run: {{procs: 1, cmd: "true $(N)"}}}}]
global.parameters: {{N: {{values: [{values}], label: N.%%}}}}
"""


def launch(root: Path, spec: str, steps: int, *options: str) -> Path:
    root.with_suffix(".yaml").write_text(spec.format(name=root.name, values=", ".join(map(str, range(steps)))))
    ran = maestro_es("run", "-y", *options, "-o", root, root.with_suffix(".yaml"))
    assert ran.returncode == 0, ran
    return root


def running(root: Path) -> list[str]:
    """Return the steps that run."""
    return sorted(path.suffix[1:] for path in root.glob("on.*"))


def end(root: Path, *steps: str) -> None:
    """Let steps end."""
    for step in steps:
        (root / f"go.{step}").touch()
    wait_for(lambda: not set(steps) & set(running(root)))


def ticked(root: Path, expected: int) -> None:
    """Tick a study until this number of steps run."""

    def as_expected() -> bool:
        assert maestro_es("tick", root).returncode == 0
        wait_for(lambda: len(running(root)) == states(root).get("RUNNING", 0))
        return len(running(root)) == expected

    wait_for(as_expected)


def states(root: Path) -> dict[str, int]:
    counts: dict[str, int] = json.loads(maestro_es("status", "--summary", "--json", root).stdout)["study"]["states"]
    return counts


def test_two_studies_share_the_slots_of_a_host(tmp_path):
    slots = ("--local-slots", str(SLOTS))
    first = launch(tmp_path / "first", LOCAL, 4 * SLOTS, *slots)
    wait_for(lambda: len(running(first)) == SLOTS)  # it is alone
    second = launch(tmp_path / "second", LOCAL, 4 * SLOTS, *slots)
    assert running(second) == []  # the host is full

    end(first, *running(first)[: SLOTS // 2])
    ticked(first, SLOTS // 2)  # it takes no new slots
    ticked(second, SLOTS // 2)
    for root in (first, second):
        end(root, *running(root)[:1])
        ticked(root, SLOTS // 2)  # each takes back its own

    stop_own_ticks(first)
    hour = now() // 1_000_000 - 3600
    os.utime(first / ".maestro-es/last-tick", (hour, hour))  # nobody ticks it any more
    end(first, *running(first))
    ticked(second, SLOTS)
    for root in (first, second):
        assert maestro_es("cancel", "-y", root).returncode == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_drivers_that_have_cores_of_their_own_do_not_share_them(tmp_path):
    roots = [tmp_path / "first", tmp_path / "second"]
    cores = sorted(os.sched_getaffinity(0))
    for root, core in zip(roots, cores, strict=False):
        os.sched_setaffinity(0, {core})
        try:
            launch(root, LOCAL, 3)
        finally:
            os.sched_setaffinity(0, cores)
    wait_for(lambda: [len(running(root)) for root in roots] == [1, 1])
    with Session(roots[0]) as study:
        assert 1 in [other.running for other in study.others()]  # this process has all cores
    for root in roots:
        end(root, "0")
        assert maestro_es("cancel", "-y", root).returncode == 0


def test_a_damaged_study_does_not_stop_the_ticks_of_others(tmp_path):
    launch(tmp_path / "damaged", LOCAL, 1)
    log = tmp_path / "damaged/events.db"
    log.write_bytes(log.read_bytes()[:5000])
    other = launch(tmp_path / "other", LOCAL, 1)
    wait_for(lambda: running(other) == ["0"])
    for root in (tmp_path / "damaged", other):
        end(root, "0")


def test_a_tick_does_not_wait_for_the_locked_log_of_another_study(tmp_path):
    busy = launch(tmp_path / "busy", LOCAL, 1)
    wait_for(lambda: running(busy) == ["0"])
    with contextlib.closing(sqlite3.connect(busy / "events.db", timeout=30)) as program:
        program.execute("BEGIN EXCLUSIVE")
        spec = tmp_path / "other.yaml"
        spec.write_text(LOCAL.format(name="other", values="0"))
        command = (sys.executable, "-m", "maestro_es", "run", "-y", "-o", tmp_path / "other", spec)
        with subprocess.Popen(command) as run:
            wait_for(lambda: running(tmp_path / "other"), 25)  # SQLite would wait for half a minute
            assert run.wait() == 0
    for root in (busy, tmp_path / "other"):
        end(root, "0")


def test_a_driver_without_a_free_slot_does_not_look_at_other_studies(tmp_path):
    needs_strace()
    launch(tmp_path / "other", LOCAL, 1)
    root, spec, trace = tmp_path / "full", tmp_path / "full.yaml", tmp_path / "trace"
    spec.write_text(LOCAL.format(name="full", values="0, 1"))
    tracer = (
        "strace",
        "-f",
        "-qq",
        "-o",
        trace,
        "-P",
        "/proc/self/mountinfo",
        "-e",
        "trace=openat",
        "-e",
        "signal=none",
    )
    driver = (sys.executable, "-m", "maestro_es", "run", "-y", "--wait", "--local-slots", "1", "-o", root, spec)
    run = subprocess.Popen([*tracer, *driver], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: running(root) == ["0"])  # and the other step is ready
        looks = trace.read_text()
        assert looks
        time.sleep(3)  # a driver that waits for others would look at them after two seconds
        assert trace.read_text() == looks
        end(root, "0", "1")
        assert run.wait() == 0
    finally:
        end_all_under(tmp_path)
        run.wait()


def test_a_tick_does_not_wait_for_the_file_system_of_another_study(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """In the table of mounts that the tick reads, the other study is on a mount of its own, behind a link."""
    away = tmp_path / "mnt"
    away.mkdir()
    (tmp_path / "link").symlink_to(away)
    table = Path("/proc/self/mountinfo").read_text() + f"9 1 0:9 / {away} rw - nfs server:/ rw\n"
    (tmp_path / "table").write_text(table)
    monkeypatch.setattr(other_studies, "_MOUNTS", tmp_path / "table")
    nearby = other_studies.Nearby(tmp_path / "own")
    (tmp_path / "by name").symlink_to("own/../other")

    touched: list[str] = []
    real = os.readlink

    def readlink(path: Path) -> str:
        touched.append(str(path))
        return str(real(path))

    monkeypatch.setattr(os, "readlink", readlink)
    assert not nearby.holds(away / "study")
    assert not nearby.holds(tmp_path / "link/study")
    assert nearby.holds(tmp_path / "other")
    assert nearby.holds(tmp_path / "by name")
    assert not [path for path in touched if path.startswith(str(away))]


def test_two_studies_share_a_limit_on_the_number_of_jobs(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Under the limit, the study that ticks first would otherwise take all that is free."""
    slurm = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{slurm.path}:{os.environ['PATH']}")
    (slurm.folder / "limit").write_text("4")
    roots = [launch(tmp_path / name, JOBS, 30) for name in ("greedy", "modest")]
    clock = [now()]
    seen = []
    for _ in range(9):
        clock[0] += 60_000_000
        for root in roots:  # the first one always has the first chance
            with Session(root, Runtime(now=lambda: clock[0])) as study:
                try:
                    tick(study)
                except Unreachable:
                    pytest.fail("a full queue counts as an answer")
        seen.append([in_queue(root) for root in roots])
        end_a_job_of_each(slurm, roots)

    assert seen[0] == [4, 0]
    shares = [each for each in seen if each[1]][2:]
    assert all(greedy + modest >= 3 for greedy, modest in shares), str(seen)
    # on average half of the jobs and one, apart from the one minute of ten in which the greedy one does not wait
    assert abs(sum(greedy - modest for greedy, modest in shares)) <= 2 * len(shares), str(seen)
    assert sum(modest > 0 for _, modest in shares) >= len(shares) - 1, str(seen)


def in_queue(root: Path) -> int:
    with Session(root) as study:
        return sum(step.phase is Phase.SUBMITTED for step in study.graph.in_flight())


def end_a_job_of_each(slurm: SlurmCommands, roots: list[Path]) -> None:
    """Let the oldest job of each study end."""
    for root in roots:
        for job in sorted((slurm.folder / "jobs").iterdir(), key=lambda job: int(job.name)):
            if f"{root}/" in (job / "line").read_text() and not (job / "code").exists():
                (job / "code").write_text("0")
                break
