from __future__ import annotations

import pytest

from maestro_es.adapters.slurm.options import has_own_size


@pytest.mark.parametrize(
    "rest",
    [
        " -n 1 app",
        " -n1 app",
        " -O app",
        " -lO app",
        " -l -c 2 app",
        " -K1 -n 2 app",
        " --mpi pmix -n 1 app",
        " --mpi=pmix --ntasks=1 app",
        " -o out.txt --overcommit app",
        " --label --cpus-per-task 2 app",
        " --ntasks-per-node=1 app",
        ' --comment="a b" -w "node 1" -n 1 app',
    ],
)
def test_options_of_srun_behind_a_launcher_say_how_many_tasks_there_are(rest: str):
    assert has_own_size(rest)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        " app",
        " app -n 5",
        " -l app -n 5 -O",
        " -K -u app -c 5",
        " --label app --ntasks=5",
        " -o out -e err app -n 5",
        " -onOc app",
        " -- app -n 5",
        " --mpi pmix app -n 5",
        " -l; other -n 5",
        " -l | other -n 5",
    ],
)
def test_options_of_a_program_are_its_own(rest: str):
    assert not has_own_size(rest)
