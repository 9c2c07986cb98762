"""``run --wait``: how often it ticks, how many transactions it makes, and which programs each step costs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from maestro_es.core import requests
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.core.step_keys import Allocation
from maestro_es.poller.foreground import run_until_ended
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from tests.fakes.faults import needs_strace
from tests.fakes.slurm_commands import SlurmCommands
from tools.testbed.processes import wait_for
from tools.testbed.studies import Bench, Step

#: A program that runs a study to its end.
RUN = """
import sys
from pathlib import Path
from maestro_es.poller.foreground import run_until_ended
from maestro_es.study.session import Session
with Session(Path(sys.argv[1])) as study:
    run_until_ended(study, lambda: None)
"""


@pytest.mark.skipif(not os.access("/bin/bash", os.X_OK), reason="without /bin/bash, sh runs the runner")
def test_a_step_takes_two_processes_its_own_and_the_shell_that_waits_for_it(bench: Bench):
    needs_strace()
    bench.create(Step("a"), Step("b", parents=("a",)), Step("c", parents=("b",)))
    trace = bench.root.with_name("trace")
    starts = ("-e", "trace=execve,clone,clone3,fork,vfork", "-e", "signal=none")
    tracer = ["strace", "-f", "-qq", "-z", "-o", str(trace), *starts]
    subprocess.run([*tracer, sys.executable, "-c", RUN, str(bench.root)], check=True, timeout=60)

    lines = trace.read_text().splitlines()
    calls = [line for line in lines if "execve(" in line]
    assert len(lines) - len(calls) == 6
    started = [line.split('"')[1].rpartition("/")[2] for line in calls]
    assert started[1:] == ["bash", "a.sh", "bash", "b.sh", "bash", "c.sh"]
    assert bench.status is StudyStatus.FINISHED


def test_how_often_it_ticks_can_be_changed_while_it_does(bench: Bench):
    bench.settings = Settings(sleep_seconds=3600)
    bench.create(Step("a", f"until [ -e '{bench.root}/go' ]; do sleep 0.05; done"))
    ticks: set[int | None] = set()

    def run() -> None:
        with bench.open() as study:
            run_until_ended(study, lambda: ticks.add(study.dir.ticked_at()))

    driver = threading.Thread(target=run)
    driver.start()
    wait_for(lambda: ticks)
    with bench.open() as study:
        study.request(lambda graph: requests.update(graph, {"sleep": 1}))
    (bench.dir.inbox / "news").touch()  # it need not be a report: the next tick comes now
    wait_for(lambda: len(ticks) > 4)

    (bench.root / "go").touch()
    driver.join()
    assert bench.status is StudyStatus.FINISHED


STUDY = """
description: {name: mixed, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
- {name: job, description: d, run: {procs: 1, cmd: "true"}}
- {name: part, description: d, run: {cmd: "until [ -e ../../go ]; do sleep 0.1; done # $(N)"}}
global.parameters: {N: {values: [1, 2], label: N.%%}}
"""


@pytest.mark.parametrize("shared", [False, True])
def test_while_jobs_wait_it_queries_the_scheduler_only_at_intervals(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, shared: bool
):
    """Its own ``squeue`` ends, too, and a local step waits for a slot."""
    slurm = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{slurm.path}:{os.environ['PATH']}")
    if shared:
        bench.create(Step("other", "sleep 60"))
        bench.tick()
    (tmp_path / "mixed.yaml").write_text(STUDY)
    options = ("--wait", "-y", "--local-slots", "1", "-o", "mixed", "mixed.yaml")
    with subprocess.Popen([sys.executable, "-m", "maestro_es", "run", *options], cwd=tmp_path) as driver:
        try:
            wait_for(lambda: queries(slurm))
            time.sleep(5)
            assert queries(slurm) <= 4

            slurm.start()
            (tmp_path / "mixed/go").touch()
            assert driver.wait(50) == 0  # the ends of steps are news, so it does not sleep for a minute
        finally:
            driver.kill()


def test_the_job_around_a_driver_is_looked_at_after_the_scheduler_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The scheduler may take long. Another driver in the job may start steps meanwhile."""
    slurm = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{slurm.path}:{os.environ['PATH']}")
    bench = Bench(tmp_path / "study", Runtime(), {"type": "slurm"})
    bench.create(Step("a", scheduled=True))
    bench.tick()
    before, seen = queries(slurm), list[int]()

    def look() -> Allocation:
        seen.append(queries(slurm) - before)
        return Allocation("17", ())

    with bench.open() as study:
        study.allocation = look
        tick(study)
    assert seen == [1]


def queries(slurm: SlurmCommands) -> int:
    """Return how often the queue was queried."""
    return sum(call.startswith("squeue ") for call in slurm.calls())
