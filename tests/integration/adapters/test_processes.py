"""What the host knows of its processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from maestro_es.adapters import process, spawner
from maestro_es.adapters.host import this_host
from tools.testbed.processes import TWO_THREADS, wait_for


def test_a_process_is_known_by_its_arguments_from_the_moment_it_is_started():
    started = []
    for _ in range(200):
        pid, gate = spawner.spawn(["/bin/sh", "-c", "read line", "the word"], {})
        started.append((pid, gate, process.is_running(pid, "the word"), process.is_running(pid, "another")))
    for _, gate, _, _ in started:
        os.close(gate)

    assert {known for _, _, known, _ in started} == {True}
    assert {known for _, _, _, known in started} == {False}
    wait_for(lambda: spawner.reap() >= 0 and not any(process.is_running(pid, "the word") for pid, *_ in started))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is empty for a moment")
def test_a_process_runs_while_it_starts_another_program():
    environment = {"MAESTRO_ES_AGAIN": 'exec sh -c "$MAESTRO_ES_AGAIN" "$0" "$@"', "MAESTRO_ES_TOKEN": "the token"}
    pid, gate = spawner.spawn(["/bin/sh", "-c", environment["MAESTRO_ES_AGAIN"], "sh", "the word"], environment)
    os.close(gate)
    running = [process.is_running(pid, "the word") for _ in range(2000)]
    carrying = [pid in process.carriers("the token", "MAESTRO_ES_TOKEN") for _ in range(50)]
    process.kill([pid])

    assert set(running) == {True}
    assert set(carrying) == {True}
    wait_for(lambda: not process.is_running(pid, "the word"))
    spawner.reap()


def test_a_process_that_has_ended_is_not_running_even_if_nobody_took_leave_of_it():
    pid, gate = spawner.spawn(["/bin/sh", "-c", "exit 3", "the word"], {})
    os.close(gate)
    wait_for(lambda: not process.is_running(pid, "the word"))

    assert process.session_members(pid) == []
    assert spawner.reap() >= 1


def test_a_session_has_the_children_of_its_leader():
    pid, gate = spawner.spawn(["/bin/sh", "-c", "sleep 60 & sleep 60 & wait", "the word"], {})
    os.close(gate)
    wait_for(lambda: len(process.session_members(pid)) == 3)
    process.kill(process.session_members(pid))

    wait_for(lambda: not process.session_members(pid))
    spawner.reap()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows threads")
def test_a_process_whose_first_thread_has_ended_runs_as_long_as_another_does():
    environment = {"MAESTRO_ES_TOKEN": "the token"}
    pid, gate = spawner.spawn([sys.executable, "-c", TWO_THREADS, "the word"], environment)
    os.close(gate)
    wait_for(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())

    assert process.session_members(pid) == [pid]
    assert process.is_running(pid, "the word")
    assert process.is_marked(pid, "the token", "MAESTRO_ES_TOKEN")
    process.kill([pid])
    wait_for(lambda: not process.session_members(pid))
    assert not process.is_running(pid, "the word")
    assert spawner.reap() >= 1


def test_this_host_has_a_name_an_id_of_its_boot_and_cores():
    host = this_host()

    assert host.name == os.uname().nodename
    assert len(host.boot_id) == 36
    assert host.cores >= 1


def test_a_process_counts_as_unreaped_until_it_is_reaped():
    pid, gate = spawner.spawn(["/bin/sh", "-c", "read line", "the word"], {})
    assert (spawner.unreaped(set()), spawner.unreaped({"the word"})) == (1, 0)
    os.close(gate)
    assert spawner.reap_all(60)
    assert spawner.unreaped(set()) == 0
    assert [ended.argv[-1] for ended in spawner.take_ended()] == ["the word"], pid
