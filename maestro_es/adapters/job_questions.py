"""Asks the scheduler of a job whether the job is still running, or has ended.

A question is a shell command that succeeds if the answer is yes. `maestro_es.adapters.schedulers` has the commands of
each scheduler.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable

from maestro_es.adapters.command import Command
from maestro_es.adapters.host import Host
from maestro_es.adapters.process import session_members
from maestro_es.adapters.schedulers import cluster_of, id_of, job_around, jobs_like, outside_of, start_of
from maestro_es.core.environment import Environment
from maestro_es.core.scheduler_facts import JobEnvironment

#: The question about jobs of a scheduler that can't be queried.
UNABLE = "false"

#: The time limit of a question, and the shortest pause before it is asked again, in seconds. After a long wait
#: for an answer, the pause is `_TIMES` times as long as the wait, so no tick waits long for a scheduler that hangs.
_PATIENCE, _ASK_AGAIN, _TIMES = 30.0, 20.0, 10


class JobQuestions:
    """Asks about the jobs around processes, and remembers the answers. The schedulers are asked in `environment`."""

    def __init__(self, host: Host, environment: Callable[[], Environment]) -> None:
        self._host, self._environment = host, environment
        #: The questions "Has this job ended?" that were answered with yes, and when others may be asked again.
        self._true: set[str] = set()
        self._not_before: dict[str, float] = {}
        #: The full name of the job around this process, as far as it is known.
        self._own, self._own_again = "", 0.0

    @property
    def around(self) -> str:
        """The question whether the job around this process is still running."""
        return still_running(self._host.job)

    @property
    def own(self) -> str:
        """The full name of the job around this process (empty: there is none).

        If the scheduler does not tell the full name, it is asked again later.
        """
        begin = time.monotonic()
        if self._host.job and self._own in ("", self._host.job) and begin >= self._own_again:
            self._own = own_job()
            self._own_again = _again_at(begin)
        return self._own

    def has_ended(self, job: str, *, elsewhere: bool) -> bool:
        """Return whether a job has certainly ended. With `elsewhere`, its processes on all hosts must have ended."""
        ours = self._host.job
        if self._is_own(job):
            return False
        question = has_ended(job, with_all=elsewhere)
        if question in self._true or (id_of(job) == id_of(ours) and not elsewhere):
            return True  # or this is a later start of the same job
        if self._is_true(question, job):
            self._true.add(question)
        return question in self._true

    def may_be_ending(self, job: str) -> bool:
        """Return whether a job may be about to end, so that it may already have ended a process.

        If so, a later tick decides. If the scheduler does not answer, ticks wait no longer than for a missing job.
        """
        can_ask = not self._is_own(job) and has_ended(job, with_all=False) != UNABLE
        return can_ask and not self._is_true(still_running(job), job)

    def _is_own(self, job: str) -> bool:
        return id_of(job) == id_of(self._host.job) and job in (self._host.job, self.own)

    def _is_true(self, question: str, job: str) -> bool:
        """Ask a question about a job. If the answer is no, or there is none, it is not asked again at once."""
        begin = time.monotonic()
        if begin < self._not_before.get(question, begin):
            return False
        answer = is_true(question, job, self._host._replace(environment=self._environment()))
        if not answer:
            self._not_before[question] = _again_at(begin)
        return answer


def _again_at(begin: float) -> float:
    """Return when a question that was asked at this time may be asked again."""
    end = time.monotonic()
    return end + max(_ASK_AGAIN, _TIMES * (end - begin))


def still_running(job: str) -> str:
    """Return a shell command that succeeds while a job, ``SCHEDULER:ID``, is still running.

    If its scheduler can't be queried, the command fails.
    """
    jobs = jobs_like(job)
    return about(job, jobs.still_running if jobs else "")


def has_ended(job: str, *, with_all: bool) -> str:
    """Return a shell command that succeeds only if it is certain that a job, ``SCHEDULER:ID``, has ended.

    With `with_all`, it must also be certain that the job has left no process behind. Another cluster may have a job
    with the same id. So its answer does not count. If the cluster of the job is unknown, `with_all` is never certain.
    """
    jobs, cluster = jobs_like(job) or JobEnvironment(), cluster_of(job)
    command = about(job, jobs.has_ended)
    if cluster:
        command = f"{jobs.is_cluster.replace('CLUSTER', cluster)} && {{ {command}; }}"
    is_known = cluster or not jobs.cluster_variable
    return f"{command} && {(is_known and jobs.ends_all) or UNABLE}" if with_all else command


def about(job: str, command: str) -> str:
    """Return a shell command about a job, ``SCHEDULER:ID``. In `command`, the word JOB stands for its id.

    The word START stands for the number that follows the id. If the job has none, the command can't be used.
    """
    values = {"JOB": shlex.quote(id_of(job)), "START": start_of(job).partition("+")[2]}
    if "START" in command and not values["START"].isalnum():
        return UNABLE
    return re.sub(r"\b(JOB|START)\b", lambda match: values[match[1]], command) or UNABLE


def own_job() -> str:
    """Return the job around this process, as `job_around` does, and add a number if its id is not unique.

    If the scheduler does not tell the number, the number is missing.
    """
    around = job_around()
    jobs = jobs_like(around)
    if not jobs or not jobs.start:
        return around
    shell = ["/bin/sh", "-c", about(around, jobs.start)]
    try:
        number = Command(shell, timeout=_PATIENCE, session=True, members=session_members).result().out.strip()
    except OSError:
        return around
    return f"{around}+{number}" if number.isdecimal() else around


def is_true(question: str, job: str, host: Host) -> bool:
    """Ask the scheduler of a job a question about it. False if there is no answer in time.

    The recorded settings may lead to another scheduler by now. So the command also gets the settings of this process,
    as ``OUR_NAME``.
    """
    ours, settings = outside_of(host.job), (jobs_like(job) or JobEnvironment()).settings
    own = {f"OUR_{name}": ours[name] for name in settings if name in ours}
    environment = {**ours, **host.environment.variables, **own}
    shell = ["/bin/sh", "-c", question]
    asking = Command(shell, timeout=_PATIENCE, env=environment, session=True, members=session_members)
    try:
        return not asking.result().code
    except (TimeoutError, ChildProcessError):
        return False
