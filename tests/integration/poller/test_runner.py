"""The runner on its own: what it does with a step, and what it reports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.faults import leave_out
from tests.fakes.processes import DEADLINE, arguments, running_under, wait_for

TOKEN = "feed0000-1-1-cafe"

SHELLS = [shell for shell in (["dash"], ["bash", "--posix"]) if shutil.which(shell[0])]


class Stage:
    """A study directory with nothing but a runner, and one step."""

    def __init__(self, study: Path, shell: list[str]) -> None:
        self.study = study
        self.shell = shell
        self.state = study / ".maestro-es"
        self.inbox = self.state / "inbox"
        self.inbox.mkdir(parents=True)
        self.workspace = study / 'the step\'s "own" place'
        self.workspace.mkdir()
        self.runner = self.state / "runner.sh"
        self.runner.write_text((resources.files("maestro_es.adapters") / "runner.sh").read_text())
        self.runner.chmod(0o755)

    def step(self, text: str, name: str = "step.sh") -> str:
        script = self.workspace / name
        if not script.exists():  # else it may be running
            script.write_text(f"#!/bin/bash\n{text}\n")
            script.chmod(0o755)
        return f"./{name}"

    def start(
        self,
        text: str,
        *,
        token: str = TOKEN,
        limit: str = "0",
        go: bool = True,
        local: bool = True,
        job: str = "77",
        script: str = "",
    ) -> subprocess.Popen[bytes]:
        """Start the runner as the local adapter does, or as a scheduler does."""
        script = script or self.step(text, f"{token}.{zlib.crc32(text.encode())}.sh")
        more = [limit, "out put", "host-a", "boot-a"] if local else []
        started = subprocess.Popen(
            [*self.shell, str(self.runner), token, str(self.workspace), script, str(self.study), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], **({} if local else {"SLURM_JOB_ID": job})},
            start_new_session=True,
        )
        assert started.stdin
        with contextlib.suppress(BrokenPipeError), started.stdin:
            started.stdin.write(b"go\n" if go else b"")
        return started

    def run(self, text: str, **options: Any) -> int:
        """Run a step to its end; returns the runner's exit code."""
        return self.start(text, **options).wait(DEADLINE)

    @property
    def reports(self) -> list[str]:
        return sorted(os.listdir(self.inbox))

    def report(self) -> list[str]:
        """Wait for the first report."""
        return wait_for(lambda: self.reports)


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    return Stage(tmp_path / "a 'study' with \"quotes\" & $ and spaces", request.param)


