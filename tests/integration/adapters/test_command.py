"""Commands: started, several at a time, and waited for, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.adapters.command import Command, run, wait
from maestro_es.poller.workspace import write_script
from tests.fakes.processes import running_under, wait_for


def sh(script: str, **options: object) -> Command:
    return Command(["/bin/sh", "-c", script], **options)  # type: ignore[arg-type]  # any of its options


def test_what_a_command_prints_is_kept_however_much_it_is():
    many = "i=0; while [ $i -lt 20000 ]; do echo 1234567890; echo 12345 >&2; i=$((i+1)); done"
    assert run(["/bin/sh", "-c", many]) == (0, "1234567890\n" * 20000, "12345\n" * 20000)


def test_a_command_reads_nothing_and_is_found_on_the_path():
    assert run(["cat"], timeout=30) == (0, "", "")
    with pytest.raises(FileNotFoundError):
        run(["no-such-command"])


def test_a_command_has_the_environment_that_it_is_given():
    assert run(["/usr/bin/env"], env={"A": "b"}) == (0, "A=b\n", "")


def test_those_that_end_first_are_told_of_first():
    slow, quick = sh("sleep 60", timeout=60), sh("exit 3")
    assert wait([slow, quick]) == [quick]
    assert quick.result().code == 3
    assert not slow.has_ended
    slow.kill()
    assert slow.result().code == -signal.SIGKILL


def test_a_command_that_goes_on_in_silence_is_waited_for():
    """One that has closed its output is not over, and holds nobody else up."""
    silent, other = sh("exec >&- 2>&-; sleep 0.4; exit 5"), sh("exit 0")
    assert wait([silent, other]) == [other]
    assert silent.result() == (5, "", "")


def test_one_that_leaves_its_output_to_another_is_given_up_when_its_time_is_over(tmp_path: Path):
    command = sh(f"cd {tmp_path}; sleep 60 & echo 17", timeout=0.5)
    with pytest.raises(TimeoutError):
        command.result()
    for pid in running_under(tmp_path):
        os.kill(pid, signal.SIGKILL)


def test_a_command_is_ended_if_nobody_waits_for_it_any_more(monkeypatch: pytest.MonkeyPatch):
    command = sh("echo $$; exec sleep 60")

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("maestro_es.adapters.command.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        command.result()
    assert command.has_ended


@pytest.mark.parametrize("ignored", [True, False])
def test_exit_codes_come_through_whatever_the_parent_does_with_its_children(ignored: bool):
    """Who ignores SIGCHLD hands that on; then the system throws exit codes away, and a failure must not be taken for
    success."""
    code = (
        "import os, signal, sys\n"
        "from maestro_es.adapters.command import run\n"
        "print(signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN, run([sys.executable, '-c', 'import signal; "
        "print(signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL)']))\n"
    )
    shell = f"trap '' CHLD; exec {sys.executable} -c \"$0\"" if ignored else f'exec {sys.executable} -c "$0"'
    done = subprocess.run(["/bin/bash", "-c", shell, code], capture_output=True, text=True, check=False)
    if ignored:
        assert "ChildProcessError: the exit code of python" in done.stderr
    else:
        assert done.stdout == "False Completed(code=0, out='True\\n', err='')\n"


@pytest.mark.parametrize("command", ["exec sleep 60", "sleep 60", "sleep 60 & sleep 60 & wait"])
def test_a_command_is_ended_with_all_that_it_has_started_once_it_complains(command, tmp_path):
    script = f"echo $$ >{tmp_path}/pid; echo 17; echo 'no room, retrying' >&2; {command}"

    began = time.monotonic()
    done = run(["/bin/sh", "-c", script], until="retrying", timeout=30)

    assert time.monotonic() - began < 10
    assert done == (-9, "17\n", "no room, retrying\n")
    wait_for(lambda: not process.session_members(int((tmp_path / "pid").read_text())))


def test_a_command_that_does_not_complain_is_waited_for_as_long_as_is_set():
    script = "echo 17; sleep 0.6; echo so >&2; exit 3"
    assert run(["/bin/sh", "-c", script], until="retrying", timeout=30) == (3, "17\n", "so\n")
    assert run(["/bin/sh", "-c", script], until="retrying") == (3, "17\n", "so\n")
    with pytest.raises(TimeoutError, match="sh has not answered within 1 s"):
        run(["/bin/sh", "-c", "sleep 60"], until="retrying", timeout=0.6)


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
