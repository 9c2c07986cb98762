"""The runner on its own: what it does with a step, and what it reports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_es.adapters.job_questions import still_running
from maestro_es.adapters.registry import jobs_of
from maestro_es.core.environment import for_runner
from maestro_es.core.observations import ClaimState
from maestro_es.study.claims import abandon, claim_path, make_claim, read_claim
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import waiting
from maestro_es.study.maintenance import runner
from tests.fakes.faults import leave_out
from tools.testbed.processes import DEADLINE, arguments, running_under, send, wait_for

#: Unique, as tokens are: a runner ends what carries its step's.
TOKEN = f"feed0000-1-1-{os.urandom(4).hex()}"

#: The last is a dash that finds no bash.
ALONE = "dash alone"
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"]) if shutil.which(shell[0])]


class Stage:
    """A study directory with nothing but a runner, and one step."""

    def __init__(self, study: Path, shell: list[str], path: str = "") -> None:
        self.path = path or os.environ["PATH"]
        self.environment: dict[str, str] = {}
        self.study = study
        self.shell = shell
        self.state = study / ".maestro-es"
        self.inbox = self.state / "inbox"
        self.inbox.mkdir(parents=True)
        self.workspace = study / 'the step\'s "own" place'
        self.workspace.mkdir()
        self.runner = self.state / "runner.sh"
        self.runner.write_bytes(runner())
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
        around: str = "",
    ) -> subprocess.Popen[bytes]:
        """Start the runner as the local adapter does, or as a scheduler does."""
        script = script or self.step(text, f"{token}.{zlib.crc32(text.encode())}.sh")
        more = [limit, "out put", "host-a", "boot-a", *([around] if around else [])] if local else []
        started = subprocess.Popen(
            [*self.shell, str(self.runner), token, str(self.workspace), script, str(self.study), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": self.path, **self.environment, **({} if local else {"SLURM_JOB_ID": job})},
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


@pytest.fixture(scope="session")
def without_bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of all programs but bash."""
    folder = tmp_path_factory.mktemp("bin")
    for place in ("/usr/bin", "/bin"):
        for program in Path(place).iterdir():
            if program.name != "bash" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


@pytest.fixture(params=[*SHELLS, [ALONE]] if shutil.which("dash") else SHELLS, ids=lambda shell: shell[0])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    study = tmp_path / "a 'study' with \"quotes\" & $ and spaces"
    if request.param == [ALONE]:
        return Stage(study, ["dash"], str(request.getfixturevalue("without_bash")))
    return Stage(study, request.param)


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


@pytest.mark.parametrize("local", [True, False])
def test_a_step_knows_its_script_by_its_absolute_path(stage: Stage, local: bool):
    """As under Maestro, which starts it by that: `$(dirname "$0")` serves after a `cd`, too."""
    stage.run('echo "$0" >where', local=local)

    [script] = stage.workspace.glob("*.sh")
    assert (stage.workspace / "where").read_text() == f"{script}\n"


@pytest.mark.parametrize("local", [True, False])
def test_a_runner_reports_to_a_study_that_is_moved(stage: Stage, local: bool):
    started = stage.start("touch ready; until [ -e go ]; do sleep 0.01; done", local=local)
    wait_for((stage.workspace / "ready").exists)
    moved = stage.study.rename(stage.study.with_name("another place"))
    (moved / stage.workspace.name / "go").touch()

    assert started.wait(DEADLINE) == 0
    assert f"{TOKEN}.exit.0" in os.listdir(moved / ".maestro-es/inbox")


def test_a_runner_asks_a_study_that_was_moved_for_the_next_tick(stage: Stage):
    next_tick(stage)
    started = stage.start("touch ready; until [ -e go ]; do sleep 0.01; done")
    wait_for((stage.workspace / "ready").exists)
    moved = stage.study.rename(stage.study.with_name("another place"))
    (moved / stage.workspace.name / "go").touch()

    assert started.wait(DEADLINE) == 0
    assert wait_for(lambda: (moved / "calls").exists() and (moved / "calls").read_text()) == f"{TOKEN}.exit.0\n"


def test_a_workspace_that_is_a_link_to_another_place_belongs_to_its_study(stage: Stage, tmp_path: Path):
    elsewhere = stage.workspace.rename(tmp_path / "elsewhere")
    stage.workspace.symlink_to(elsewhere)
    (tmp_path / ".maestro-es/inbox").mkdir(parents=True)

    assert stage.run("exit 4") == 4
    assert stage.reports == [f"{TOKEN}.exit.4"]


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


