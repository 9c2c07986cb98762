"""``run --wait``: how often it ticks, how many transactions it makes, and which programs each step costs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from maestro_es.core import requests
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.poller.foreground import run_until_ended
from tests.fakes.faults import needs_strace
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
def test_a_step_starts_one_shell_apart_from_its_own(bench: Bench):
    needs_strace()
    bench.create(Step("a"), Step("b", parents=("a",)), Step("c", parents=("b",)))
    trace = bench.root.with_name("trace")
    tracer = ["strace", "-f", "-qq", "-z", "-o", str(trace), "-e", "trace=execve"]
    subprocess.run([*tracer, sys.executable, "-c", RUN, str(bench.root)], check=True, timeout=60)

    calls = [line for line in trace.read_text().splitlines() if "execve(" in line]
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
