"""The power is cut: what a study is made of is whole afterwards, or is made whole by a tick."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.disk import Disk, new_disk
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, running_under, wait_for

STUDY = """
description: {name: study, description: d}
batch: {type: local}
study:
    - {name: first, description: d, run: {cmd: "until [ -e $(SPECROOT)/go ]; do sleep 0.1; done; echo $(N) > result"}}
    - {name: second, description: d, run: {cmd: cat ../../first/*/result > sum, depends: [first_*]}}
global.parameters:
    N: {values: [1, 2], label: N.%%}
"""

#: What stands in a study directory from its creation on, and is not written again.
FILES = ("study.yaml", "batch.info", "meta/metadata.yaml", "meta/parameters.yaml", ".maestro-es/next-tick",
         ".maestro-es/runner.sh")  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with new_disk(tmp_path) as disk:
        yield disk


def launch(folder: Path, *options: str) -> Path:
    file = folder / "study.yaml"
    file.write_text(STUDY)
    done = maestro_es("run", "-y", *options, "-o", folder / "study", file)
    assert done.returncode == 0, done
    return folder / "study"


def contents(study: Path) -> dict[str, bytes]:
    return {name: (study / name).read_bytes() for name in FILES}


def test_the_files_that_a_study_is_made_of_are_whole_after_a_power_cut(disk):
    study = launch(disk.place, "--dry")
    written = contents(study)
    assert all(written.values())
    after = Disk(disk.cut(), disk.place.with_name("after"))
    try:
        assert contents(after.place / "study") == written
    finally:
        after.leave()


def test_a_tick_makes_the_files_whole_that_a_power_cut_has_emptied(tmp_path):
    study = launch(tmp_path)
    names = ("study.yaml", "batch.info", ".maestro-es/next-tick", ".maestro-es/runner.sh")
    written = contents(study)
    for name in names[:3]:
        os.truncate(study / name, 0)
    (study / names[3]).unlink()
    assert maestro_es("tick", study).returncode == 0
    assert contents(study) == written
    assert os.access(study / ".maestro-es/next-tick", os.X_OK)

    (study / "study.yaml").unlink()
    (study / "batch.info").write_text("mine\n")
    (study / ".maestro-es/next-tick").write_text("#!/bin/sh\n")
    maestro_es("tick", study)
    found = contents(study)
    assert found["study.yaml"] == written["study.yaml"]
    assert (found["batch.info"], found[".maestro-es/next-tick"]) == (b"mine\n", b"#!/bin/sh\n")
    maestro_es("cancel", "-y", study)


def test_a_status_table_that_a_power_cut_has_emptied_is_written_again(tmp_path):
    study = launch(tmp_path, "--dry")
    os.truncate(study / "status.csv", 0)
    maestro_es("tick", study)
    assert "first_N.1" in (study / "status.csv").read_text()


# -- what steps have written -----------------------------------------------------------------------------------------

CHAIN = """
description: {name: study, description: d}
batch: {type: local}
study:
    - {name: first, description: d, run: {cmd: echo one > result}}
    - {name: second, description: d, run: {cmd: "until [ -e $(SPECROOT)/go ]; do sleep 0.1; done;
        cat $(first.workspace)/result > sum", depends: [first]}}
"""


def state(study: Path, name: str) -> State:
    with Session(study) as opened:
        return opened.graph.step(opened.graph.number_of(name) or 0).state


def after_a_boot(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command as on this host after it has booted now, in a mount namespace of its own."""
    (folder / "boot_id").write_text("0000-after-the-cut\n")
    mounts = f"mount --bind {folder}/boot_id /proc/sys/kernel/random/boot_id"
    command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        f'{mounts} || exit 77; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "maestro_es",
    ]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        leave_out("this host can't pretend to have booted")
    return done


def ends_second(folder: Path, study: Path) -> None:
    """Tick until the second step has finished."""

    def ended() -> bool:
        after_a_boot(folder, "tick", study)
        return state(study, "second") is State.FINISHED

    wait_for(ended)


@pytest.fixture
def cut(tmp_path, own_home) -> Iterator[Path]:
    """Return a study whose host lost its power when the first step had finished, and the second one ran."""
    del own_home
    with new_disk(tmp_path) as disk:
        (disk.place / "study.yaml").write_text(CHAIN)
        disk.sync()
        study = disk.place / "study"
        assert maestro_es("run", "-y", "-o", study, disk.place / "study.yaml").returncode == 0
        wait_for(lambda: state(study, "second") is State.RUNNING)
        image = disk.cut()
        end_all_under(study)
        wait_for(lambda: not running_under(study))
        disk.leave()
        Disk(image, disk.place)
        yield study
        end_all_under(study)


def test_a_step_that_finished_just_before_a_power_cut_is_marked_as_such(cut, tmp_path):
    assert state(cut, "first") is State.FINISHED
    ticked = after_a_boot(tmp_path, "tick", cut)
    assert (ticked.returncode, ticked.stderr.count("\n")) == (1, 1), ticked
    assert "so shortly after the end of first that output may be incomplete" in ticked.stderr
    assert after_a_boot(tmp_path, "tick", cut).stderr == ""

    assert "the output of 1 finished steps may be incomplete" in maestro_es("status", cut).stdout
    assert "may be incomplete" in maestro_es("show", cut, "first").stdout
    why = maestro_es("why", cut, "first", "second").stdout
    assert "went down shortly after that (up again since" in why
    assert "it used the output of first, which may be incomplete" in why


def test_what_a_power_cut_has_put_in_doubt_runs_again_with_all_that_has_used_it(cut, tmp_path):
    (cut / "first" / "result").write_text("")
    (cut.parent / "go").touch()
    ends_second(tmp_path, cut)
    assert (cut / "second" / "sum").read_text() == ""

    assert "will run: first, second" in after_a_boot(tmp_path, "retry", cut, "--doubted").stdout
    ends_second(tmp_path, cut)
    assert (cut / "second" / "sum").read_text() == "one\n"
    assert "no step's output is doubted" in after_a_boot(tmp_path, "retry", cut, "--doubted").stderr
    with Session(cut) as opened:
        assert sum(isinstance(recorded.event, e.OutputDoubted) for recorded in opened.log.events()) == 1


def test_a_study_that_ended_just_before_a_power_cut_is_marked_by_the_next_tick_of_all(cut, tmp_path):
    maestro_es("cancel", "-y", cut)
    assert maestro_es("status", "--summary", cut).stdout.count("WARNING") == 0
    ticked = after_a_boot(tmp_path, "tick", "--all")
    assert (ticked.returncode, ticked.stderr.count("\n")) == (1, 1), ticked
    assert "the output of 1 finished steps may be incomplete" in maestro_es("status", cut).stdout
    assert after_a_boot(tmp_path, "tick", "--all").stderr == ""
