"""Two hosts of one name work on one study, as containers and clones do: neither takes the other for itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from maestro_es.adapters.host import Host, this_host
from maestro_es.core import events as e
from maestro_es.core.model import Phase, StudyStatus
from maestro_es.errors import Unreachable
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

HOUR = 3_600_000_000
SECOND = 1_000_000


def alone(bench: Bench) -> str:
    """Return a command that notes if another attempt of the step still runs."""
    return f'exec 9>"{bench.root}.lock.${{PWD##*/}}"; flock -n 9 || touch "{bench.root}.two-at-once"; {bench.sign}'


@pytest.fixture
def study(bench: Bench) -> Iterator[Bench]:
    """A study of which two attempts of a step must not run at once."""
    yield bench
    assert not Path(f"{bench.root}.two-at-once").exists()
    end_all_under(bench.root)


def start(study: Bench, host: Host) -> None:
    """Make a study on a host, of two steps that run until there is a file `go`, and start the first one."""
    study.runtime = structs.replace(study.runtime, host=host)
    wait = f"{alone(study)}\nuntil [ -e '{study.root}/go' ]; do sleep 0.05; done"
    study.create(Step("a", wait), Step("b", wait, parents=("a",)))
    study.tick()
    wait_for(study.signed)


def hosts(clue: str) -> tuple[Host, Host]:
    """Return two hosts of one name, and what tells them apart."""
    one, other = (this_host()._replace(boot_id=f"{number}-boot", machine="", booted_at=0) for number in "12")
    if clue == "machine ids":
        return one._replace(machine="m1"), other._replace(machine="m2")
    if clue == "clock":
        now = time.time_ns() // 1000
        return one._replace(booted_at=now - 9 * HOUR), other._replace(booted_at=now - HOUR)
    if clue == "clock of two that came up within a second":
        now = time.time_ns() // 1000
        return one._replace(booted_at=now - HOUR), other._replace(booted_at=now - HOUR + SECOND)
    if clue == "process":  # of the other one, which two containers of one kernel may see
        return one._replace(booted_at=this_host().booted_at), other._replace(booted_at=this_host().booted_at)
    return one, other


def tick(study: Bench, host: Host) -> str:
    """Make a tick on a host, and return what got no answer."""
    try:
        study.tick(host=host)
    except Unreachable as error:
        return str(error)
    return ""


@pytest.mark.parametrize("clue", ["machine ids", "clock", "clock of two that came up within a second", "process"])
def test_a_host_that_can_be_told_from_its_namesake_concludes_nothing_about_its_steps(study: Bench, clue: str):
    one, other = hosts(clue)
    start(study, one)

    for _ in range(3):
        assert f"two hosts are called {one.name}, and a may run on the other one" in tick(study, other)
        assert tick(study, one) == ""
    assert not any(study.events(kind) for kind in (e.RebootDetected, e.PollFailed, e.HardwareFailed))
    (study.root / "go").touch()
    wait_for(lambda: tick(study, other) == "" and tick(study, one) == "" and study.status is StudyStatus.FINISHED)
    assert len(study.signed()) == 2
    study.check()


def test_an_old_boot_id_that_comes_back_tells_that_there_are_two_hosts(bench: Bench):
    """Nothing tells them apart before, as no process is seen here. So one step is given up, and then no other one."""
    one, other = hosts("none")
    start(bench, one)
    end_all_under(bench.root)
    tick(bench, other)
    assert len(bench.events(e.RebootDetected)) == 1

    for _ in range(5):
        assert "two hosts are called" in tick(bench, one)
        assert tick(bench, other) == ""
    assert len(bench.events(e.RebootDetected)) == len(bench.events(e.HardwareFailed)) == 1
    end_all_under(bench.root)


@pytest.mark.parametrize("machine", ["", "m1"])
@pytest.mark.parametrize(("up", "clock"), [(3600, 0), (20, 0), (3600, -5)])
def test_a_host_that_was_rebooted_is_no_other_one(study: Bench, machine: str, up: int, clock: int):
    """It came up after the last that is known of it: perhaps soon after the boot before, or by a clock set back."""
    host = hosts("machine ids")[0]._replace(machine=machine, booted_at=time.time_ns() // 1000 - up * SECOND)
    start(study, host)
    end_all_under(study.root)

    again = host._replace(boot_id="3-boot", booted_at=time.time_ns() // 1000 + clock * SECOND)
    assert tick(study, again) == ""
    assert [event.after for event in study.events(e.RebootDetected)] == ["3-boot"]
    assert study.step("a").attempt == 2
    wait_for(lambda: len(study.signed()) == 2)


def test_what_runs_on_a_namesake_that_is_gone_for_good_runs_again_when_a_person_says_so(study: Bench):
    one, _ = hosts("machine ids")
    start(study, one._replace(machine="another"))
    end_all_under(study.root)
    # This host has the same name, and came up before the other one was last heard of.
    why = maestro_es("why", study.root, "a").stdout.splitlines()[0]
    assert f"only a tick on the other host that is called {one.name} can see whether it is still running" in why
    ticked = maestro_es("tick", study.root)
    assert (ticked.returncode, ticked.stdout, ticked.stderr.count("\n")) == (75, "", 1), ticked

    assert maestro_es("retry", study.root, "a", "--lost").returncode == 0
    (study.root / "go").touch()
    study.runtime = structs.replace(study.runtime, host=this_host())
    assert study.finish() is StudyStatus.FINISHED
    assert len(study.signed()) == 3


@pytest.mark.parametrize("clue", ["machine ids", "boot ids"])
def test_two_containers_of_one_name_give_up_no_step_of_each_other(bench: Bench, tmp_path: Path, clue: str):
    """Real ticks: each sees a boot id of its own, and perhaps a machine id. They share kernel and process ids."""
    wait = f"{bench.sign}\nuntil [ -e '{bench.root}/go' ]; do sleep 0.05; done"
    bench.create(*(Step(name, wait) for name in "abc"))
    containers = [container(tmp_path / str(number), number, clue) for number in (1, 2)]
    codes = []
    for number in range(8):
        words = [*containers[number % 2], str(bench.root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 77 or "unshare failed" in done.stderr:
            leave_out("no container can be made")
        codes.append(done.returncode)
    assert set(codes) == {0, 75}
    assert not bench.events(e.HardwareFailed)
    assert {bench.step(name).attempt for name in "abc"} == {1}
    assert {bench.step(name).phase for name in "abc"} == {Phase.SUBMITTED}
    end_all_under(bench.root)


def container(folder: Path, number: int, clue: str) -> list[str]:
    """Return what runs a tick in a container of our host's name."""
    folder.mkdir()
    (folder / "boot").write_text(f"{uuid.UUID(int=number)}\n")
    (folder / "machine").write_text(f"{number:032x}\n" if clue == "machine ids" else "")
    os.utime(folder / "machine", (1, 1))
    places = {"boot": "/proc/sys/kernel/random/boot_id", "machine": "/etc/machine-id"}
    mounts = " && ".join(f"mount --bind {folder}/{name} {place}" for name, place in places.items())
    script = f"{mounts} || exit 77; exec '{sys.executable}' -m maestro_es tick \"$0\""
    return ["unshare", "--uts", "--mount", "sh", "-c", script]
