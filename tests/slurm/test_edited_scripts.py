"""A script for Slurm that a person has edited asks for what it says itself."""

from __future__ import annotations

from maestro_es.core.model import StudyStatus
from tests.e2e.command import maestro_es
from tests.slurm.studies import finish, step


def test_the_options_of_an_edited_script_count(cluster, launch):
    root = launch(step("a", "squeue -h -j $SLURM_JOB_ID -o %l > limit; exit 3", walltime='"00:05:00"'))
    assert finish(root) is StudyStatus.FAILURE
    script = root / "a" / "a.slurm.sh"
    script.write_text(script.read_text().replace("--time=00:05:00", "--time=00:07:00").replace("exit 3", "exit 0"))
    assert (root / "a" / "limit").read_text() == "5:00\n"

    assert maestro_es("retry", root, "a", "--keep-script").returncode == 0
    assert finish(root) is StudyStatus.FINISHED
    assert (root / "a" / "limit").read_text() == "7:00\n"


def test_an_edited_script_that_asks_for_what_it_may_not_is_refused(cluster, launch):
    root = launch(step("a", "exit 3"))
    assert finish(root) is StudyStatus.FAILURE
    script = root / "a" / "a.slurm.sh"
    script.write_text(script.read_text().replace("#SBATCH --ntasks=1", "#SBATCH --array=1-9"))

    assert maestro_es("retry", root, "a", "--keep-script").returncode == 0
    assert finish(root) is StudyStatus.FAILURE
    assert "#SBATCH --array=1-9 can't be used there" in maestro_es("why", root, "a").stdout
