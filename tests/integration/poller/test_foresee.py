"""What the next tick would do is what it does, and looking ahead touches nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from maestro_es.adapters import process
from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.file_names import CANCEL, UPDATE
from maestro_es.core.model import Settings, StepRecord, StudyStatus
from maestro_es.errors import StudyCopied, Unreachable
from maestro_es.poller.preview import Prediction
from maestro_es.poller.tick import tick
from maestro_es.store.migrations import SCHEMA_VERSION
from maestro_es.study.invocation import Runtime
from maestro_es.study.locks import hold
from tests.fakes.slurm_commands import SlurmCommands
from tests.fakes.thorough import thorough
from tests.integration.poller.test_reboot import host_after
from tests.property.studies import dice
from tools.testbed.foreseen import foreseen, new_events_after, told
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

REAL = "5a175a17"


def kinds(found: Prediction) -> list[tuple[str, str]]:
    return [(found.name_of(step) if step else "", type(event).__name__) for step, event in found.new_events]


def create(bench: Bench, *steps: Step) -> None:
    """Make a study whose runners ask for no tick: what they start then would write while we look."""
    bench.create(*steps)
    bench.dir.next_tick.chmod(0o600)


def check(bench: Bench, token_suffix: str = REAL, **changes: object) -> Prediction:
    """Look ahead, then tick; returns what was foreseen, which has come true."""
    runtime = structs.replace(bench.runtime, **{"token_suffix": lambda: token_suffix, **changes})
    with bench.open() as study:
        seq = study.log.head.seq
    found = foreseen(bench.root, runtime)
    with bench.open(token_suffix=lambda: token_suffix, **changes) as study:
        try:
            tick(study)
        except Unreachable:
            assert found.unreachable
    assert told(found.new_events, set()) == told(new_events_after(bench.root, seq), {token_suffix})
    for path in found.claims:
        assert os.readlink(path) == "abandoned"
    return found


def scheduled(*names: str, cmd: str = "true") -> list[Step]:
    return [Step(name, cmd, scheduled=True) for name in names]


def reported(bench: Bench, count: int) -> Callable[[], bool]:
    """Return whether so many attempts have reported their end."""
    return lambda: sum(".exit." in path.name for path in bench.dir.inbox.iterdir()) == count


def test_the_first_steps_are_submitted_as_slots_allow_with_the_commands_that_are_run(bench: Bench):
    bench.settings = Settings(local_slots=2)
    create(bench, *(Step(name, "sleep 60") for name in "abc"))

    found = check(bench)

    assert kinds(found) == [("a", "SubmissionRequested"), ("b", "SubmissionRequested")]
    for command, name in zip(found.commands, "ab", strict=True):
        line = Path(f"/proc/{bench.step(name).job_id}/cmdline").read_bytes().decode().split("\0")
        assert [word.replace(REAL, "dry") for word in line if word][-len(command.argv) :] == command.argv


def test_ends_restarts_and_failures_of_what_waits_are_foreseen(bench: Bench):
    create(
        bench,
        Step("good"),
        Step("bad", "exit 3"),
        Step("slow", "sleep 9", restart="true", walltime="00:01"),
        Step("next", parents=("good",)),
        Step("never", parents=("bad",)),
    )
    bench.tick()
    jobs = [bench.step(name).job_id for name in ("good", "bad", "slow")]
    wait_for(lambda: not any(map(_runs, jobs)))

    found = check(bench)

    assert [kind for kind in kinds(found) if kind[0] in {"never", "next", "slow"}] == [
        ("slow", "StepTimedOut"),
        ("slow", "StepRestarted"),
        ("never", "StepFailed"),
        ("slow", "SubmissionRequested"),
        ("next", "SubmissionRequested"),
    ]


def _runs(pid: object) -> bool:
    """Whether anything of a runner's session is there; its arguments show a moment later than it does."""
    return bool(pid) and bool(process.session_members(int(str(pid))))


def test_the_last_end_completes_the_study_and_after_that_nothing_happens(bench: Bench):
    create(bench, Step("only"))
    bench.tick()
    wait_for(reported(bench, 1))
    wait_for(lambda: not _runs(bench.step("only").job_id))

    assert kinds(check(bench)) == [("only", "StepFinished"), ("", "StudyCompleted")]
    assert kinds(check(bench)) == []


def test_jobs_of_a_scheduler_are_submitted_with_the_command_foreseen(cluster: Bench):
    create(cluster, *scheduled("a", "b"))

    found = check(cluster)

    ran = [[word.replace(REAL, "dry") for word in job.argv] for job in cluster.scheduler.jobs()]
    assert ran == [command.argv[1:] for command in found.commands]
    assert kinds(check(cluster)) == []


