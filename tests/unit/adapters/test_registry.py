from __future__ import annotations

import pytest

from maestro_es.adapters import schedulers
from maestro_es.adapters.host import Host
from maestro_es.adapters.job_questions import still_running
from maestro_es.adapters.registry import ADAPTERS, SCHEDULERS, jobs_of, make_adapter
from maestro_es.errors import UnknownAdapter
from maestro_es.study.maintenance import runner

HOST = Host("host", "boot", 1)


@pytest.mark.parametrize(
    ("kind", "extension"),
    [(None, "sh"), ("local", "sh"), ("slurm", "slurm.sh"), ("lsf", "lsf.sh"), ("flux", "flux.sh")],
)
def test_a_batch_type_makes_an_adapter(kind: str | None, extension: str):
    adapter = make_adapter({"type": kind} if kind else {}, HOST)

    assert (adapter.name, adapter.extension) == (kind or "local", extension)


def test_an_unknown_type_names_those_that_there_are():
    with pytest.raises(
        UnknownAdapter, match="batch type 'cobalt' is unknown; choose one of: flux, local, lsf, pbs, slurm"
    ):
        make_adapter({"type": "cobalt"}, HOST)


def test_a_runner_looks_first_where_its_own_scheduler_puts_the_id_of_a_job():
    for facts in SCHEDULERS.built_in():
        [line] = [line for line in runner(jobs_of(facts.name)).decode().splitlines() if "job_variables='" in line]
        found = line.split("'")[1].split()
        assert tuple(found[: len(facts.jobs.job_ids)]) == facts.jobs.job_ids
        assert {*found} == {*schedulers.JOB_VARIABLES, *facts.jobs.job_ids}


def test_what_jobs_look_like_is_known_without_the_adapters():
    assert {facts.name: facts.jobs for facts in SCHEDULERS.built_in() if facts.name != "local"} == {
        **schedulers.WITH_ADAPTER
    }


def test_a_job_whose_scheduler_can_not_be_asked_counts_as_over():
    assert {name: still_running(f"{name}:it's") for name in ("slurm", "cobalt", "toy")} == {
        "slurm": """[ "$(squeue -h -j 'it'"'"'s' -o %T)" = RUNNING ]""",
        "cobalt": "false",
        "toy": "false",
    }


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_script_of_a_local_step_keeps_its_command(kind: str):
    adapter = make_adapter({"type": kind}, HOST)

    assert adapter.header("a", "d", {"cmd": "hi"}).startswith("#!/bin/bash")
    assert adapter.command("hi $(date)", {"cmd": "hi"}) == "hi $(date)"
