"""Runs Slurm's commands that submit, query and cancel jobs.

A job is identified by the token in its command. The id of the job alone does not suffice, because Slurm may assign an
id twice after a crash of its controller. Since 23.02, squeue shows only the path of the script. So the runner is
submitted through a link whose name is the token. The link exists only as long as sbatch needs it.

Facts about Slurm refer to 22.05 unless stated otherwise. `maestro_es.adapters.slurm.output` decides what an answer
means. `maestro_es.adapters.batch` has the code that all schedulers share.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from maestro_es.adapters.array_map import said_path, write_map
from maestro_es.adapters.base import Array, Job, JobInfo, QueueEntry, Submitting
from maestro_es.adapters.batch import FACTS_TIMEOUT, BatchJobs, command_environment, not_called
from maestro_es.adapters.queue_entries import imported, names_in
from maestro_es.adapters.slurm.arrays import VARIABLES, array_id, array_option, lost_its_element, to_cancel
from maestro_es.adapters.slurm.output import (
    ACCOUNTS_FORMAT,
    ACCOUNTS_HEADER,
    AFTER_REQUEUE,
    ENDING,
    QUEUE_FORMAT,
    QUEUE_HEADER,
    RESTARTS_FORMAT,
    RETRYING,
    is_answer,
    is_down,
    read_accounts,
    read_facts,
    read_queue,
    read_restarts,
    read_submission,
    requeued,
)
from maestro_es.adapters.slurm.usage import USAGE_FORMAT, read_usage
from maestro_es.core.environment import Environment
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, Outcome, Rejected
from maestro_es.core.usage import Usage
from maestro_es.errors import Unreachable

#: How long sacct may take, in seconds. It waits much longer than other commands for a database that hangs (37 s was
#: seen). Commands that query the controller give up after its MessageTimeout (10 s by default).
_ACCOUNTS_TIMEOUT = 20.0

#: Variables that would change the answers of Slurm's commands: filters, formats, other clusters. A tick inside a job
#: would also pass on the variables of the job.
_OURS = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
_CONF = "SLURM_CONF"

#: slurmstepd opens the output files of a job before the runner checks whether it may start. A second start must not
#: empty these files. This option comes before the user's options, which can override it.
_APPEND = "--open-mode=append"

#: The variable with the name of the cluster that squeue, scancel and scontrol use (sacct ignores it), and the line in
#: which squeue repeats the name.
_CLUSTERS, _CLUSTER_LINE = "SLURM_CLUSTERS", re.compile(r"\ACLUSTER: \S+\n")

#: If the name of a file contains this character, Slurm does not replace patterns in it.
_NO_PATTERNS = "\\"

#: The time zone in which Slurm's commands, as we call them, read and print times.
_UTC = {"TZ": "UTC0"}

#: The number of characters that a message quotes from an answer that can't be read.
_SAID = 60

#: The messages of sacct if a site has no accounting, or if it does not record the commands of jobs (before 21.08).
_NO_ACCOUNTS = ("accounting storage is disabled", 'Invalid field requested: "SubmitLine"')

#: The state of a job that was cancelled while it was pending in its array. The accounting may lag, so a record of
#: another end may still appear.
_CANCELLED_IN_ARRAY = JobInfo(
    JobState.CANCELLED, "CANCELLED: its job array is in the queue without it", may_reappear=True
)

#: A job may be older than its recorded request by this number of seconds. Clocks differ, and in a recovered log the
#: request may be recorded after the submission.
_SKEW = 7 * 24 * 3600


def slurm_environment(ours: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the commands that query Slurm."""
    return command_environment(ours, recorded, _OURS, (_CONF,))


