"""Commands: started, several at a time, and waited for, whatever they do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_es.adapters import process, spawner
from maestro_es.adapters.command import Command, find_program, run, wait
from maestro_es.study.scripts import write_script
from tools.testbed.processes import arguments, end_all_under, wait_for


def sh(script: str, **options: object) -> Command:
    return Command(["/bin/sh", "-c", script], **options)  # type: ignore[arg-type]  # any of its options


def in_session(script: str, **options: object) -> Command:
    """Start a script that is ended, with its whole session, once it says "retrying"."""
    return sh(script, until="retrying", members=process.session_members, **options)


def written(path: Path) -> int:
    """Return the process id that a script has written."""
    return int(wait_for(lambda: path.read_text() if path.exists() else ""))


def ignored_in(line: str) -> int:
    """Return the signals that are ignored by a line of /proc/PID/status, but for glibc's own, which are 32 and 33."""
    return int(line.split()[1], 16) & 0x7FFFFFFF


def is_gone(pid: int) -> bool:
    return not any(arguments(pid))


@pytest.fixture(params=["told by the system", "looking"], autouse=True)
def _ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 5.3 and other systems don't tell that a process has ended: the refusal is a fake."""

    def refuse(_: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    if request.param == "looking":
        monkeypatch.setattr(os, "pidfd_open", refuse)


def test_what_a_command_prints_is_kept_however_much_it_is():
    many = "i=0; while [ $i -lt 20000 ]; do echo 1234567890; echo 12345 >&2; i=$((i+1)); done"
    assert run(["/bin/sh", "-c", many]) == (0, "1234567890\n" * 20000, "12345\n" * 20000)


def test_a_command_reads_nothing_and_is_found_on_the_path():
    assert run(["cat"], timeout=30) == (0, "", "")
    with pytest.raises(FileNotFoundError):
        run(["no-such-command"])


def test_a_command_has_the_environment_that_it_is_given():
    assert run(["/usr/bin/env"], env={"A": "b"}) == (0, "A=b\n", "")


def test_exit_codes_and_signals_are_told():
    assert [sh(f"exit {code}").result().code for code in (0, 1, 255)] == [0, 1, 255]
    assert sh("kill -TERM $$").result().code == -signal.SIGTERM


def test_a_command_inherits_no_signal_that_is_ignored():
    said = run(["cat", "/proc/self/status"]).out
    assert not ignored_in(next(line for line in said.splitlines() if line.startswith("SigIgn")))


def test_commands_leave_no_files_open():
    def files() -> list[str]:
        return sorted(os.listdir("/proc/self/fd"))

    before = files()
    assert run(["true"]).code == 0
    with pytest.raises(FileNotFoundError):
        run(["no-such-command"])
    with pytest.raises(TimeoutError):
        sh("exec sleep 60", timeout=0.1).result()
    assert files() == before


def test_those_that_end_first_are_told_of_first(tmp_path: Path):
    slow = sh(f"echo $$ >{tmp_path}/pid; exec sleep 60", timeout=100)
    pid, quick = written(tmp_path / "pid"), sh("exit 3")
    assert wait([slow, quick]) == [quick]
    assert quick.result().code == 3
    assert not slow.has_ended
    slow.kill()
    assert slow.result().code == -signal.SIGKILL
    assert is_gone(pid)


def test_a_command_that_goes_on_in_silence_is_waited_for(tmp_path: Path):
    """One that has closed its output is not over, and holds nobody else up."""
    silent = sh(f"exec >&- 2>&-; until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 5", timeout=60)
    other = sh("exit 0")
    assert wait([silent, other]) == [other]
    (tmp_path / "go").touch()
    assert silent.result() == (5, "", "")


def test_one_that_leaves_its_output_to_another_is_given_up_when_its_time_is_over(tmp_path: Path):
    command = sh(f"cd {tmp_path}; sleep 60 & echo 17", timeout=0.5)
    with pytest.raises(TimeoutError):
        command.result()
    end_all_under(tmp_path)


def test_what_was_said_in_time_is_heard_though_nobody_looked_in_time(tmp_path: Path):
    """As where the tick hangs in a file system while its sbatch has long answered."""
    command = sh(f"echo $$ >{tmp_path}/pid; echo 17", timeout=0.2)
    pid = written(tmp_path / "pid")
    wait_for(lambda: is_gone(pid))
    time.sleep(0.2)
    assert command.result() == (0, "17\n", "")


@pytest.mark.parametrize("ends", ["exec yes", "exec sleep 60", "exec >&- 2>&-; sleep 60 & wait"])
def test_one_that_does_not_end_is_ended_when_its_time_is_over_whatever_it_does(tmp_path: Path, ends: str):
    command = in_session(f"echo $$ >{tmp_path}/pid; {ends}", timeout=2)
    with pytest.raises(TimeoutError, match="sh has not answered within"):
        command.result()
    assert not process.session_members(written(tmp_path / "pid"))


def test_a_command_is_ended_if_nobody_waits_for_it_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = sh(f"echo $$ >{tmp_path}/pid; exec sleep 60")
    pid = written(tmp_path / "pid")

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("maestro_es.adapters.command.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        command.result()
    assert is_gone(pid)


@pytest.mark.parametrize("ignored", [True, False])
def test_exit_codes_come_through_whatever_the_parent_does_with_its_children(tmp_path: Path, ignored: bool):
    """Who ignores SIGCHLD hands that on; then the system throws exit codes away, and a failure must not be taken for
    success."""
    code = (
        "import sys\n"
        "from maestro_es.adapters.command import run\n"
        f"print(run(['/bin/sh', '-c', 'grep SigIgn /proc/self/status >{tmp_path}/ignored; exit 3']).code)\n"
    )
    shell = f"trap '' CHLD; exec {sys.executable} -c \"$0\"" if ignored else f'exec {sys.executable} -c "$0"'
    done = subprocess.run(["/bin/bash", "-c", shell, code], capture_output=True, text=True, check=False)
    if ignored:
        assert "ChildProcessError: the exit code of sh was taken by another part" in done.stderr
    else:
        assert (done.stdout, done.stderr) == ("3\n", "")
    assert not ignored_in((tmp_path / "ignored").read_text())


@pytest.mark.parametrize(
    "command",
    [
        "{complain}; exec sleep 60",
        "{complain}; sleep 60",
        "{complain}; sleep 60 & sleep 60 & wait",
        "timeout 60 sh -c '{complain}; sleep 60'; true",  # which has a process group of its own
    ],
)
def test_a_command_is_ended_with_all_that_it_has_started_once_it_complains(command: str, tmp_path: Path):
    script = f"echo $$ >{tmp_path}/pid; echo 17; " + command.format(complain='echo "no room, retrying" >&2')

    began = time.monotonic()
    done = in_session(script, timeout=30).result()

    assert time.monotonic() - began < 10
    assert done == (-9, "17\n", "no room, retrying\n")
    wait_for(lambda: not process.session_members(written(tmp_path / "pid")))


def test_a_command_that_does_not_complain_is_waited_for_as_long_as_is_set():
    script = "echo 17; sleep 0.6; echo so >&2; exit 3"
    assert in_session(script, timeout=30).result() == (3, "17\n", "so\n")
    assert in_session(script).result() == (3, "17\n", "so\n")


def test_a_python_that_can_not_make_sessions_lets_setsid_do_it(monkeypatch: pytest.MonkeyPatch):
    """Such as those that uv installs, which are built for an old glibc; there is none here: the refusal is a fake."""
    real = os.posix_spawnp

    def refuse(*arguments: object, **how: object) -> int:
        if how["setsid"]:
            raise NotImplementedError("posix_spawn: setsid unavailable on this platform")
        return real(*arguments, **how)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(os, "posix_spawnp", refuse)
    script = "ps -o sid= -p $$; echo $$"
    leader, pid = in_session(script, timeout=30).result().out.split()
    assert leader == pid
    pid_of_runner, gate = spawner.spawn(["/bin/sh", "-c", "read line", "the word"], {"PATH": os.environ["PATH"]})
    assert process.is_running(pid_of_runner, "the word")
    wait_for(lambda: process.session_members(pid_of_runner) == [pid_of_runner])
    os.close(gate)
    wait_for(spawner.reap)


def test_a_script_can_be_executed_at_once_though_other_threads_make_processes_meanwhile(tmp_path: Path):
    """Linux refuses a script that a child still has open, which it got from us and closes when it executes."""

    def write_and_run(number: int) -> list[int]:
        codes = []
        for again in range(30):
            script = tmp_path / f"{number}-{again}.sh"
            write_script(script, "#!/bin/sh\nexit 0\n")
            codes.append(run([str(script)]).code)
        return codes

    with ThreadPoolExecutor(8) as pool:
        assert {code for codes in pool.map(write_and_run, range(8)) for code in codes} == {0}


def test_a_program_is_found_where_a_shell_would_find_it(tmp_path: Path):
    for name in ("directory", "text", "program"):
        (tmp_path / name).mkdir()
    (tmp_path / "directory" / "squeue").mkdir()
    (tmp_path / "text" / "squeue").write_text("")
    (tmp_path / "program" / "squeue").write_text("")
    (tmp_path / "program" / "squeue").chmod(0o755)
    path = os.pathsep.join([str(tmp_path / name) for name in ("missing", "directory", "text", "program")])

    assert find_program("squeue", path) == shutil.which("squeue", path=path) == str(tmp_path / "program" / "squeue")
    assert find_program("sh") == shutil.which("sh")
    assert find_program("squeue", str(tmp_path)) is find_program("squeue", "") is None
