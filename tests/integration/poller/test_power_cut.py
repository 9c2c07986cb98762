"""The power is cut: what a study is made of is whole afterwards, or is made whole by a tick."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.disk import Disk, new_disk

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
