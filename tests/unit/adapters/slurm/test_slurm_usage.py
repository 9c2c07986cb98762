"""What Slurm's accounting says that jobs have used. The lines are those of Slurm 22.05, with shorter paths."""

from __future__ import annotations

import pytest

from maestro_es.adapters.slurm.usage import USAGE_FORMAT, read_usage
from maestro_es.core.usage import Usage

TOKEN = "cafe0123-1-1-salt"
SUBMITTED = f"/usr/bin/sbatch --nodes=2 /s/.maestro-es/{TOKEN} {TOKEN} /s/a ./a.slurm.sh /s"


def answer(*lines: str) -> str:
    return "\n".join([USAGE_FORMAT.replace(",", "|"), *lines, ""])


def test_the_memory_is_that_of_the_largest_step_and_the_rest_that_of_the_job():
    text = answer(
        f"1|COMPLETED|00:00.236||2|4|10|2G|{SUBMITTED}",
        "1.batch|COMPLETED|00:00.036|113368K|1|1|||",
        "1.extern|COMPLETED|00:00:00|500K|2|4|||",
        "1.0|COMPLETED|00:00.200|1.50G|2|4|||srun x | y",
        "2|COMPLETED|09:00:00||1|1|10|1G|sbatch job.sh of others",
        "2.batch|COMPLETED|09:00:00|900G|1|1|||",
    )

    assert read_usage(text, [TOKEN]) == {
        TOKEN: Usage(cpu=236_000, memory=3 * 2**29, nodes=2, cores=4, walltime=600, memory_limit=2**31)
    }


def test_a_job_that_has_not_ended_or_has_never_run_has_used_nothing():
    assert read_usage(answer(f"1|RUNNING|00:00:00||2|4|10|2G|{SUBMITTED}"), [TOKEN]) == {}
    assert read_usage(answer(f"1|CANCELLED by 0|00:00:00||0|0|10|2G|{SUBMITTED}"), [TOKEN]) == {}


@pytest.mark.parametrize(
    ("cpu", "seconds"), [("1-02:03:04", 93784), ("02:03:04", 7384), ("00:01.5", 1.5), ("INVALID", None), ("", None)]
)
def test_a_cpu_time_has_many_forms(cpu: str, seconds: float | None):
    [usage] = read_usage(answer(f"1|FAILED|{cpu}||1|1|UNLIMITED|0|{SUBMITTED}"), [TOKEN]).values()

    assert usage.cpu == (None if seconds is None else seconds * 1_000_000)
    assert (usage.walltime, usage.memory_limit) == (None, None)


@pytest.mark.parametrize(("asked", "bytes_"), [("100M", 100), ("100Mc", 400), ("100Mn", 200)])
def test_older_versions_tell_the_memory_of_a_core_or_a_node(asked: str, bytes_: int):
    [usage] = read_usage(answer(f"1|FAILED|00:00:01||2|4|10|{asked}|{SUBMITTED}"), [TOKEN]).values()

    assert usage.memory_limit == bytes_ * 2**20