def test_a_runner_and_the_poller_write_a_claim_alike_and_read_each_others(stage: Stage):
    assert stage.run("true", local=False) == 0
    text = os.readlink(claim_path(stage.workspace, TOKEN))
    claim = read_claim(stage.workspace, TOKEN)
    assert (claim.state, claim.job_id, claim.host) == (ClaimState.JOB, "77", os.uname().nodename)
    other = f"{TOKEN}0"
    assert make_claim(stage.workspace, other, claim.job_id, claim.host, claim.instance, text.rpartition(" ")[2])
    assert os.readlink(claim_path(stage.workspace, other)) == text

    assert abandon(stage.workspace, f"{TOKEN}1").state is ClaimState.ABANDONED
    assert stage.run("touch ran", token=f"{TOKEN}1", local=False) == 75
    assert f"{TOKEN}1.refused.77" in stage.reports
    assert not (stage.workspace / "ran").exists()


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


def test_a_job_whose_study_was_moved_starts_nothing_in_a_workspace_that_was_created_again(stage: Stage):
    """A tick that was slow may create the workspace again. The claims are in the new directory."""
    script = stage.step("touch ran")
    spooled = stage.runner.rename(stage.study.with_name("spooled"))
    stage.state.rename(stage.study.with_name("moved"))
    arguments = [TOKEN, str(stage.workspace), script, str(stage.study)]
    done = subprocess.run([*stage.shell, str(spooled), *arguments], capture_output=True, check=False)

    assert done.returncode == 75
    assert os.listdir(stage.workspace) == [script.removeprefix("./")]


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
    ("kind", "name", "code"),
    [("lsf", "USR2", 140), ("lsf", "INT", 130), ("flux", "ALRM", 142), ("flux", "HUP", 129), ("flux", "TERM", 0)],
)
@pytest.mark.parametrize("own", [0, 3])
def test_a_step_that_saves_its_work_when_its_scheduler_tells_it_to_end_was_stopped(
    stage: Stage, kind: str, name: str, code: int, own: int
):
    stage.runner.write_bytes(runner(jobs_of(kind)))
    started = stage.start(f'trap "touch saved; exit {own}" {name}; touch ready; sleep 60 & wait', local=False)
    wait_for((stage.workspace / "ready").exists)
    started.send_signal(signal.Signals[f"SIG{name}"])

    assert started.wait(DEADLINE) == (code or own)  # by which LSF tells that the step is not done
    assert (stage.workspace / "saved").exists()
    assert stage.reports == [f"{TOKEN}.started", f"{TOKEN}.stopped.{own}"]


@pytest.mark.parametrize(
    ("kind", "variables", "job"),
    [
        ("lsf", {"LSB_JOBID": "21"}, "21"),
        ("pbs", {"PBS_JOBID": "4.server"}, "4.server"),
        ("flux", {"FLUX_ENCLOSING_ID": "f4HU2qTnw"}, "f4HU2qTnw"),
        ("flux", {"FLUX_ENCLOSING_ID": "f1", "FLUX_JOB_ID": "f2"}, "f2"),
        ("slurm", {"LSB_JOBID": "21"}, "77"),
    ],
)
def test_a_claim_names_the_job_of_its_own_scheduler(stage: Stage, kind: str, variables: dict[str, str], job: str):
    stage.runner.write_bytes(runner(jobs_of(kind)))
    stage.environment = {**variables, **({} if kind == "slurm" else {"SLURM_JOBID": "1"})}
    stage.run("true", local=False, job="77" if kind == "slurm" else "")

    assert read_claim(stage.workspace, TOKEN).job_id == job