def test_the_claim_of_an_attempt_in_doubt_would_be_made_and_is_not(cluster: Bench):
    create(cluster, *scheduled("a"))
    cluster.scheduler.plan("deaf")
    cluster.tick()
    token = cluster.step("a").token
    time.sleep(cluster.scheduler.grace_seconds + 0.1)

    found = check(cluster)

    assert found.claims == [cluster.root / "a" / f".claim.{token}"]
    assert kinds(found) == [("a", "AttemptAbandoned"), ("a", "SubmissionRequested")]


def test_a_job_whose_answer_was_lost_would_be_adopted(cluster: Bench):
    create(cluster, *scheduled("a"))
    cluster.scheduler.plan("doubt")
    cluster.tick()

    assert kinds(check(cluster)) == [("a", "JobSubmitted")]


def test_a_cancelled_job_would_be_ended_and_what_waits_for_it_is_over(cluster: Bench):
    create(cluster, *scheduled("a"), Step("b", parents=("a",)))
    cluster.tick()
    with cluster.open() as study:
        study.request(requests.cancel)

    found = check(cluster)

    assert [command.argv for command in found.commands] == [["fake-cancel", "1001"]]
    assert kinds(found) == [("b", "StepCancelled")]
    assert kinds(check(cluster))[0] == ("a", "StepCancelled")


def test_a_local_step_that_is_cancelled_would_be_told_to_end(bench: Bench):
    create(bench, Step("a", "sleep 60"))
    bench.tick()
    with bench.open() as study:
        study.request(requests.cancel)

    pid = bench.step("a").job_id
    assert [command.argv for command in check(bench).commands] == [["kill", "-TERM", "--", f"-{pid}"]]


def test_what_a_killed_runner_left_behind_would_be_ended_and_its_step_run_again(bench: Bench):
    create(bench, Step("a", "trap '' HUP TERM; echo up >up; sleep 60"))
    bench.tick()
    wait_for((bench.root / "a" / "up").exists)
    runner, token = int(bench.step("a").job_id), bench.step("a").token
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: not process.is_running(runner, token))

    found = check(bench, adapters=thorough)

    assert {tuple(command.argv[:2]) for command in found.commands[:-1]} == {("kill", "-KILL")}
    assert found.commands[-1].step == 1
    assert kinds(found) == [("a", "HardwareFailed"), ("a", "SubmissionRequested")]
    end_all_under(bench.root)


def test_a_squeue_that_fails_is_asked_as_often_as_by_the_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    slurm = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{slurm.path}:{os.environ['PATH']}")
    bench = Bench(tmp_path / "study", Runtime(), {"type": "slurm", "host": "here", "bank": "b", "queue": "q"})
    create(bench, *scheduled("a"))
    bench.tick()
    with bench.open() as study:
        study.request(requests.cancel)
    slurm.query("silent")

    before = len(slurm.calls())
    found = foreseen(bench.root, bench.runtime)
    between = len(slurm.calls())
    with pytest.raises(Unreachable):
        bench.tick()

    calls = [line.split()[0] for line in slurm.calls()]
    assert calls[before:between] == calls[between:]
    assert calls[before:between].count("squeue") == 1
    assert list(found.unreachable) == ["slurm"]


def test_a_script_that_was_edited_would_be_set_aside(bench: Bench):
    create(bench, Step("a", "sleep 60"))
    (bench.root / "a").mkdir()
    (bench.root / "a" / "a.sh").write_text("echo mine\n")

    assert kinds(check(bench)) == [("a", "SubmissionRequested"), ("a", "ScriptSetAside")]
    end_all_under(bench.root)


def test_what_maestros_client_asks_would_be_taken_and_its_files_stay(cluster: Bench):
    create(cluster, *scheduled("a", "b"))
    (cluster.root / UPDATE).write_text("throttle: 1\nsleep: 9\n")
    assert kinds(check(cluster))[:2] == [("", "SettingsChanged"), ("", "SettingsChanged")]
    (cluster.root / CANCEL).touch()
    assert ("", "CancelRequested") in kinds(check(cluster))
    (cluster.root / UPDATE).write_text("what: ever\n")
    found = foreseen(cluster.root, cluster.runtime)
    assert [line.endswith("it would be moved to .study.update.lock.bad") for line in found.remarks] == [True]


def test_a_study_that_has_moved_would_say_so_and_a_copy_is_refused(bench: Bench, tmp_path: Path):
    create(bench, Step("a", "sleep 60"))
    here = tmp_path / "elsewhere"
    bench.root.rename(here)
    moved = Bench(here)
    assert kinds(check(moved)) == [("", "StudyRelocated"), ("a", "SubmissionRequested")]
    end_all_under(here)
    os.system(f"cp -a '{here}' '{tmp_path}/copy'")  # noqa: S605 - a path of ours
    with pytest.raises(StudyCopied):
        foreseen(tmp_path / "copy", bench.runtime)


