"""Runs LSF's commands that submit, list and cancel jobs.

``bsub`` submits one shell command. It copies its first argument as it is, and quotes the others in its own way [V]. So
the whole command is one argument, quoted for a shell. ``bjobs`` shows it, and the token in it.

If LSF's daemons do not answer, its commands try again for ever. With LSB_NTRIES=1 they give up after one try, which
takes 10 s if the daemon hangs [V]. One ``bsub`` may create several jobs: with LSB_BSUB_ERR_RETRY, or if it tries again
while the daemon is stopped [V]. All of them carry the token, so `cancel` cancels them all; the claim lets only one of
them run. Job ids start again after 999999, so an id alone does not identify a job.

LSF may run a job again under the same id: in rerunnable queues (``-rn`` overrides that), or if it exits with a code
that REQUEUE_EXIT_VALUES lists. ``-Q`` replaces these codes. The claim refuses the second run in any case.

`maestro_es.adapters.lsf.output` decides what an answer means, and explains the sources of these facts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from maestro_es.adapters.base import Job, QueueEntry, Submitting
from maestro_es.adapters.batch import FACTS_TIMEOUT, command_environment
from maestro_es.adapters.lsf.output import (
    ENDING,
    FIELDS,
    RETRYING,
    is_down,
    lacks_fields,
    read_facts,
    read_json,
    read_submission,
    read_text,
)
from maestro_es.adapters.one_dash import OneDashJobs
from maestro_es.core.submission import InDoubt, Outcome
from maestro_es.errors import Unreachable

#: Variables that would change the answers of LSF's commands, and those that determine the cluster.
_OURS = ("LSB_", "LSF_", "BSUB_")
_SETTINGS = ("LSF_ENVDIR", "LSF_SERVERDIR", "LSF_BINDIR", "LSF_LIBDIR")

#: Variables for each LSF command: it tries only once, and ``bsub`` submits the job's command unchanged.
_ONCE = {"LSB_NTRIES": "1", "LSB_API_QUOTE_CMD": "N"}

#: ``bsub`` accepts a command of at most this many characters.
LONGEST_COMMAND = 4094

#: An exit code that replaces the site's codes for running a job again. Few programs use it.
_REQUEUED_BY = "253"


def lsf_environment(ours: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for LSF's querying commands."""
    return command_environment(ours, recorded, _OURS, _SETTINGS) | _ONCE


class LsfJobs(OneDashJobs):
    """The jobs of an LSF cluster."""

    scheduler = "lsf"
    ending, is_down = ENDING, staticmethod(is_down)
    settings = _SETTINGS
    _is_old = False

    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the bsub command for a job. ValueError if it is too long."""
        import shlex  # noqa: PLC0415 - needed only to submit to LSF

        command = shlex.join([str(job.runner), job.token, str(job.workspace), job.script, str(job.study)])
        if len(command) > LONGEST_COMMAND:
            raise ValueError(
                f"bsub accepts {LONGEST_COMMAND} characters, and the command of the job has {len(command)}"
            )
        return ["bsub", *options, "-rn", "-Q", _REQUEUED_BY, "-cwd", str(job.workspace), command]

    def submit(self, job: Job, argv: Sequence[str]) -> Outcome | Submitting:
        return self.begin(argv, job, read_submission, until=RETRYING, more=_ONCE)

    def submit_script(self, path: str, folder: str, options: Sequence[str]) -> Outcome:
        """Submit a script without a token, and wait for the answer."""
        import shlex  # noqa: PLC0415 - needed only for programs

        try:
            return read_submission(self.run("bsub", *options, "-cwd", folder, shlex.quote(path), more=_ONCE))
        except Unreachable as error:
            return InDoubt(str(error))

    def cluster_info(self) -> dict[str, str]:
        done = self.run("lsid", timeout=FACTS_TIMEOUT)
        if done.code:
            raise Unreachable(f"lsid: {' '.join(done.err.split())}")
        return read_facts(done.out)

    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user, and those that ended within CLEAN_PERIOD (an hour by default)."""
        if not self._is_old:
            done = self.run("bjobs", "-a", "-json", "-o", " ".join(FIELDS))
            self._is_old = lacks_fields(done)
            if not self._is_old:
                return read_json(done)
        return read_text(self.run("bjobs", "-a", "-UF"))

    def unquoted(self, command: str) -> str:
        """Return a command without the quotes of a shell.

        After the command, ``bjobs -UF`` shows other details of the job.
        """
        import shlex  # noqa: PLC0415 - needed only to find the jobs of a lost log

        with contextlib.suppress(ValueError):
            return " ".join(shlex.split(command))
        return command

    def cancel_ids(self, ids: Sequence[str]) -> list[str]:
        return ["bkill", *ids]
