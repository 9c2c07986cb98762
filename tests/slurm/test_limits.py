"""A cluster that takes no more jobs just now, and one that will never take this one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.slurm.conftest import export, started
from tests.slurm.studies import HEAD, RUNTIME, events, finish, ledger, states, step, until, wait_for_states
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for


@pytest.fixture(scope="module")
def enforcing_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    options = Options(accounting=True, conf=("AccountingStorageEnforce=limits,qos",))
    with started(tmp_path_factory.mktemp("slurm"), options) as cluster:
        _manage(cluster, "add", "account", "mine")
        _manage(cluster, "add", "user", "root", "account=mine")
        _manage(cluster, "add", "qos", "small")
        _manage(cluster, "modify", "user", "root", "set", "qos+=small")
        yield cluster


@pytest.fixture
def limited(enforcing_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that enforces the limits of the account "mine" and of the quality of service "small": none so far."""
    export(enforcing_cluster, monkeypatch)
    yield enforcing_cluster
    enforcing_cluster.recover()
    _limit(enforcing_cluster, "user", "MaxSubmitJobs=-1")
    for limit in ("MaxSubmitJobsPerUser", "GrpSubmitJobs", "MaxWall", "Flags"):
        _limit(enforcing_cluster, "qos", f"{limit}=-1")


def _manage(cluster: Cluster, *words: str) -> None:
    done = cluster.run("sacctmgr", "--immediate", *words)
    assert done.returncode == 0, done


def _limit(cluster: Cluster, what: str, limit: str) -> None:
    whose = ("user", "where", "name=root", "account=mine") if what == "user" else ("qos", "small")
    _manage(cluster, "modify", *whose, "set", limit)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a scheduler that is full soon again."""
    monkeypatch.setattr("maestro_es.core.throttle.BACKOFF", (200_000, 1_000_000))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("what", "limit", "said"),
    [
        ("user", "MaxSubmitJobs=3", "AssocMaxSubmitJobLimit"),
        ("qos", "MaxSubmitJobsPerUser=3", "QOSMaxSubmitJobPerUserLimit"),
        ("qos", "GrpSubmitJobs=3", "QOSGrpSubmitJobsLimit"),
    ],
)
def test_a_limit_on_how_many_jobs_there_are_holds_steps_back_and_fails_none(
    limited, launch, tmp_path, what, limit, said
):
    _limit(limited, what, limit)
    root = launch(*(step(f"s{number}", until("go"), qos="small") for number in range(12)))
    with Session(root, RUNTIME) as study:
        tick(study)
        assert len(list(study.graph.in_flight())) == 3
        [ready] = study.graph.ready(scheduled=True, limit=1)

    assert said in maestro_es("status", root).stdout
    why = maestro_es("why", root, ready.name).stdout
    assert f"{ready.name} is ready to run, but the queue of slurm was full at " in why
    assert said in why
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 12
    assert events(root, e.SubmissionRejected) == events(root, e.AttemptAbandoned) == []
    withdrawn = events(root, e.SubmissionWithdrawn)
    assert len(withdrawn) < 50
    assert said in next(event.message for event in withdrawn if event.message)


@pytest.mark.usefixtures("hasty")
def test_two_studies_share_a_limit_on_how_many_jobs_there_are(limited, tmp_path, monkeypatch):
    """The first one always ticks first, and would otherwise take each place that is free."""
    monkeypatch.setattr("maestro_es.core.fair_share._WAIT", 10**17)
    _limit(limited, "user", "MaxSubmitJobs=4")
    roots = [tmp_path / "greedy", tmp_path / "modest"]
    for root in roots:
        steps = (step(f"s{number}", until(f"{root.name}{number}")) for number in range(8))
        root.with_suffix(".yaml").write_text(HEAD + "".join(steps))
        assert maestro_es("run", "-y", "-o", root, root.with_suffix(".yaml")).returncode == 0
    shares: list[list[int]] = []
    while [2, 2] not in shares and len(shares) < 12:
        time.sleep(0.2)  # the shortest time between two tries
        for root in roots:
            with Session(root, RUNTIME) as study:
                tick(study)
        shares.append([_in_queue(root) for root in roots])
        running = [number for number in range(8) if states(roots[0])[f"s{number}"] == "RUNNING"]
        if running and shares[-1] != [2, 2]:
            (tmp_path / f"greedy{running[0]}").touch()
            wait_for(lambda: _live(limited) < 4)

    assert shares[0] == [4, 0]
    assert shares[-1] == [2, 2], shares
    for root in roots:
        assert maestro_es("cancel", "-y", root).returncode == 0


def _live(cluster: Cluster) -> int:
    return len(cluster.run("squeue", "-h", "-o", "%i").stdout.split())


def _in_queue(root) -> int:
    with Session(root, RUNTIME) as study:
        return sum(step.phase is Phase.SUBMITTED for step in study.graph.in_flight())


@pytest.mark.usefixtures("hasty")
def test_a_step_for_which_there_is_no_room_keeps_none_waiting_for_which_there_is(limited, launch, tmp_path):
    _limit(limited, "qos", "MaxSubmitJobsPerUser=1")
    others = {f"s{number}": State.FINISHED for number in range(20)}
    last_is_launched_first = (step("stuck", qos="small"), step("first", until("go"), qos="small"))
    root = launch(*map(step, others), *last_is_launched_first)
    assert events(root, e.SubmissionWithdrawn)
    wait_for_states(root, first=State.RUNNING, stuck=State.INITIALIZED, **others)
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 22


def test_a_limit_that_has_room_for_nobody_is_asked_about_now_and_then_until_it_is_lifted(limited, launch):
    _limit(limited, "user", "MaxSubmitJobs=0")
    root = launch(step("one"), step("two"))
    for _ in range(3):
        with Session(root, RUNTIME) as study:
            tick(study)
    assert len(events(root, e.SubmissionRequested)) == 2  # when it was launched
    _limit(limited, "user", "MaxSubmitJobs=-1")
    assert finish(root) is StudyStatus.FINISHED  # some 15 s later


def test_a_limit_on_what_a_job_may_ask_for_fails_the_step_in_slurms_own_words(limited, launch):
    _limit(limited, "qos", "Flags=DenyOnLimit")
    _limit(limited, "qos", "MaxWall=10")
    root = launch(step("long", qos="small", walltime="60"), step("short", qos="small", walltime="5"))

    assert finish(root) is StudyStatus.FAILURE

    assert states(root) == {"long": "FAILED", "short": "FINISHED"}
    [rejected] = events(root, e.SubmissionRejected)
    assert "QOSMaxWallDurationPerJobLimit" in rejected.message


@pytest.mark.usefixtures("hasty")
def test_a_full_queue_holds_up_neither_the_tick_nor_the_study(start_cluster, launch):
    """Slurm counts jobs that have ended, too, until it forgets them; sbatch itself would try again for two minutes."""
    start_cluster(Options(conf=("MaxJobCount=5",), min_job_age=2))
    root = launch(*(step(f"s{number}") for number in range(8)))
    with Session(root, RUNTIME) as study:
        began = time.monotonic()
        tick(study)
        assert time.monotonic() - began < 60

    assert "sleeping and retrying" in maestro_es("status", root).stdout
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 8
    assert events(root, e.AttemptAbandoned) == []
