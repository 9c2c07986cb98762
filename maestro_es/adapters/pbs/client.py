"""Runs PBS's commands that submit, list and cancel jobs.

Facts about PBS were observed with OpenPBS 23.06.06.

``qsub -- COMMAND`` submits the runner with its arguments, and ``qstat -f`` shows them in argument_list, in each state.
A job gets no variables of qsub's environment. ``-V`` would pass them on, but then qstat shows their names and values
to all users. So the runner is started by a file in ``.maestro-es`` that sets the variables of the steps. Only its
owner can read it.

``-f`` keeps qsub from leaving a process behind, and ``-r n`` keeps PBS from running a job twice. ``-k doe`` writes
output files where they belong from the beginning. Otherwise PBS copies them there after the job.

``qselect`` lists the ids of a user's jobs, and ``qstat`` then shows these jobs. Without ids, qstat shows the jobs of
all users. Jobs that have ended are in the history (``-x``) if the server keeps one (job_history_enable), which is off
by default. Without a history, only the runner reports how a step has ended. A server that is down refuses connections
at once. If the server hangs, all commands wait for more than 20 s.

`maestro_es.adapters.pbs.output` decides what an answer means.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting
from maestro_es.adapters.batch import FACTS_TIMEOUT, command_environment, not_called
from maestro_es.adapters.one_dash import OneDashJobs
from maestro_es.adapters.pbs.output import (
    ENDING,
    is_down,
    read_facts,
    read_ids,
    read_jobs,
    read_submission,
    read_usage,
)
from maestro_es.adapters.queue_entries import believed, by_token
from maestro_es.core import file_names
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.submission import Outcome
from maestro_es.core.usage import Usage
from maestro_es.files import is_empty, replace_file

#: Variables that would change the answers of PBS's commands, and those that determine the server.
_OURS = ("PBS_",)
_SETTINGS = ("PBS_CONF_FILE", "PBS_SERVER", "PBS_DEFAULT")

#: Variables that bash sets itself, and that a script can't set.
_READ_ONLY = ("UID", "EUID", "PPID", "BASH_VERSINFO")

#: Variables for which a job keeps its own values, even if the user's environment has others.
_OF_JOB = ("TMPDIR",)

#: All attributes, with an object on each line. For several jobs, ``-F json`` shows only the first one.
_FORMAT = ("-f", "-F", "dsv")

#: How many characters of a digest distinguish the environments of a study.
_DIGITS = 16


def pbs_environment(ours: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for PBS's querying commands."""
    return command_environment(ours, recorded, _OURS, _SETTINGS)


def starter(environment: Environment) -> str:
    """Return a shell script that sets the variables of an environment, and then becomes the command in its arguments.

    A variable in `_OF_JOB` keeps its value if the job already has one.
    """
    import shlex  # noqa: PLC0415 - needed only to submit to PBS

    lines = ["#!/bin/sh", "# The variables of the steps: PBS does not pass them on.", ""]
    for name, value in (for_runner(environment.variables) | for_node(environment)).items():
        if name not in _READ_ONLY:
            keep = f'[ -n "${{{name}+set}}" ] || ' if name in _OF_JOB else ""
            lines.append(f"{keep}export {name}={shlex.quote(value)}")
    return "\n".join([*lines, 'exec "$@"', ""])


class PbsJobs(OneDashJobs):
    """The jobs of a PBS server."""

    scheduler = "pbs"
    ending, is_down = ENDING, staticmethod(is_down)
    settings = _SETTINGS

    #: The last environment for which a file was needed, and its content and name.
    _last: tuple[Environment, str, str] | None = None

    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the qsub command for a job."""
        starter = str(job.runner.with_name(self._starter(job.environment)[1]))
        runner = [str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]
        mask = [] if job.environment.umask is None else ["-W", f"umask={job.environment.umask:03o}"]
        return ["qsub", "-f", *options, *mask, "-k", "doe", "-r", "n", "--", "/bin/sh", starter, *runner]

    def submit(self, job: Job, argv: Sequence[str]) -> Outcome | Submitting:
        text, name = self._starter(job.environment)
        try:
            path = job.runner.with_name(name)
            if is_empty(path):
                replace_file(path, os.fsencode(text), 0o600, durable=True)  # a job runs it later
        except OSError as error:
            return not_called("qsub", error)
        return self.begin(argv, job, read_submission)

    def _starter(self, environment: Environment) -> tuple[str, str]:
        """Return the content and the name of the file that sets the variables of an environment."""
        if self._last is None or self._last[0] is not environment:
            import hashlib  # noqa: PLC0415 - needed only to submit to PBS

            text = starter(environment)
            digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:_DIGITS]
            self._last = environment, text, f"{file_names.STARTER}{digest}"
        return self._last[1:]

    def cluster_info(self) -> dict[str, str]:
        return read_facts(self.run("qstat", "-B", *_FORMAT, timeout=FACTS_TIMEOUT))

    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user that have not ended.

        This takes two queries. If there are no jobs, the second query checks that the server answers.
        """
        import pwd  # noqa: PLC0415 - needed only for PBS

        user = pwd.getpwuid(os.getuid()).pw_name
        ids = read_ids(self.run("qselect", "-u", user))
        if not ids:
            self.cluster_info()
            return []
        return read_jobs(self.run("qstat", *_FORMAT, *ids), ids)

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return the jobs in the history that have left the queue, with one query."""
        ids = sorted({step.job_id for step in steps if step.job_id})
        if not ids:
            return {}
        rows = by_token(read_jobs(self.run("qstat", "-x", *_FORMAT, *ids), ids), steps)
        return {
            step.token: believed(rows[step.token], step.job_id)
            if step.token in rows
            else JobInfo(JobState.GONE, "not in the job history")
            for step in steps
        }

    def query_usage(self, jobs: Mapping[str, str]) -> dict[str, Usage]:
        """Return the usage of jobs in the history, by token, with one query."""
        ids = sorted({job_id for job_id in jobs.values() if job_id})
        return read_usage(self.run("qstat", "-x", *_FORMAT, *ids, timeout=FACTS_TIMEOUT), [*jobs])

    def cancel_ids(self, ids: Sequence[str]) -> list[str]:
        return ["qdel", *ids]