def test_silence_stray_reports_and_reboots_are_foreseen(cluster: Bench):
    create(cluster, *scheduled("a"), Step("here", "sleep 60"))
    cluster.tick()
    cluster.scheduler.switch("unreachable")
    (cluster.dir.inbox / "feedfeed-1-9-cafe.exit.0").touch()
    end_all_under(cluster.root)

    found = check(cluster, host=host_after(1))

    assert found.unreachable == {"fake": "fake: the controller does not answer"}
    assert {"RebootDetected", "PollFailed", "ReportIgnored", "HardwareFailed"} <= {kind for _, kind in kinds(found)}


def test_a_step_that_can_not_be_submitted_would_fail_with_all_that_waits_for_it(bench: Bench):
    create(bench, Step("odd", walltime="soon"), Step("after", parents=("odd",)))

    found = check(bench)

    assert kinds(found) == [
        ("odd", "SubmissionRequested"),
        ("odd", "StepFailed"),
        ("after", "StepFailed"),
        ("", "StudyCompleted"),
    ]
    assert found.commands == []


def test_of_a_study_that_only_writes_scripts_each_is_foreseen_and_none_written(bench: Bench):
    bench.settings = Settings(dry_run=True)
    create(bench, Step("a"), Step("b", parents=("a",)))

    assert kinds(check(bench)) == [("a", "StepDryRun"), ("b", "StepDryRun"), ("", "StudyCompleted")]


def test_it_waits_for_no_tick_that_is_under_way_and_keeps_none_waiting(bench: Bench):
    create(bench, Step("a", "sleep 60"))
    with hold(bench.dir.tick_lock) as held, bench.open() as study, study.log.transaction():
        assert held
        study.log.record([(None, e.StudyPaused())])
        assert kinds(foreseen(bench.root, bench.runtime)) == [("a", "SubmissionRequested")]
    with hold(bench.dir.tick_lock) as held:
        assert held
        assert kinds(foreseen(bench.root, bench.runtime)) == []  # the pause is on record now


def test_settings_can_be_supposed(cluster: Bench):
    cluster.settings = Settings(submission_throttle=1, submission_attempts=3)
    create(cluster, *scheduled("a", "b", "c"))
    assert len(foreseen(cluster.root, cluster.runtime).commands) == 1
    assert len(foreseen(cluster.root, cluster.runtime, {"throttle": 2}).commands) == 2
    assert len(foreseen(cluster.root, cluster.runtime, {"throttle": 0}).commands) == 3
    assert kinds(foreseen(cluster.root, cluster.runtime, {"paused": 1})) == []
    with cluster.open() as study:
        study.request(requests.pause)
    assert kinds(foreseen(cluster.root, cluster.runtime)) == []
    assert len(foreseen(cluster.root, cluster.runtime, {"paused": 0, "throttle": 2}).commands) == 2


def test_a_log_that_an_older_version_has_left_is_not_brought_up_to_date(bench: Bench):
    create(bench, Step("a", "sleep 60"))
    connection = sqlite3.connect(bench.dir.log)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    connection.close()

    assert kinds(foreseen(bench.root, bench.runtime)) == [("a", "SubmissionRequested")]


@pytest.mark.parametrize("seed", range(4))
def test_every_tick_of_a_study_whose_scheduler_gives_trouble_is_foreseen(cluster: Bench, seed: int):
    """The clock stands still while we look ahead and tick, and nothing runs meanwhile."""
    rng = dice(seed)
    cmd = f"{cluster.sign}; case $MAESTRO_ES_TOKEN in *-[37]-1-*) exit 3;; esac"
    names = [f"s{number}" for number in range(1, 10)]
    cluster.settings = Settings(submission_throttle=rng.choice([0, 2]), local_slots=2)
    create(
        cluster,
        *(
            Step(name, cmd, scheduled=rng.random() < 0.8, parents=tuple(rng.sample(names[:index], min(index, 1))))
            for index, name in enumerate(names)
        ),
    )
    cluster.scheduler.plan(*rng.choices(["accept", "doubt", "deaf", "late", "lose", "reuse"], k=12))
    now = cluster.runtime.now()
    for turn in range(40):
        check(cluster, f"{turn:08x}", now=partial(int, now + turn * 200_000))
        if cluster.status is not StudyStatus.RUNNING:
            break
        cluster.scheduler.switch("unreachable", on=rng.random() < 0.1)
        rng.choice((cluster.scheduler.start, cluster.scheduler.deliver, cluster.scheduler.forget))()
        wait_for(lambda: not any(_runs(job.pid) for job in cluster.scheduler.jobs()))
        wait_for(lambda: not any(_runs(step.job_id) for step in _local(cluster)))
    cluster.scheduler.switch("unreachable", on=False)
    cluster.check()


def _local(bench: Bench) -> list[StepRecord]:
    with bench.open() as study:
        return [step for step in study.graph.in_flight() if not step.scheduled]