@pytest.mark.parametrize(
    "place", ['if [ -n "$inside" ]; then\n    (become_step)', "child=$!\n"], ids=["before", "after"]
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


@pytest.mark.parametrize(("kind", "name"), [("flux", "ALRM"), ("flux", "TERM"), ("lsf", "USR2"), ("slurm", "TERM")])
def test_a_job_that_is_told_to_end_while_its_step_is_started_leaves_no_process_behind(
    stage: Stage, kind: str, name: str
):
    """As Flux does it: it signals the processes that are there, and the job is over when its first one ends."""
    place = "child=$!\n"
    words = runner(jobs_of(kind)).decode()
    stage.runner.write_text(words.replace(place, f'touch there; until [ -e "$study/go" ]; do :; done\n{place}'))
    started = stage.start("sleep 60; true", local=False)
    wait_for((stage.workspace / "there").exists)
    wait_for(lambda: b"sleep" in b"".join(part for pid in running_under(stage.study) for part in arguments(pid)))
    started.send_signal(signal.Signals[f"SIG{name}"])
    (stage.study / "go").touch()
    started.wait(DEADLINE)

    assert f"{TOKEN}.stopped.{128 + signal.Signals[f'SIG{name}']}" in stage.reports
    wait_for(lambda: not running_under(stage.study), seconds=20)


def test_a_signal_for_which_a_step_is_not_prepared_ends_it_and_not_the_runner(stage: Stage):
    started = stage.start("touch ready; exec sleep 60", local=False)
    wait_for((stage.workspace / "ready").exists)
    started.send_signal(signal.SIGUSR1)

    assert started.wait(DEADLINE) == 128 + signal.SIGUSR1
    assert f"{TOKEN}.exit.{128 + signal.SIGUSR1}" in stage.reports


def test_a_step_that_ends_its_process_group_ends_itself_and_not_its_runner(stage: Stage):
    started = stage.start("trap 'kill 0' EXIT\nsleep 60 & exit 0")

    assert started.wait(DEADLINE) == 143
    assert stage.reports == [f"{TOKEN}.exit.143"]
    wait_for(lambda: not running_under(stage.study))


#: Steps, and whether they have failed or been stopped if all processes are told to end.
ENDING = {
    "dies": "touch ready; exec sleep 60",
    "dies with its child": "touch ready; sleep 60",
    "fails as its child dies": "touch ready; sleep 60 || exit 1",
    "saves its work": "trap 'touch saved; exit 9' TERM; touch ready; sleep 60 & wait $!",
}


@pytest.mark.parametrize("delay", [0, 0.05])
@pytest.mark.parametrize("first", ["the runner", "the step"])
@pytest.mark.parametrize("step", ENDING)
def test_a_step_that_was_told_to_end_with_all_processes_was_stopped_whichever_was_told_first(
    stage: Stage, step: str, first: str, delay: float
):
    """As by a host that shuts down, or by the end of the allocation around."""
    started = stage.start(ENDING[step])
    wait_for((stage.workspace / "ready").exists)
    wait_for(lambda: any(b"sleep" in arguments(pid) for pid in running_under(stage.study)))
    pids = sorted(running_under(stage.study), reverse=first == "the step")
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(delay / len(pids))

    code = started.wait(DEADLINE)
    assert stage.reports == [f"{TOKEN}.stopped.{code}"]


@pytest.mark.parametrize("step", ["dies", "saves its work"])
def test_a_step_that_ends_as_its_runner_is_told_to_is_reported_at_once(stage: Stage, step: str):
    """Bash may lose the end of a step that comes with a signal, and then wait for a helper that sleeps for long."""
    stage.runner.write_text(stage.runner.read_text().replace("kill_wait=10", "kill_wait=4000"))
    for number in range(6):
        token = f"{TOKEN}-{number}"
        limit = "4000" if number % 2 else "0"
        started = stage.start(f"rm -f ready saved\n{ENDING[step]}", token=token, limit=limit)
        wait_for((stage.workspace / "ready").exists)
        wait_for(lambda: any(b"60" in arguments(pid) for pid in running_under(stage.study)))
        step_processes = [pid for pid in running_under(stage.study) if os.getpgid(pid) != started.pid]
        for pid in [*sorted(step_processes), started.pid]:
            send(pid, signal.SIGTERM)

        code = started.wait(DEADLINE)
        assert stage.reports == [f"{token}.stopped.{code}"]
        (stage.inbox / stage.reports[0]).unlink()
        wait_for(lambda: not running_under(stage.study))


#: A step that ends well when it is told USR1, and that no further signal ends.
LEAVES = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with open("ready.new", "w") as file: file.write(str(os.getpid()))
os.rename("ready.new", "ready")
signal.sigwait([signal.SIGUSR1])
os._exit(0)
"""


def test_a_signal_that_comes_as_a_job_ends_well_does_not_make_it_fail(stage: Stage):
    """As by ``scancel --signal=USR1 --full``. Bash may lose the exit code, which the runner calls no failure."""
    (stage.workspace / "leaves.py").write_text(LEAVES)
    ready = stage.workspace / "ready"
    for number in range(4):
        token = f"{TOKEN}-{number}"
        started = stage.start(f"exec {sys.executable} -I leaves.py", token=token, local=False)
        wait_for(ready.exists)
        step = int(ready.read_text())
        ready.unlink()
        send(step, signal.SIGUSR1)
        send(started.pid, signal.SIGUSR1)

        started.wait(DEADLINE)
        assert set(stage.reports) & {f"{token}.exit.0", f"{token}.stopped.{128 + signal.SIGUSR1}"}


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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows environments")
@pytest.mark.parametrize("limit", ["0", "1"], ids=["told to end", "walltime"])
def test_what_has_left_the_session_of_a_local_step_is_told_to_end_too(stage: Stage, limit: str):
    kid = """setsid /bin/bash -c 'trap "touch told; exit" TERM; touch kid; sleep 60 & wait' &"""
    started = stage.start(f"{kid}\nuntil [ -e kid ]; do sleep 0.01; done; touch ready; sleep 60", limit=limit)
    wait_for((stage.workspace / "ready").exists)
    if limit == "0":
        started.terminate()

    assert started.wait(DEADLINE) == 143
    wait_for((stage.workspace / "told").exists)
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
    used = '[ "${1-}" != used ] || [ -n "${4-}" ] || exit 0'
    script.write_text(f'#!/bin/sh\n{used}\nls "${{0%/*}}/inbox" >"$0.new"; mv "$0.new" "${{0%/*}}/../calls"\n')
    script.chmod(0o755)
    return calls


def test_a_local_runner_asks_for_the_next_tick_once_its_report_is_there(stage: Stage):
    calls = next_tick(stage)
    stage.run("exit 0")

    assert wait_for(lambda: calls.read_text() if calls.exists() else "") == f"{TOKEN}.exit.0\n"


def test_a_file_that_bash_reads_at_its_start_is_read_by_the_step_and_not_by_its_runner(stage: Stage):
    file = stage.study.with_name("env")
    file.write_text("echo read >>times\n")
    stage.environment = {"BASH_ENV": str(file)}

    assert stage.run('echo "$BASH_ENV" >named') == 0
    assert (stage.workspace / "times").read_text() == "read\n"
    assert (stage.workspace / "named").read_text() == f"{file}\n"
    assert not Path("times").exists()


@pytest.mark.parametrize("way", [dict, for_runner], ids=["as it is", "by the poller"])
@pytest.mark.parametrize("local", [True, False])
def test_options_of_bash_that_a_user_exports_are_those_of_the_step(
    stage: Stage, local: bool, way: Callable[[dict[str, str]], dict[str, str]]
):
    """The runner sets POSIX mode for itself, in which bash doesn't read BASH_ENV."""
    file = stage.study.with_name("env")
    file.write_text("echo read >>times\n")
    stage.environment = way({"SHELLOPTS": "braceexpand:hashall:pipefail", "BASH_ENV": str(file)})

    assert stage.run('echo "$SHELLOPTS" >options', local=local) == 0
    options = (stage.workspace / "options").read_text().strip().split(":")
    assert "pipefail" in options
    assert "posix" not in options
    assert "monitor" not in options
    assert (stage.workspace / "times").read_text() == "read\n"


@pytest.mark.parametrize("local", [True, False])
def test_options_of_bash_that_a_user_exports_are_not_the_runners(stage: Stage, local: bool):
    stage.environment = for_runner({"SHELLOPTS": "errexit:noglob:nounset:xtrace", "BASHOPTS": "failglob"})

    assert stage.run("echo $SHELLOPTS $BASHOPTS >options; false", local=local) == 1
    assert f"{TOKEN}.exit.1" in stage.reports
    text = (stage.workspace / "options").read_text()
    assert [name for name in ("errexit", "noglob", "nounset", "xtrace", "failglob") if name not in text] == []
    assert "exec" not in "".join(file.read_text() for file in stage.workspace.glob("out put.*.err"))


def test_the_next_tick_does_not_carry_the_steps_token(stage: Stage):
    calls = next_tick(stage)
    (stage.state / "next-tick").write_text('#!/bin/sh\nenv >"$0.new"; mv "$0.new" "${0%/*}/../calls"\n')
    stage.run("exit 0")

    assert "MAESTRO_ES_TOKEN" not in wait_for(lambda: calls.read_text() if calls.exists() else "")


def squeue(stage: Stage, script: str, folder: Path) -> None:
    """Put a squeue on the runner's path."""
    folder.mkdir()
    (folder / "squeue").write_text(f"#!/bin/sh\n[ \"$*\" = '-h -j 47 -o %T' ] || exit 9\n{script}\n")
    (folder / "squeue").chmod(0o755)
    stage.path = f"{folder}:{stage.path}"


def test_a_runner_in_a_job_that_goes_on_asks_for_the_next_tick(stage: Stage, tmp_path: Path):
    calls = next_tick(stage)
    squeue(stage, "echo RUNNING", tmp_path / "bin")
    stage.run("exit 0", around=still_running("slurm:47"))

    wait_for(calls.exists)


@pytest.mark.parametrize(
    ("around", "script"),
    [
        ("slurm:47", "echo COMPLETING"),
        ("slurm:47", "exit 0"),
        ("slurm:47", "echo RUNNING >&2; exit 1"),
        ("lsf:47", ""),
    ],
    ids=["which is over", "which is forgotten", "without an answer", "that is not asked"],
)
def test_a_runner_asks_for_no_tick_that_would_outlive_its_job(stage: Stage, tmp_path: Path, around: str, script: str):
    calls = next_tick(stage)
    squeue(stage, script, tmp_path / "bin")
    stage.run("exit 3", around=still_running(around))

    wait_for(lambda: not running_under(stage.study))
    assert stage.reports == [f"{TOKEN}.exit.3"]
    assert not calls.exists()


def test_a_runner_that_is_told_to_end_with_its_job_asks_for_no_tick(stage: Stage, tmp_path: Path):
    """Though Slurm may not know yet that the job is over."""
    calls = next_tick(stage)
    squeue(stage, "echo RUNNING", tmp_path / "bin")
    started = stage.start("touch ready; exec sleep 60", around=still_running("slurm:47"))
    wait_for((stage.workspace / "ready").exists)
    started.terminate()
    started.wait(DEADLINE)

    wait_for(lambda: not running_under(stage.study))
    assert stage.reports == [f"{TOKEN}.stopped.143"]
    assert not calls.exists()


def test_a_scheduled_runner_does_not_ask_for_a_tick(stage: Stage):
    calls = next_tick(stage)
    stage.run("exit 0", local=False)

    assert running_under(stage.study) == []
    assert not calls.exists()


@pytest.mark.parametrize(
    ("host", "pid"),
    [("host-a", 2**22 + 1), ("host-b", os.getpid()), ("", ""), ("host-a", os.getpid()), ("host-a", 1)],
    ids=["it is dead", "on another host", "nobody", "its id is another's now", "its id is another user's now"],
)
def test_a_runner_asks_for_a_tick_unless_one_waits(stage: Stage, host: str, pid: int | str):
    calls = next_tick(stage)
    (stage.state / "waiter.lock").touch()
    (stage.state / "waiting").write_text(f"{host} {pid}\n")
    stage.run("exit 0")

    wait_for(calls.exists)


@pytest.mark.parametrize("what", ["pipe", "directory", "large file", "binary file", "link to itself"])
@pytest.mark.timeout(60)
def test_what_lies_in_the_place_of_the_note_of_a_waiting_tick_keeps_no_runner_from_asking(stage: Stage, what: str):
    calls = next_tick(stage)
    (stage.state / "waiter.lock").touch()
    note = stage.state / "waiting"
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(note),
        "directory": note.mkdir,
        "large file": lambda: note.write_bytes(b"x" * 3_000_000),
        "binary file": lambda: note.write_bytes(bytes(range(256))),
        "link to itself": lambda: note.symlink_to(note),
    }
    make[what]()
    stage.run("exit 0")

    wait_for(calls.exists)
    with waiting(StudyDir(stage.study), "host-a") as first:
        assert first
        assert what == "directory" or note.read_text() == f"host-a {os.getpid()}\n"


WAITER = """
import sys; from pathlib import Path
from maestro_es.study.locks import waiting
from maestro_es.study.layout import StudyDir
with waiting(StudyDir(Path(sys.argv[1])), "host-a") as first:
    print(first, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows who has a lock open")
def test_one_waiting_tick_is_enough_as_long_as_it_lives(stage: Stage):
    calls = next_tick(stage)
    words = [sys.executable, "-c", WAITER, str(stage.study)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiter:
        assert waiter.stdout
        assert waiter.stdout.readline() == "True\n"
        stage.run("exit 0")
        wait_for(lambda: running_under(stage.study) == [waiter.pid])
        assert not calls.exists()
        waiter.kill()
    assert (stage.state / "waiting").exists()

    stage.run("exit 0", token="t-2")
    wait_for(calls.exists)
