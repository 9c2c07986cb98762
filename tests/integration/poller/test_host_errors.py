"""An error of the host proves nothing: a step that runs is not taken for gone, and no second attempt starts beside it.

Real ticks run under strace, which lets one system call on one file fail.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.core import events as e
from maestro_es.core.model import Phase, StudyStatus
from maestro_es.errors import Unreachable
from tests.fakes.faults import leave_out, with_fault
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: In a container, several mounts of /proc may lie one upon the other.
NO_PROC = "umount -l /proc && while umount -l /proc 2>/dev/null; do :; done"

ERRORS = ("ENFILE", "EMFILE", "ENOMEM", "EIO", "EACCES")


@pytest.fixture
def running(bench: Bench) -> Iterator[Bench]:
    """A study with a step that runs until there is a file `go`, in two processes."""
    lock = f'exec 9>"{bench.root}.lock"; flock -n 9 || touch "{bench.root}.two-at-once"'
    bench.create(Step("a", f"{lock}\n{bench.sign}\nuntil [ -e '{bench.root}/go' ]; do sleep 0.05; done"))
    bench.tick()
    wait_for(bench.signed)
    yield bench
    end_all_under(bench.root)


def tick_in_vain(bench: Bench, path: Path, calls: str, error: str, when: str = "1") -> str:
    """Make a tick that gets no answer from the host, and return what it says."""
    done = with_fault([path], calls, error, "-m", "maestro_es", "tick", bench.root, when=when)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done
    step = bench.step("a")
    assert (step.phase, step.attempt) == (Phase.SUBMITTED, 1)
    return done.stderr


def finish(bench: Bench, attempts: int = 1) -> None:
    (bench.root / "go").touch()
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == attempts
    assert not Path(f"{bench.root}.two-at-once").exists()
    bench.check()


# -- of a runner that runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_on_the_arguments_of_a_runner_is_no_end_of_it(running: Bench, error: str):
    path = Path(f"/proc/{running.step('a').job_id}/cmdline")
    said = tick_in_vain(running, path, "openat", error)

    assert f"this host does not answer: {path}: {os.strerror(getattr(errno, error))}" in said
    assert [event.adapter for event in running.events(e.PollFailed)] == ["local"]
    running.tick()
    assert [event.adapter for event in running.events(e.PollRecovered)] == ["local"]
    finish(running)


@pytest.mark.parametrize(("calls", "error"), [("read", "EIO"), ("openat", "EINTR")])
def test_no_other_call_on_its_arguments_proves_its_end(running: Bench, calls: str, error: str):
    path = Path(f"/proc/{running.step('a').job_id}/cmdline")
    if error == "EINTR":  # Python tries again, and finds the runner
        done = with_fault([path], calls, error, "-m", "maestro_es", "tick", running.root, when="1")
        assert done.returncode == 0
    else:
        tick_in_vain(running, path, calls, error)
    finish(running)


@pytest.mark.parametrize("error", [*ERRORS, "ENOENT"])
def test_a_host_that_does_not_tell_its_boot_id_was_not_rebooted(running: Bench, error: str):
    said = tick_in_vain(running, BOOT_ID, "openat", error)

    assert f"{running.root}: this host does not answer: {BOOT_ID}: " in said
    running.tick()
    assert running.events(e.RebootDetected) == []
    finish(running)


def test_a_request_that_is_recorded_without_a_boot_id_is_no_sign_of_a_reboot(running: Bench):
    done = with_fault([BOOT_ID], "openat", "ENFILE", "-m", "maestro_es", "pause", running.root)
    assert done.returncode == 0, done
    running.tick()

    assert running.events(e.StudyPaused)
    assert running.events(e.RebootDetected) == []
    assert running.step("a").attempt == 1
    finish(running)


@pytest.mark.parametrize("error", ["EACCES", "ENOMEM"])
def test_a_host_that_does_not_tell_its_namespace_is_no_other_host(running: Bench, error: str):
    tick_in_vain(running, Path("/proc/self/ns/pid"), "newfstatat,stat,statx", error)
    finish(running)


@pytest.mark.parametrize("command", [NO_PROC, "mount -t tmpfs none /proc"], ids=["not mounted", "empty"])
def test_without_proc_nothing_is_concluded(running: Bench, command: str):
    tick = f"{command} || exit 77; exec '{sys.executable}' -m maestro_es tick '{running.root}'"
    words = ["unshare", "-m", "sh", "-c", tick]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        leave_out("/proc can't be taken away here")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done
    assert done.stderr.endswith("No such file or directory; is /proc mounted?\n")
    assert running.step("a").attempt == 1
    finish(running)


def test_the_processes_of_another_namespace_are_not_asked(running: Bench):
    """As in a container that lacks a ``/proc`` of its own: it would show strangers under the same ids."""
    check = "from maestro_es.adapters import process; process.is_running(2**22 - 1, 'word')"
    words = ["unshare", "--pid", "--fork", sys.executable, "-c", check]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        leave_out("no namespaces can be made")

    assert done.stderr.splitlines()[-1].startswith("maestro_es.errors.Unreachable: /proc")
    finish(running)


# -- of what a dead runner left behind --------------------------------------------------------------------------------


def kill_runner(bench: Bench) -> int:
    """Kill the runner, and return its step, which runs on."""
    runner = int(bench.step("a").job_id)
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: runner not in process.session_members(runner))
    return min(process.session_members(runner))


#: A file of /proc, or that directory, and what a tick asks it for.
REMAINS = {
    "its fields": (lambda pid: f"/proc/{pid}/stat", "openat"),
    "its environment": (lambda pid: f"/proc/{pid}/environ", "openat"),
    "its environment is read": (lambda pid: f"/proc/{pid}/environ", "read"),
    "all": (lambda _: "/proc", "openat"),
    "all are listed": (lambda _: "/proc", "getdents64"),
}


@pytest.mark.parametrize("error", ["ENFILE", "EACCES"])
@pytest.mark.parametrize("what", REMAINS)
def test_an_error_on_what_runs_is_no_sign_that_nothing_was_left_behind(running: Bench, what: str, error: str):
    path, calls = REMAINS[what]
    tick_in_vain(running, Path(path(kill_runner(running))), calls, error, when="1+")

    assert len(running.signed()) == 1
    finish(running, attempts=2)
    assert [event.number for event in running.events(e.HardwareFailed)] == [1]


# -- what else asks for processes -------------------------------------------------------------------------------------


def test_a_log_is_not_made_again_while_the_host_does_not_tell_what_runs(running: Bench):
    export = running.root.with_name("export")
    words = [sys.executable, "-m", "maestro_es", "export", str(running.root), "-o", str(export)]
    subprocess.run(words, check=True)
    running.dir.log.unlink()
    runner = next(path for path in (running.root / "a").glob(".claim.*"))
    cmdline = Path(f"/proc/{os.readlink(runner).split(' ')[0]}/cmdline")
    recover = ("-m", "maestro_es", "recover", running.root, "--from", export)
    done = with_fault([cmdline], "openat", "ENFILE", *recover, when="1+")

    assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1), done
    assert "this host does not answer" in done.stderr
    assert not running.dir.log.exists()


@pytest.mark.parametrize(
    ("ask", "script"),
    [
        (lambda: process.is_running(1, "word"), "echo 'ps: cannot allocate memory' >&2; exit 1"),
        (lambda: process.session_members(1), "exit 2"),
        (lambda: list(process.of_this_user()), "kill -KILL $$"),
    ],
    ids=["a process", "a session", "all"],
)
def test_a_ps_that_fails_is_no_answer(
    ask: Callable[[], object], script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where there is no /proc, as on macOS."""
    (tmp_path / "ps").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Unreachable, match="this host does not answer: ps: "):
        ask()


def test_a_ps_that_finds_nothing_has_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "ps").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not process.is_running(1, "word")
