"""What jobs have used, as a real accounting says it, and a cluster without one."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.core.usage import Usage
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.slurm.studies import RUNTIME, events, finish, step
from tools.testbed.processes import wait_for

BYTES = 100_000_000


@pytest.mark.usefixtures("accounting_cluster")
def test_ticks_record_what_each_attempt_has_used_once_the_accounting_knows_it(launch):
    work = f'python3 -c "memory = bytes({BYTES}).hex(); import time; time.sleep(1)"'
    root = launch(step("first", work), step("second", f"{work}; exit 3", ["first"]))
    assert finish(root) is StudyStatus.FAILURE

    def usages() -> list[Usage | None]:
        with Session(root, RUNTIME) as study:
            tick(study)
            known = [each.usage for each in study.graph.steps()]
        return known if all(known) else []

    for usage in wait_for(usages):
        assert usage
        assert (usage.memory or 0) > BYTES
        assert usage.cpu
        assert (usage.nodes, usage.cores) == (1, 1)
        assert usage.memory_limit
    assert len(events(root, e.UsageReported)) == 2  # each once, however often the accounting was asked


def test_without_an_accounting_nothing_is_asked_and_nothing_is_missing(cluster, launch):
    root = launch(step("only", "true"))
    assert finish(root) is StudyStatus.FINISHED
    with Session(root, RUNTIME) as study:
        tick(study)
        assert study.graph.step(1).usage is None
        assert not study.graph.study.unreachable
