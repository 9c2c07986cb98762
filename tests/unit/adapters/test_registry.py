from __future__ import annotations

import re
from pathlib import Path

import pytest

from maestro_es.adapters import process, variables
from maestro_es.adapters.base import Job
from maestro_es.adapters.process import Host
from maestro_es.adapters.registry import SCHEDULERS, make_adapter
from maestro_es.core.outcomes import ScriptFailed
from maestro_es.errors import UnknownAdapter

HOST = Host("host", "boot", 1)


@pytest.mark.parametrize(
    ("kind", "extension"),
    [(None, "sh"), ("local", "sh"), ("slurm", "slurm.sh"), ("lsf", "lsf.sh"), ("flux", "flux.sh")],
)
def test_a_batch_type_makes_an_adapter(kind: str | None, extension: str):
    adapter = make_adapter({"type": kind} if kind else {}, HOST)

    assert (adapter.name, adapter.extension) == (kind or "local", extension)


def test_an_unknown_type_names_those_that_there_are():
    with pytest.raises(UnknownAdapter, match="batch type 'pbs' is unknown; known are: flux, local, lsf, slurm"):
        make_adapter({"type": "pbs"}, HOST)


def test_the_runner_knows_where_a_job_of_each_scheduler_finds_its_id():
    listed = re.search(
        "^job_variables='(.*)'", Path(process.__file__).with_name("runner.sh").read_text(), re.MULTILINE
    )

    assert listed
    assert listed[1].split() == [facts.job_variable for facts in SCHEDULERS.built_in() if facts.job_variable]
    assert {facts.name for facts in SCHEDULERS.built_in() if not facts.job_variable} == {"local"}


def test_the_variables_of_all_schedulers_can_be_had_without_their_adapters():
    assert [facts.environment for facts in SCHEDULERS.built_in() if facts.name != "local"] == [*variables.ALL]


@pytest.mark.parametrize("kind", ["local", "slurm", "lsf", "flux"])
def test_a_script_of_a_local_step_keeps_its_command(kind: str):
    adapter = make_adapter({"type": kind}, HOST)

    assert adapter.header("a", "d", {"cmd": "hi"}).startswith("#!/bin/bash")
    assert adapter.command("hi $(date)", {"cmd": "hi"}) == "hi $(date)"


@pytest.mark.parametrize("kind", ["lsf", "flux"])
def test_an_adapter_that_can_t_submit_says_so_and_calls_nobody(kind: str):
    adapter = make_adapter({"type": kind}, HOST)
    job = Job("token", "a", Path("/w"), "./a.sh", Path("/s"), claim=lambda *_: True)

    assert not adapter.can_submit
    assert adapter.submit(job) == ScriptFailed(f"maestro-es can't submit to {kind} yet; it writes scripts with --dry")
    assert adapter.query_queue([], {}) == {}
