"""A follow-up job that continues after the batch job around a driver.

The commands and variables of each scheduler are in `maestro_es.adapters.schedulers`.
`maestro_es.adapters.job_clock` knows how much time the job has left.
"""

from __future__ import annotations

import os
from pathlib import Path

from maestro_es.adapters.job_clock import answer, filled
from maestro_es.adapters.schedulers import WITH_ADAPTER, id_of, job_around, jobs_like
from maestro_es.core.scheduler_facts import JobEnvironment
from maestro_es.errors import RequestRefused, Unreachable


def outer_settings() -> dict[str, str]:
    """Return the variables that lead to the scheduler of the job around us, also after its end.

    Unreachable if it does not answer.
    """
    jobs = jobs_like(job_around()) or JobEnvironment()
    return {variable: answer(command.split()).strip() for variable, command in jobs.outer.items()}


def check_script(script: Path) -> None:
    """Check that this process can submit a script again. RequestRefused if it can't."""
    able = [name for name, jobs in WITH_ADAPTER.items() if jobs.resubmit]
    around = job_around()
    if not _resubmitting():
        where = f"this is the job {around}" if around else "this process is not in a job"
        raise RequestRefused(f"--resubmit works only in a batch job of {' or '.join(able)}, but {where}")
    if not script.is_file():
        raise RequestRefused(f"{script}: there is no such script to submit again")


def resubmit(script: Path) -> str:
    """Submit a script that will run after the job around this process, and return the id of the new job.

    The new job gets the name of the present job, if the scheduler tells us this name, because a singleton of Slurm
    waits for all jobs with its name. Unreachable if the scheduler does not answer or refuses the script.
    """
    jobs = _resubmitting() or JobEnvironment()
    name = os.environ.get(jobs.name_variable, "") if jobs.name_variable else ""
    argv = filled(jobs.resubmit, NAME=name or script.name, JOB=id_of(job_around()))
    job_id = answer([*argv, str(script)]).strip().partition(";")[0]
    if not job_id:
        raise Unreachable("the scheduler did not print the id of the new job")
    return job_id


def withdraw(job_id: str) -> None:
    """Cancel the job that `resubmit` has submitted. Unreachable if that fails."""
    jobs = _resubmitting()
    answer(filled(jobs.withdraw if jobs else (), JOB=job_id))


def _resubmitting() -> JobEnvironment | None:
    """Return the facts about the job around this process, if its scheduler can submit a script again."""
    jobs = jobs_like(job_around())
    return jobs if jobs and jobs.resubmit else None