class SlurmJobs(BatchJobs):
    """The jobs of a Slurm cluster.

    With `name`, it is one of several clusters that share a slurmdbd (the option ``-M``).

    In this case all commands query only that cluster, so the ids of jobs belong to it.
    """

    scheduler = "slurm"
    ending, is_down = ENDING, staticmethod(is_down)
    settings = (_CONF,)

    def __init__(self, environment: Mapping[str, str], of_steps: Environment | None = None, name: str = "") -> None:
        super().__init__({**environment, **({_CLUSTERS: name} if name else {})}, of_steps)
        self._name = name
        self._arrays: Collection[str] = ()

    @property
    def cluster(self) -> str:
        return f"{super().cluster}\n{self._name}"

    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the sbatch command for a job. It submits the job's link to the runner."""
        ours = ["--parsable", "--no-requeue", f"--chdir={job.workspace}"]
        runner = [str(_link(job)), job.token, str(job.workspace), job.script, str(job.study)]
        return ["sbatch", *self._where(), _APPEND, *options, *ours, *runner]

    def _where(self) -> list[str]:
        """Return the option that names the cluster, for sbatch, and for sacct, which ignores SLURM_CLUSTERS."""
        return [f"--clusters={self._name}"] if self._name else []

    def array_submission(self, array: Array, options: Sequence[str]) -> list[str]:
        """Return the sbatch command for an array. Each of its jobs opens its output files once it may start.

        One file receives Slurm's own messages about all these jobs.
        """
        messages = str(said_path(array.state, array.name))
        files = [
            "--output=/dev/null",
            f"--error={'/dev/null' if _NO_PATTERNS in messages else messages.replace('%', '%%')}",
        ]
        study = str(array.first.study)
        ours = ["--parsable", "--no-requeue", array_option([*array.jobs]), f"--chdir={study}"]
        runner = [str(array.state / array.name), array.name, "array", study, *VARIABLES]
        return ["sbatch", *self._where(), _APPEND, *options, f"--job-name={array.title}", *files, *ours, *runner]

    def submit(self, job: Job, options: Sequence[str]) -> Outcome | Submitting:
        """Begin to submit a job."""
        return self._submit(self.submission(job, options), job, _link(job))

    def submit_array(self, array: Array, options: Sequence[str]) -> Outcome | Submitting:
        """Begin to submit an array. Its outcome has the id of the array."""
        try:
            write_map(array)
        except OSError as error:
            return InDoubt(f"the map of its job array can't be written: {error.strerror}")
        return self._submit(self.array_submission(array, options), array.first, array.state / array.name)

    def _submit(self, argv: Sequence[str], job: Job, link: Path) -> Outcome | Submitting:
        try:
            _make_link(link, job.runner)
        except OSError as error:
            _remove(link)
            return not_called("sbatch", error)
        return self.begin(argv, job, read_submission, until=RETRYING, done=lambda: _remove(link))

    def submit_script(self, path: str, folder: str) -> Outcome:
        """Submit a script without a token, and wait for the answer."""
        try:
            return read_submission(self.run("sbatch", *self._where(), "--parsable", f"--chdir={folder}", path))
        except Unreachable as error:
            return InDoubt(str(error))

    def cluster_info(self) -> dict[str, str]:
        done = self.run("scontrol", "show", "config", timeout=FACTS_TIMEOUT)
        if done.code:
            raise Unreachable(f"scontrol: {' '.join(done.err.split())}")
        return read_facts(done.out)

    def list_jobs(self) -> list[QueueEntry]:
        done = self.run("squeue", "--me", "--array", "--states=all", f"--format={QUEUE_FORMAT}", more=_UTC)
        if done.code:
            raise Unreachable(f"squeue: {' '.join(done.err.split())}")
        return read_queue(_answer("squeue", done.out, QUEUE_HEADER))

    def query_queue(
        self, steps: Sequence[StepRecord], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        listed = self.list_jobs() if listed is None else listed
        self._arrays = {name for row in listed if row.index is not None for name in names_in(row.command)}
        return super().query_queue(steps, listed)

    def reviewed(self, rows: dict[str, list[QueueEntry]]) -> dict[str, list[QueueEntry]]:
        """Return the jobs. Jobs that failed or were cancelled after a requeue get a state of `AFTER_REQUEUE`.

        This takes a second query if a job has failed, or was cancelled without ever having had nodes.
        """
        if not any(row.state in AFTER_REQUEUE for entries in rows.values() for row in entries):
            return rows
        ended = ("--array", "--states=CANCELLED,FAILED", "--noheader")
        done = self.run("squeue", "--me", *ended, f"--Format={RESTARTS_FORMAT}")
        if done.code:
            raise Unreachable(f"squeue: {' '.join(done.err.split())}")
        again = read_restarts(done.out)
        return {token: [requeued(row, again) for row in entries] for token, entries in rows.items()}

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return the jobs in the accounting that have left the queue, with one query."""
        ids = ",".join(sorted({array_id(step.job_id) for step in steps if step.job_id}))
        if not ids:
            return {}
        since = _time(min(map(_asked_at, steps)))
        options = (*self._where(), "-X", "-P", "-D", "-S", since, "-o", ACCOUNTS_FORMAT, "-j", ids)
        done = self.run("sacct", *options, timeout=_ACCOUNTS_TIMEOUT, more=_UTC)
        if done.code and not any(sign in done.err for sign in _NO_ACCOUNTS):
            raise Unreachable(f"sacct: {' '.join(done.err.split())}")
        listed = "" if done.code else _answer("sacct", done.out, ACCOUNTS_HEADER)
        infos = read_accounts(listed, [step.token for step in steps], imported(steps))
        for step in steps:
            if listed and lost_its_element(step, infos.get(step.token), self._arrays):
                infos[step.token] = _CANCELLED_IN_ARRAY
        return {step.token: infos.get(step.token, JobInfo(JobState.GONE, "not in the accounts")) for step in steps}

    def query_usage(self, jobs: Mapping[str, str], since: Micros) -> dict[str, Usage]:
        """Return the usage of ended jobs, by token, with one query."""
        ids = ",".join(sorted({array_id(job_id) for job_id in jobs.values() if job_id}))
        options = (*self._where(), "-P", "-D", "-S", _time(since / 1_000_000), "-o", USAGE_FORMAT, "-j", ids)
        done = self.run("sacct", *options, timeout=FACTS_TIMEOUT, more=_UTC)
        if done.code:
            raise Unreachable(f"sacct: {' '.join(done.err.split())}")
        return read_usage(_answer("sacct", done.out, ACCOUNTS_HEADER), [*jobs])

    def cancel_ids(self, ids: Sequence[str]) -> list[str]:
        return ["scancel", "--quiet", *to_cancel(ids)]


def or_without(
    outcome: Outcome,
    jobs: Mapping[int, Job],
    submit_again: Callable[[], Outcome | Submitting],
    left_out: tuple[str, ...],
) -> dict[int, Outcome]:
    """Return the outcome of these jobs. If Slurm refused them, first try again without the options `left_out`."""
    if not isinstance(outcome, Rejected):
        return dict.fromkeys(jobs, outcome)
    try:
        digests = {index: job.write_spare() for index, job in jobs.items()}
    except OSError as error:
        doubt = InDoubt(f"refused, and its script can't be written without {' '.join(left_out)}: {error}")
        return dict.fromkeys(jobs, doubt)
    again = submit_again()
    second = again.outcome() if isinstance(again, Submitting) else again
    if not isinstance(second, Accepted):
        return dict.fromkeys(jobs, second)
    return {
        index: Accepted(second.job_id, left_out=left_out, script_digest=digest) for index, digest in digests.items()
    }


def _answer(command: str, text: str, header: str) -> str:
    """Return the output of a command. Unreachable if it is not a list of jobs, or is truncated.

    If the command named a cluster, a line with this name comes first.
    """
    text = _CLUSTER_LINE.sub("", text)
    if not is_answer(text, header):
        raise Unreachable(f"{command}: its answer can't be read, or was truncated; it ends with {text[-_SAID:]!r}")
    return text


def _link(job: Job) -> Path:
    """Return the link through which the runner of a job is submitted."""
    return job.runner.with_name(job.token)


def _make_link(link: Path, runner: Path) -> None:
    """Create a link to the runner.

    It is a hard link if possible, which takes a tenth of the time that a new file takes. Otherwise it is a symbolic
    link, because some file systems have no hard links, allow none to files of other users, or limit the number of
    links to a file.
    """
    with contextlib.suppress(FileExistsError):
        try:
            os.link(runner, link)
        except FileExistsError:
            raise
        except OSError:
            os.symlink(runner.name, link)


def _remove(link: Path) -> None:
    with contextlib.suppress(OSError):
        link.unlink()


def _asked_at(step: StepRecord) -> float:
    """Return the earliest time at which the job of an attempt may have been submitted, in seconds.

    Maestro submitted an imported job before maestro-es requested it.
    """
    times = [step.submitted_at, step.requested_at] if imported([step]) else [step.requested_at]
    return min(0 if at is None else at for at in times) / 1_000_000


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(seconds - _SKEW, 0)))
