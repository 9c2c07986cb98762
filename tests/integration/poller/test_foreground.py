"""``run --wait``: how often it ticks is the study's to say, also while it does."""

from __future__ import annotations

import threading

from maestro_es.core import requests
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.poller.foreground import run_until_ended
from tools.testbed.processes import wait_for
from tools.testbed.studies import Bench, Step


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