@pytest.fixture
def full(stage: Stage) -> Iterator[Path]:
    """Put the inbox on a file system that takes no file more, until the test makes room."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs", str(stage.inbox)], capture_output=True, check=False
    )
    if mounted.returncode:
        leave_out("no full inbox, because none can be mounted")
    ballast = [stage.inbox / "ballast1", stage.inbox / "ballast2"]
    for path in ballast:
        path.touch()
    yield ballast[0]
    subprocess.run(["umount", "-l", str(stage.inbox)], check=True)


@pytest.mark.parametrize("code", [0, 1, 3, 75, 127, 255])
def test_the_exit_code_of_the_step_is_the_runners_and_is_reported(stage: Stage, code: int):
    assert stage.run(f"exit {code}") == code
    assert stage.reports == [f"{TOKEN}.exit.{code}"]


def test_a_step_killed_by_a_signal_is_reported_with_128_and_its_number(stage: Stage):
    assert stage.run("kill -KILL $$") == 137
    assert stage.reports == [f"{TOKEN}.exit.137"]


def test_a_script_that_is_not_there_is_reported_as_the_shell_does(stage: Stage):
    assert stage.run("", script="./nothing.sh") == 127
    assert stage.reports == [f"{TOKEN}.exit.127"]


def test_output_goes_to_files_named_after_the_step_and_the_process(stage: Stage):
    started = stage.start("echo to out; echo to err >&2; cat")
    started.wait(DEADLINE)

    assert (stage.workspace / f"out put.{started.pid}.out").read_text() == "to out\n"
    assert (stage.workspace / f"out put.{started.pid}.err").read_text() == "to err\n"


def test_a_step_runs_in_its_workspace_and_knows_its_token(stage: Stage):
    stage.run('pwd >where; echo "$MAESTRO_ES_TOKEN" >token')

    assert (stage.workspace / "where").read_text() == f"{stage.workspace}\n"
    assert (stage.workspace / "token").read_text() == f"{TOKEN}\n"


def test_a_local_runner_that_is_not_told_to_go_runs_nothing_and_says_so(stage: Stage):
    assert stage.run("touch ran", go=False) == 75
    assert stage.reports == [f"{TOKEN}.dropped"]
    assert not (stage.workspace / "ran").exists()


# -- claims of scheduled runners ------------------------------------------------------------------------------------


def test_a_scheduled_runner_claims_its_token_before_it_reports_that_it_started(stage: Stage):
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    assert stage.run("exit 4", local=False) == 4
    job, host, instance, _ = os.readlink(stage.workspace / f".claim.{TOKEN}").split(" ")
    assert (job, host, instance) == ("77", os.uname().nodename, boot)
    assert stage.reports == [f"{TOKEN}.exit.4", f"{TOKEN}.started"]


def test_of_twenty_starts_of_one_token_at_once_exactly_one_runs_the_step(stage: Stage):
    started = [stage.start("echo ran >>ledger", local=False, job=str(job)) for job in range(20)]
    codes = sorted(each.wait(DEADLINE) for each in started)

    assert (stage.workspace / "ledger").read_text() == "ran\n"
    assert codes == [0, *[75] * 19]
    owner = os.readlink(stage.workspace / f".claim.{TOKEN}").split(" ")[0]
    refused = [f"{TOKEN}.refused.{job}" for job in range(20) if str(job) != owner]
    assert stage.reports == sorted([f"{TOKEN}.started", f"{TOKEN}.exit.0", *refused])


def test_a_second_start_is_refused_and_the_first_claim_stays(stage: Stage):
    stage.run("exit 0", local=False, job="1")
    first = os.readlink(stage.workspace / f".claim.{TOKEN}")

    assert stage.run("touch again", local=False, job="2") == 75
    assert os.readlink(stage.workspace / f".claim.{TOKEN}") == first
    assert f"{TOKEN}.refused.2" in stage.reports
    assert not (stage.workspace / "again").exists()


def test_an_attempt_that_the_poller_has_given_up_starts_no_more(stage: Stage):
    os.symlink("abandoned", stage.workspace / f".claim.{TOKEN}")

    assert stage.run("touch ran", local=False) == 75
    assert stage.reports == [f"{TOKEN}.refused.77"]
    assert not (stage.workspace / "ran").exists()


def test_a_start_with_the_same_job_id_and_process_id_is_another_start(stage: Stage):
    """As after a requeue on the same node, in a container: each runner is process 1 or 2 of its own namespace."""
    inside = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        leave_out("no namespaces can be made")
    stage.shell = [*inside, *stage.shell]

    assert stage.run("echo ran >>ledger", local=False) == 0
    assert stage.run("echo ran >>ledger", local=False) == 75
    assert (stage.workspace / "ledger").read_text() == "ran\n"


def test_a_workspace_that_is_gone_is_reported_as_unclaimed(stage: Stage):
    script = stage.step("true")
    arguments = [TOKEN, str(stage.workspace / "gone"), script, str(stage.study)]
    done = subprocess.run([*stage.shell, str(stage.runner), *arguments], capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (75, b"", b"")
    assert stage.reports == [f"{TOKEN}.unclaimed"]


# -- the end that others make ---------------------------------------------------------------------------------------


def test_the_walltime_is_enforced_and_reported(stage: Stage):
    started = stage.start("sleep 60 & sleep 60", limit="1")

    assert started.wait(DEADLINE) == 143
    assert stage.reports == [f"{TOKEN}.timeout"]
    wait_for(lambda: not running_under(stage.study))


def test_a_step_that_saves_its_work_when_told_to_end_is_a_timeout_all_the_same(stage: Stage):
    started = stage.start('trap "echo saved >state; exit 0" TERM; sleep 60 & wait', limit="1")

    assert started.wait(DEADLINE) == 0
    assert stage.reports == [f"{TOKEN}.timeout"]
    assert (stage.workspace / "state").read_text() == "saved\n"


def test_a_step_that_ignores_term_is_killed_in_the_end(stage: Stage):
    stage.runner.write_text(stage.runner.read_text().replace("kill_wait=10", "kill_wait=0.3"))
    started = stage.start("trap '' TERM; while :; do sleep 1; done", limit="1")

    assert started.wait(DEADLINE) == 137
    assert stage.reports == [f"{TOKEN}.timeout"]


def test_many_terms_at_once_do_not_save_a_step_that_ignores_them(stage: Stage):
    stage.runner.write_text(stage.runner.read_text().replace("kill_wait=10", "kill_wait=0.3"))
    started = stage.start("trap '' TERM; touch ready; while :; do sleep 1; done")
    wait_for((stage.workspace / "ready").exists)
    for _ in range(100):
        os.killpg(started.pid, signal.SIGTERM)

    code = started.wait(DEADLINE)
    assert code in (137, 143)  # which of the signals a shell names after such a hail is its own business
    assert stage.reports == [f"{TOKEN}.stopped.{code}"]
    wait_for(lambda: not running_under(stage.study))


@pytest.mark.parametrize("local", [True, False])
def test_term_is_passed_on_to_the_step_and_reported_as_stopped(stage: Stage, local: bool):
    started = stage.start('trap "echo told >told; exit 9" TERM; touch ready; sleep 60 & wait', local=local)
    wait_for((stage.workspace / "ready").exists)
    started.terminate()

    assert started.wait(DEADLINE) == 9
    assert f"{TOKEN}.stopped.9" in stage.reports
    assert (stage.workspace / "told").read_text() == "told\n"


def test_a_step_that_ends_well_although_it_was_told_to_end_has_ended_well(stage: Stage):
    started = stage.start('trap "exit 0" TERM; touch ready; sleep 60 & wait')
    wait_for((stage.workspace / "ready").exists)
    started.terminate()

    assert started.wait(DEADLINE) == 0
    assert stage.reports == [f"{TOKEN}.exit.0"]


def test_of_a_job_that_was_told_to_end_and_ended_well_the_scheduler_may_say_why(stage: Stage):
    started = stage.start('trap "exit 0" TERM; touch ready; sleep 60 & wait', local=False)
    wait_for((stage.workspace / "ready").exists)
    started.terminate()

    assert started.wait(DEADLINE) == 0
    assert stage.reports == [f"{TOKEN}.started", f"{TOKEN}.stopped.0"]


def test_how_long_a_job_may_take_to_save_its_work_is_for_its_scheduler_to_say(stage: Stage):
    stage.runner.write_text(stage.runner.read_text().replace("kill_wait=10", "kill_wait=0.1"))
    started = stage.start('trap "sleep 1; touch saved; exit 5" TERM; touch ready; sleep 60 & wait', local=False)
    wait_for((stage.workspace / "ready").exists)
    started.terminate()

    assert started.wait(DEADLINE) == 5
    assert (stage.workspace / "saved").exists()


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "URG"])
def test_a_signal_that_a_job_has_asked_for_reaches_its_step(stage: Stage, name: str):
    """As ``sbatch --signal=B:USR1@60`` sends it: to the batch script alone, which is the runner."""
    text = f'trap "touch saved; exit 0" {name}; touch ready; sleep 60 & wait'  # a loop may lose an INT to bash
    started = stage.start(text, local=False)
    wait_for((stage.workspace / "ready").exists)
    started.send_signal(signal.Signals[f"SIG{name}"])

    assert started.wait(DEADLINE) == 0
    assert (stage.workspace / "saved").exists()
    assert stage.reports == [f"{TOKEN}.exit.0", f"{TOKEN}.started"]


@pytest.mark.parametrize(
    "place", ['if [ -n "$output" ]; then\n    (become_step)', "child=$!\n"], ids=["before", "after"]
)
@pytest.mark.parametrize(("local", "name"), [(True, "TERM"), (False, "TERM"), (False, "USR1")])
def test_a_signal_that_comes_while_the_step_is_started_is_for_the_step(
    stage: Stage, place: str, local: bool, name: str
):
    words = stage.runner.read_text()
    assert words.count(place) == 1
    stage.runner.write_text(words.replace(place, f'touch there; until [ -e "$study/go" ]; do :; done\n{place}'))
    started = stage.start("exec sleep 60", local=local)
    wait_for((stage.workspace / "there").exists)
    started.send_signal(signal.Signals[f"SIG{name}"])
    (stage.study / "go").touch()

    code = 128 + signal.Signals[f"SIG{name}"]
    assert started.wait(DEADLINE) == code
    assert f"{TOKEN}.{'stopped' if name == 'TERM' else 'exit'}.{code}" in stage.reports


def test_a_signal_for_which_a_step_is_not_prepared_ends_it_and_not_the_runner(stage: Stage):
    started = stage.start("touch ready; exec sleep 60", local=False)
    wait_for((stage.workspace / "ready").exists)
    started.send_signal(signal.SIGUSR1)

    assert started.wait(DEADLINE) == 128 + signal.SIGUSR1
    assert f"{TOKEN}.exit.{128 + signal.SIGUSR1}" in stage.reports


def test_term_reaches_the_grandchildren_of_a_local_step(stage: Stage):
    started = stage.start("(sleep 60 & sleep 60) & touch ready; wait")
    wait_for((stage.workspace / "ready").exists)
    started.terminate()
    started.wait(DEADLINE)

    assert stage.reports == [f"{TOKEN}.stopped.143"]
    wait_for(lambda: not running_under(stage.study))


def test_no_sleep_of_the_runner_outlives_a_step_that_ends_at_once(stage: Stage):
    for number in range(60):
        assert stage.run("exit 0", token=f"t-{number}", limit="4000") == 0

    wait_for(lambda: not running_under(stage.study))


# -- the report, and the next tick ----------------------------------------------------------------------------------


def test_a_report_that_the_inbox_does_not_take_is_tried_again(stage: Stage, full: Path):
    started = stage.start("touch ended; exit 6")
    wait_for((stage.workspace / "ended").exists)
    wait_for(lambda: any(b"sleep" in arguments(pid) for pid in running_under(stage.study)))
    full.unlink()

    assert started.wait(DEADLINE) == 6
    assert f"{TOKEN}.exit.6" in stage.reports


def next_tick(stage: Stage) -> Path:
    script, calls = stage.state / "next-tick", stage.study / "calls"
    script.write_text('#!/bin/sh\nls "${0%/*}/inbox" >"$0.new"; mv "$0.new" "${0%/*}/../calls"\n')
    script.chmod(0o755)
    return calls


def test_a_local_runner_asks_for_the_next_tick_once_its_report_is_there(stage: Stage):
    calls = next_tick(stage)
    stage.run("exit 0")

    assert wait_for(lambda: calls.read_text() if calls.exists() else "") == f"{TOKEN}.exit.0\n"


def test_the_next_tick_does_not_carry_the_steps_token(stage: Stage):
    calls = next_tick(stage)
    (stage.state / "next-tick").write_text('#!/bin/sh\nenv >"$0.new"; mv "$0.new" "${0%/*}/../calls"\n')
    stage.run("exit 0")

    assert "MAESTRO_ES_TOKEN" not in wait_for(lambda: calls.read_text() if calls.exists() else "")


def test_a_scheduled_runner_does_not_ask_for_a_tick(stage: Stage):
    calls = next_tick(stage)
    stage.run("exit 0", local=False)

    assert running_under(stage.study) == []
    assert not calls.exists()


@pytest.mark.parametrize(
    ("host", "pid", "asks"),
    [("host-a", os.getpid(), False), ("host-a", 2**22 + 1, True), ("host-b", os.getpid(), True), ("", "", True)],
    ids=["one waits", "it is dead", "on another host", "nobody"],
)
def test_one_waiting_tick_is_enough(stage: Stage, host: str, pid: int, asks: bool):
    calls = next_tick(stage)
    (stage.state / "waiting").write_text(f"{host} {pid}\n")
    stage.run("exit 0")

    wait_for(lambda: not running_under(stage.study))
    assert calls.exists() is asks
