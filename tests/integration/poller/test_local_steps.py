"""Local steps when things go wrong: dead runners, dead steps, walltimes, slots, and scripts that can't be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from maestro_es.adapters import proc, process
from maestro_es.adapters.base import Adapters, JobInfo, QueueEntry
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.model import Cause, Phase, Settings, State, StepRecord, StudyStatus
from maestro_es.core.observations import Claim
from maestro_es.study.invocation import Runtime
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tests.fakes.thorough import thorough
from tools.testbed.processes import TWO_THREADS, end_all_under, running_under, send, wait_for
from tools.testbed.studies import Bench, Step


class Died(BaseException):
    """The end of a tick at a moment that the test chose."""


def tokens(bench: Bench, step: str = "a") -> list[str]:
    return [event.token for event in bench.events(e.SubmissionRequested, step)]


def alone(bench: Bench) -> str:
    """Return a command that notes if another attempt of the step still runs: its processes hold a lock."""
    return f'exec 9>"{bench.root}.lock"; flock -n 9 || touch "{bench.root}.two-at-once"\n{bench.sign}'


def two_at_once(bench: Bench) -> bool:
    return Path(f"{bench.root}.two-at-once").exists()


def lasting(bench: Bench) -> Step:
    """Return a step whose first attempt goes on for a minute, in two processes; the next ones end at once."""
    return Step("a", f"{alone(bench)}\ncase $MAESTRO_ES_TOKEN in *-1-1-*) sleep 60 & sleep 60;; esac")


def test_a_chain_a_fan_out_and_a_funnel_run_to_the_end(bench: Bench):
    cmd = f'{bench.sign}; basename "$PWD" >out'
    fan = [Step(f"sim_{n}", cmd, template="sim", parents=("pre",)) for n in range(3)]
    bench.create(Step("pre", bench.sign), *fan, Step("post", f"{bench.sign}; cat ../sim_*/out >all", funnels=("sim",)))

    assert bench.finish() is StudyStatus.FINISHED
    assert (bench.root / "post/all").read_text() == "sim_0\nsim_1\nsim_2\n"
    assert sorted(bench.signed()) == sorted(event.token for event in bench.events(e.JobSubmitted))
    bench.check()


# -- the runner dies ------------------------------------------------------------------------------------------------


def test_what_a_killed_runner_left_behind_is_ended_before_the_next_attempt(bench: Bench):
    bench.create(lasting(bench))
    bench.tick()
    wait_for(bench.signed)
    os.kill(int(bench.step("a").job_id), signal.SIGKILL)

    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == tokens(bench)
    assert len(tokens(bench)) == 2
    assert not two_at_once(bench)
    assert bench.events(e.HardwareFailed)[0].reason.endswith("is gone")
    bench.check()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows threads")
def test_what_is_left_behind_is_ended_though_its_first_thread_has_ended_before(bench: Bench, tmp_path: Path):
    program = tmp_path / "two_threads.py"
    program.write_text(TWO_THREADS)
    first = f"case $MAESTRO_ES_TOKEN in *-1-1-*) exec {sys.executable} {program};; esac"
    bench.create(Step("a", f"{alone(bench)}\n{first}"))
    bench.tick()
    runner = int(bench.step("a").job_id)
    wait_for(lambda: any(proc.stat(pid)[:1] == ["Z"] for pid in process.session_members(runner)))
    os.kill(runner, signal.SIGKILL)

    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == tokens(bench)
    assert len(tokens(bench)) == 2
    assert not two_at_once(bench)
    bench.check()


def test_an_attempt_that_was_never_recorded_leaves_nothing_behind_either(bench: Bench):
    """The tick dies before it can record the job; then the runner does, and its step goes on."""

    def die(effect: str) -> None:
        if effect == "submit":
            raise Died

    bench.create(lasting(bench))
    with pytest.raises(Died):
        bench.tick(on_effect=die)
    wait_for(bench.signed)
    job_id = os.readlink(next((bench.root / "a").glob(".claim.*"))).split(" ")[0]
    os.kill(int(job_id), signal.SIGKILL)
    wait_for(lambda: not process.is_running(int(job_id), tokens(bench)[0]))
    requested = bench.step("a").requested_at or 0
    bench.tick(now=lambda: requested + 3_600_000_000)

    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == tokens(bench)
    assert not two_at_once(bench)
    assert bench.events(e.JobSubmitted)[0].job_id == job_id
    bench.check()


def test_the_tick_that_ends_remains_also_sees_that_they_are_gone(bench: Bench):
    bench.create(lasting(bench))
    bench.tick()
    wait_for(bench.signed)
    os.kill(int(bench.step("a").job_id), signal.SIGKILL)
    wait_for(lambda: not process.is_running(int(bench.step("a").job_id), tokens(bench)[0]))
    bench.tick(adapters=thorough)

    assert [event.number for event in bench.events(e.HardwareFailed)] == [1]
    assert len(tokens(bench)) == 2


def test_a_time_out_is_concluded_once_the_runner_is_gone(bench: Bench):
    """Before, it is unknown what is left of the step."""
    bench.create(Step("a", f"{bench.sign}; sleep 60", restart=bench.sign))
    bench.tick()
    wait_for(bench.signed)
    (bench.dir.inbox / f"{tokens(bench)[0]}.timeout").touch()
    bench.tick()
    assert len(tokens(bench)) == 1

    process.kill(process.session_members(int(bench.step("a").job_id)))
    assert bench.finish() is StudyStatus.FINISHED
    assert bench.step("a").restarts == 1
    assert bench.signed() == tokens(bench)


def test_a_killed_session_is_lost_and_its_step_runs_again(bench: Bench):
    bench.create(lasting(bench))
    bench.tick()
    wait_for(bench.signed)
    process.kill(process.session_members(int(bench.step("a").job_id)))
    wait_for(lambda: not running_under(bench.root))

    bench.tick()
    assert [event.number for event in bench.events(e.HardwareFailed)] == [1]
    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == tokens(bench)


def test_a_step_that_is_lost_again_and_again_fails_within_the_limit(bench: Bench):
    bench.settings = Settings(hardware_limit=1)
    bench.create(Step("a", f"{bench.sign}; sleep 60"), Step("b", parents=("a",)))
    for number in (1, 2):
        bench.until(lambda number=number: len(bench.signed()) == number)  # type: ignore[misc]  # mypy infers no default
        process.kill(process.session_members(int(bench.step("a").job_id)))

    assert bench.finish() is StudyStatus.FAILURE
    assert (bench.step("a").cause, bench.step("b").cause) == (Cause.LOST, Cause.UPSTREAM)
    assert bench.step("a").message.endswith("resubmitted 1 times, which is the limit")


def test_a_runner_that_is_killed_before_it_was_told_to_go_runs_nothing(bench: Bench):
    class Hasty(LocalAdapter):
        grace_seconds = 0.3

        def submit(self, job: Any) -> Any:
            claim = job.claim

            def kill_first(job_id: str, *more: str) -> bool:
                if job.token.split("-")[2] == "1":
                    os.kill(int(job_id), signal.SIGKILL)
                return bool(claim(job_id, *more))

            return super().submit(structs.replace(job, claim=kill_first))

    def hasty(batch: Mapping[str, Any], host: Host) -> Adapters:
        return Adapters(Hasty(batch, host), Hasty(batch, host))

    bench.runtime = Runtime(adapters=hasty)
    bench.create(Step("a", bench.sign))

    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == [tokens(bench)[1]]


# -- the step dies --------------------------------------------------------------------------------------------------


def test_a_killed_step_has_failed_with_the_signals_code(bench: Bench):
    bench.create(Step("a", "kill -KILL $$"))

    assert bench.finish() is StudyStatus.FAILURE
    assert (bench.step("a").cause, bench.step("a").exit_code) == (Cause.EXIT_CODE, 137)


def test_a_step_told_to_end_by_somebody_else_runs_again(bench: Bench):
    bench.create(lasting(bench))
    bench.tick()
    wait_for(bench.signed)
    send(int(bench.step("a").job_id), signal.SIGTERM)

    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 2
    assert not two_at_once(bench)


def test_a_step_that_ends_between_the_look_and_the_inbox_is_finished_once(bench: Bench):
    """The process still runs when it is asked for, and has reported when the inbox is read."""

    class Slow(LocalAdapter):
        def query_queue(
            self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
        ) -> dict[str, JobInfo]:
            seen = super().query_queue(steps, claims, listed)
            (bench.root / "go").touch()
            wait_for(lambda: any(bench.dir.inbox.iterdir()))
            return seen

    def slow(batch: Mapping[str, Any], host: Host) -> Adapters:
        return Adapters(Slow(batch, host), Slow(batch, host))

    bench.create(Step("a", f"until [ -e '{bench.root}/go' ]; do sleep 0.01; done; {bench.sign}"))
    bench.tick()
    bench.tick(adapters=slow)

    assert bench.step("a").state is State.FINISHED
    assert len(bench.events(e.StepFinished)) == 1
    assert bench.signed() == tokens(bench)


def test_a_step_that_ends_its_process_group_has_failed_by_its_own_hand(bench: Bench):
    bench.create(Step("a", "trap 'kill 0' EXIT; sleep 60 & exit 1"))

    assert bench.finish() is StudyStatus.FAILURE
    assert (bench.step("a").cause, bench.step("a").exit_code, bench.step("a").attempt) == (Cause.EXIT_CODE, 143, 1)


#: What has left the session of its step, in one way or the other; the last one ignores TERM.
KIDS = (
    "setsid sleep 60 &",
    "nohup sleep 60 >/dev/null 2>&1 &",
    "setsid bash -c 'sleep 60 & sleep 60' &",
    "setsid bash -c 'trap \"\" TERM; sleep 60; sleep 60' &",
)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows environments")
@pytest.mark.parametrize("end", ["cancel", "walltime", "killed runner"])
def test_what_has_left_the_session_of_a_step_ends_with_it(bench: Bench, end: str):
    kids = "\n".join(KIDS)
    first = f"case $MAESTRO_ES_TOKEN in *-1-1-*) {kids}\n touch ready; sleep 60;; esac"
    bench.create(Step("a", f"{bench.sign}\n{first}", walltime="00:00:02" if end == "walltime" else ""))
    bench.tick()
    wait_for((bench.root / "a/ready").exists)
    if end == "cancel":
        with bench.open() as study:
            study.request(requests.cancel)
    if end == "killed runner":
        os.kill(int(bench.step("a").job_id), signal.SIGKILL)

    bench.finish()
    expected = {"cancel": State.CANCELLED, "walltime": State.TIMEDOUT, "killed runner": State.FINISHED}[end]
    assert bench.step("a").state is expected
    assert not running_under(bench.root)


# -- walltime -------------------------------------------------------------------------------------------------------


def test_a_step_over_its_walltime_goes_on_with_its_restart_script(bench: Bench):
    bench.create(Step("a", f"{bench.sign}; sleep 60", restart=f"{bench.sign}; ls >seen", walltime="00:00:02"))

    assert bench.finish() is StudyStatus.FINISHED
    assert bench.signed() == tokens(bench)
    assert bench.step("a").restarts == 1
    assert "a.restart.sh" in (bench.root / "a/seen").read_text()
    bench.check()


@pytest.mark.usefixtures("hasty_runner")
def test_a_step_over_its_walltime_too_often_is_timed_out_with_all_its_children(bench: Bench):
    cmd = f"{alone(bench)}; trap '' TERM; (sleep 60 & sleep 60) & wait"
    bench.create(Step("a", cmd, restart=cmd, walltime="00:00:01"), Step("b", parents=("a",)))

    assert bench.finish() is StudyStatus.FAILURE
    assert bench.step("a").state is State.TIMEDOUT
    assert bench.step("a").message == "restart limit reached: 1 of 1"
    assert bench.step("b").message == "a is TIMEDOUT"
    assert not two_at_once(bench)
    assert running_under(bench.root) == []


# -- limits, and what fails alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Settings(local_slots=2), Settings(local_slots=9, submission_throttle=2)])
def test_no_more_steps_run_at_once_than_there_are_slots(bench: Bench, settings: Settings):
    bench.settings = settings
    bench.create(*(Step(f"s{n}", "sleep 0.05") for n in range(6)))
    seen = set()

    def watch() -> bool:
        with bench.open() as study:
            seen.add(len(study.graph.in_flight()))
            return study.status is StudyStatus.FINISHED

    bench.until(watch)
    assert max(seen) == 2


def test_a_script_that_can_not_be_written_fails_its_step_alone(bench: Bench):
    bench.create(Step("a"), Step("b", bench.sign), Step("c", parents=("a",)))
    (bench.root / "a").write_text("a file where the workspace should be")

    assert bench.finish() is StudyStatus.FAILURE
    assert [bench.step(name).state for name in "abc"] == [State.FAILED, State.FINISHED, State.FAILED]
    assert (bench.step("a").cause, bench.step("c").cause) == (Cause.SCRIPT, Cause.UPSTREAM)
    assert bench.step("a").message.startswith("its script can't be written: ")


def test_a_runner_that_is_gone_is_put_back(bench: Bench):
    bench.create(Step("a"))
    bench.dir.runner.unlink()

    assert bench.finish() is StudyStatus.FINISHED


def test_the_process_of_a_step_has_no_terminal_and_no_input(bench: Bench):
    bench.create(Step("a", "cat >input; tty >terminal; ps -o sess= -p $$ >session"))

    bench.finish()
    assert (bench.root / "a/input").read_text() == ""
    assert (bench.root / "a/terminal").read_text() == "not a tty\n"
    assert (bench.root / "a/session").read_text().strip() == bench.step("a").job_id


def test_a_step_whose_process_a_container_does_not_see_is_waited_for(bench: Bench):
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        leave_out("no namespaces can be made")
    bench.create(Step("a", f"{bench.sign}; until [ -e '{bench.root}/go' ]; do sleep 0.01; done"))
    bench.tick()
    wait_for(bench.signed)
    subprocess.run([*inside, sys.executable, "-m", "maestro_es", "tick", str(bench.root)], check=True)
    assert (bench.step("a").phase, bench.step("a").attempt) == (Phase.SUBMITTED, 1)

    (bench.root / "go").touch()
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 1


def test_a_step_of_another_host_is_waited_for(bench: Bench):
    bench.create(Step("a", f"until [ -e '{bench.root}/go' ]; do sleep 0.01; done"))
    bench.tick()
    elsewhere = Host("another-node", "another-boot", 2)
    bench.tick(host=elsewhere)
    assert (bench.step("a").phase, bench.step("a").attempt) == (Phase.SUBMITTED, 1)

    (bench.root / "go").touch()
    wait_for(lambda: any(bench.dir.inbox.iterdir()))
    bench.tick(host=elsewhere)
    assert (bench.step("a").state, bench.step("a").attempt) == (State.FINISHED, 1)


def start_elsewhere(bench: Bench) -> None:
    """Let the first attempt of a step run on another host, which is gone then, and what ran there."""
    bench.create(lasting(bench))
    bench.tick(host=Host("another-node", "another-boot", 2))
    wait_for(bench.signed)
    end_all_under(bench.root)


def test_a_step_whose_host_is_gone_for_good_runs_again_when_a_person_says_so(bench: Bench):
    start_elsewhere(bench)
    refused = maestro_es("retry", bench.root, "a")
    assert (refused.returncode, refused.stderr.count("is in flight: cancel it first")) == (1, 1)

    done = maestro_es("retry", bench.root, "a", "--lost", "--reason", "it was scrapped")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{bench.root}: will run: a\n", "")
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 2
    [lost] = bench.events(e.HardwareFailed)
    assert lost.reason.endswith(" says that the host is gone for good: it was scrapped")
    assert maestro_es("verify", bench.root).returncode == 0


def test_a_step_that_is_cancelled_and_whose_host_is_gone_for_good_is_cancelled_when_a_person_says_so(bench: Bench):
    start_elsewhere(bench)
    with bench.open() as study:
        study.request(requests.cancel)
    bench.tick()
    assert bench.step("a").phase is Phase.SUBMITTED

    done = maestro_es("retry", bench.root, "a", "--lost")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{bench.root}: cancelled: a\n", "")
    assert bench.finish() is StudyStatus.CANCELLED
    assert len(bench.signed()) == 1


def test_what_this_host_can_tell_of_a_step_no_person_has_to_say(bench: Bench):
    bench.create(lasting(bench), Step("b", parents=("a",)))
    bench.tick()
    wait_for(bench.signed)
    for step, why in (("a", "a can be seen from this host"), ("b", "b is not running")):
        refused = maestro_es("retry", bench.root, step, "--lost")
        assert (refused.returncode, refused.stdout, why in refused.stderr) == (1, "", True), refused
    assert maestro_es("retry", bench.root, "--lost").stderr == "maestro-es: name the steps\n"
    assert maestro_es("retry", bench.root, "a", "--lost", "--failed").returncode != 0
    assert bench.step("a").attempt == 1
