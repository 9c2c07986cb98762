"""What every adapter promises of the scripts that it writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.adapters.base import Adapter
from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import ADAPTERS, make_adapter

RUN = {"cmd": "$(LAUNCHER) app", "nodes": 2, "procs": 8, "walltime": "01:00:00"}

#: All commands of schedulers that an adapter could call.
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun", "flux", "bsub", "bjobs", "bkill", "jsrun")

#: Adapters of schedulers; a step of this host has no options and no launcher.
SCHEDULERS = sorted({*ADAPTERS} - {"local"})


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put commands on the PATH that note that they were called."""
    for name in COMMANDS:
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>'{tmp_path}/calls'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "calls"


def make(kind: str) -> Adapter:
    """Return an adapter as a study makes it."""
    return make_adapter({"type": kind, "bank": "b", "queue": "q", "host": "h"}, this_host())


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_script_is_written_without_a_word_to_the_scheduler_and_alike_each_time(kind: str, calls: Path):
    header, again = (make(kind).header("s", "words", RUN) for _ in range(2))

    assert header == again
    assert header.startswith("#!/bin/bash")
    assert not header.endswith("\n")
    assert all(line.startswith("#") for line in header.splitlines())
    assert make(kind).name == kind
    assert make(kind).extension.endswith("sh")
    assert not calls.exists()


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_script_of_a_job_that_was_refused_begins_as_the_first_one(kind: str):
    spare = make(kind).spare_header("s", "words", RUN)
    assert set(spare.splitlines()) <= set(make(kind).header("s", "words", RUN).splitlines())


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_what_a_step_asks_for_stands_in_its_script(kind: str):
    header = make(kind).header("the_name", "words", RUN)
    assert "the_name" in header
    assert len(header.splitlines()) > 4


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_name_that_would_begin_another_line_of_the_script_is_refused(kind: str):
    with pytest.raises(ValueError, match="control character"):
        make(kind).header("a\nrm -rf /", "words", RUN)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_the_launcher_is_filled_in_and_takes_no_more_than_the_step_has(kind: str, calls: Path):
    command = make(kind).command("$(LAUNCHER) app", RUN)

    assert command.endswith(" app")
    assert "$(LAUNCHER)" not in command
    with pytest.raises(ValueError, match="has "):
        make(kind).command("$(LAUNCHER)[99n] app", RUN)
    assert not calls.exists()
