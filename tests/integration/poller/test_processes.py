"""What the host knows of its processes."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.poller.workspace import write_script
from tests.fakes.processes import TWO_THREADS, wait_for


def test_a_process_is_known_by_its_arguments_from_the_moment_it_is_started():
    started = []
    for _ in range(200):
        pid, gate = process.spawn(["/bin/sh", "-c", "read line", "the word"], {})
        started.append((pid, gate, process.is_running(pid, "the word"), process.is_running(pid, "another")))
    for _, gate, _, _ in started:
        os.close(gate)

    assert {known for _, _, known, _ in started} == {True}
    assert {known for _, _, _, known in started} == {False}
    wait_for(lambda: process.reap() >= 0 and not any(process.is_running(pid, "the word") for pid, *_ in started))


def test_a_process_that_has_ended_is_not_running_even_if_nobody_took_leave_of_it():
    pid, gate = process.spawn(["/bin/sh", "-c", "exit 3", "the word"], {})
    os.close(gate)
    wait_for(lambda: not process.is_running(pid, "the word"))

    assert process.session_members(pid) == []
    assert process.reap() >= 1


def test_a_session_has_the_children_of_its_leader():
    pid, gate = process.spawn(["/bin/sh", "-c", "sleep 60 & sleep 60 & wait", "the word"], {})
    os.close(gate)
    wait_for(lambda: len(process.session_members(pid)) == 3)
    process.kill(process.session_members(pid))

    wait_for(lambda: not process.session_members(pid))
    process.reap()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows threads")
def test_a_process_whose_first_thread_has_ended_runs_as_long_as_another_does():
    environment = {"MAESTRO_ES_TOKEN": "the token"}
    pid, gate = process.spawn([sys.executable, "-c", TWO_THREADS, "the word"], environment)
    os.close(gate)
    wait_for(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())

    assert process.session_members(pid) == [pid]
    assert process.is_running(pid, "the word")
    assert process.is_marked(pid, "the token", "MAESTRO_ES_TOKEN")
    process.kill([pid])
    wait_for(lambda: not process.session_members(pid))
    assert not process.is_running(pid, "the word")
    assert process.reap() >= 1


@pytest.mark.parametrize("command", ["exec sleep 60", "sleep 60", "sleep 60 & sleep 60 & wait"])
def test_a_command_is_ended_with_all_that_it_has_started_once_it_complains(command, tmp_path):
    script = f"echo $$ >{tmp_path}/pid; echo 17; echo 'no room, retrying' >&2; {command}"

    began = time.monotonic()
    done = process.run(["/bin/sh", "-c", script], until="retrying", timeout=30)

    assert time.monotonic() - began < 10
    assert done == (-9, "17\n", "no room, retrying\n")
    wait_for(lambda: not process.session_members(int((tmp_path / "pid").read_text())))


def test_a_command_that_does_not_complain_is_waited_for_as_long_as_is_set():
    script = "echo 17; sleep 0.6; echo so >&2; exit 3"
    assert process.run(["/bin/sh", "-c", script], until="retrying", timeout=30) == (3, "17\n", "so\n")
    assert process.run(["/bin/sh", "-c", script], until="retrying") == (3, "17\n", "so\n")
    with pytest.raises(TimeoutError, match="sh has not answered within 1 s"):
        process.run(["/bin/sh", "-c", "sleep 60"], until="retrying", timeout=0.6)


def test_this_host_has_a_name_an_id_of_its_boot_and_cores():
    host = process.this_host()

    assert host.name == os.uname().nodename
    assert len(host.boot_id) == 36
    assert host.cores >= 1


def test_a_script_can_be_executed_at_once_though_other_threads_make_processes_meanwhile(tmp_path: Path):
    """Linux refuses a script that a child still has open, which it got from us and closes when it executes."""

    def write_and_run(number: int) -> list[int]:
        codes = []
        for again in range(30):
            script = tmp_path / f"{number}-{again}.sh"
            write_script(script, "#!/bin/sh\nexit 0\n")
            codes.append(process.run([str(script)]).code)
        return codes

    with ThreadPoolExecutor(8) as pool:
        assert {code for codes in pool.map(write_and_run, range(8)) for code in codes} == {0}
