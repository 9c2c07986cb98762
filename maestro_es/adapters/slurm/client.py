"""Slurm: runs the commands that submit, query and cancel jobs.

A job is identified by the token in its command. The id of the job alone does not suffice, because Slurm may assign an
id twice after a crash of its controller. Since 23.02, squeue shows only the path of the script. So the runner is
submitted through a link whose name is the token. The link exists only as long as sbatch needs it.

Facts about Slurm refer to 22.05 unless stated otherwise. `maestro_es.adapters.slurm.output` decides what an answer
means.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from maestro_es.adapters import process
from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting
from maestro_es.adapters.command import NO_ROOM, Command, Completed, find_program
from maestro_es.adapters.slurm.output import (
    ACCOUNTS_FORMAT,
    ACCOUNTS_HEADER,
    LIVE,
    QUEUE_FORMAT,
    QUEUE_HEADER,
    RESTARTS_FORMAT,
    RETRYING,
    believed,
    cancelled_after,
    failed_to_cancel,
    imported,
    is_answer,
    is_down,
    names_in,
    read_accounts,
    read_facts,
    read_queue,
    read_restarts,
    read_submission,
    runs_script_of,
)
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.submission import InDoubt, Outcome, QueueFull, ScriptFailed
from maestro_es.errors import NotAsked, SchedulerError, Unreachable

#: How long commands of Slurm may take, in seconds. Commands that query the controller give up after its MessageTimeout
#: (10 s by default). sacct waits much longer for a database that hangs (37 s was seen).
_TIMEOUT, _ACCOUNTS_TIMEOUT, _FACTS_TIMEOUT = 60.0, 20.0, 5.0

#: Variables that would change the answers of Slurm's commands: filters, formats, other clusters. A tick inside a job
#: would also pass on the variables of the job.
_OURS = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
_CONF = "SLURM_CONF"

#: slurmstepd opens the files of a job before the runner checks whether it may start, and a second start must not empty
#: them. This option comes before the user's options, which can override it.
_APPEND = "--open-mode=append"

#: The time zone in which our commands of Slurm read and print times.
_UTC = "UTC0"

#: The number of characters that a message quotes from an answer that can't be read.
_SAID = 60

#: The messages of sacct if a site has no accounting, or one that does not record the commands of jobs (before 21.08).
_NO_ACCOUNTS = ("accounting storage is disabled", 'Invalid field requested: "SubmitLine"')

#: How much older, in seconds, a job may be than its recorded request. Clocks differ, and in a recovered log, the
#: request of a job may be recorded after the job was submitted.
_SKEW = 7 * 24 * 3600


def slurm_environment(ours: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's querying commands. The recorded environment of the study has priority.

    If the study has recorded one, it alone determines the cluster, because a tick may run in a shell for another
    cluster.
    """
    variables = {key: value for key, value in {**ours, **recorded}.items() if not key.startswith(_OURS)}
    conf = (recorded or ours).get(_CONF)
    return {**variables, _CONF: conf} if conf else variables


class SlurmJobs:
    """Calls Slurm's commands in an environment. Its PATH determines the commands, and its SLURM_CONF the cluster.

    `of_steps` is the environment of the study's steps. If it is missing, commands run in that of this process, which
    may lead to another cluster. So the cluster is first queried for its name, and for nothing else if this is not the
    name of the study's cluster.
    """

    def __init__(self, environment: Mapping[str, str], of_steps: Environment | None = None) -> None:
        self._environment = dict(environment)
        self._of_steps = of_steps or Environment()
        self._is_known = not self._of_steps.problem
        self._live: dict[str, list[str]] = {}
        self._paths: dict[str, str] = {}

    @property
    def cluster(self) -> str:
        """Identifies the cluster and the installation of Slurm's commands."""
        known = f"must be {self._of_steps.cluster}" if self._of_steps.problem else ""
        return "\n".join(["slurm", self._environment.get("PATH", ""), self._environment.get(_CONF, ""), known])

    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the sbatch command of a job. It submits the job's link to the runner."""
        ours = ["--parsable", "--no-requeue", f"--chdir={job.workspace}"]
        runner = [str(_link(job)), job.token, str(job.workspace), job.script, str(job.study)]
        return ["sbatch", _APPEND, *options, *ours, *runner]

    def submit(self, job: Job, options: Sequence[str]) -> Outcome | Submitting:
        """Begin to submit a job."""
        link, command = _link(job), None
        try:
            _make_link(link, job.runner)
            command = self._start(*self.submission(job, options), until=RETRYING, of_job=job.environment)
        except Unreachable as error:
            return InDoubt(str(error))
        except OSError as error:
            return _not_called(error)
        finally:
            if command is None:
                _remove(link)
        return Submitting(command, lambda: _submitted(command, link))

    def submit_script(self, path: str, folder: str) -> Outcome:
        """Submit a script without a token, and wait for the answer."""
        try:
            return read_submission(self._run("sbatch", "--parsable", f"--chdir={folder}", path))
        except Unreachable as error:
            return InDoubt(str(error))

    def cluster_info(self) -> dict[str, str]:
        """Return the parts of Slurm's configuration that a study keeps; empty if there is no quick answer."""
        try:
            return read_facts(self._run("scontrol", "show", "config", timeout=_FACTS_TIMEOUT).out)
        except Unreachable:
            return {}

    def list_jobs(self) -> list[QueueEntry]:
        """Return all jobs of this user that the controller knows, with one query."""
        done = self._run("squeue", "--me", "--states=all", f"--format={QUEUE_FORMAT}", zone=_UTC)
        if done.code:
            raise Unreachable(f"squeue: {' '.join(done.err.split())}")
        return read_queue(_answer("squeue", done.out, QUEUE_HEADER))

    def query_queue(
        self, steps: Sequence[StepRecord], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Return the jobs of these attempts in the queue; GONE for those that it does not list.

        This takes at most one query, or two if a job was cancelled without ever having had nodes.
        """
        rows = _by_token(self.list_jobs() if listed is None else listed, steps)
        if any(row.state is JobState.CANCELLED for entries in rows.values() for row in entries):
            again = self._started_again()
            rows = {token: [cancelled_after(row, again) for row in entries] for token, entries in rows.items()}
        self._live = {
            step.token: [row.job_id for row in rows.get(step.token, ()) if row.state in LIVE] for step in steps
        }
        return {step.token: believed(rows.get(step.token, ()), step.job_id) for step in steps}

    def _started_again(self) -> set[str]:
        """Return the cancelled jobs that had been requeued before."""
        done = self._run("squeue", "--me", "--states=CANCELLED", "--noheader", f"--Format={RESTARTS_FORMAT}")
        if done.code:
            raise Unreachable(f"squeue: {' '.join(done.err.split())}")
        return read_restarts(done.out)

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        """Return the jobs in the accounting that have left the queue, with one query."""
        ids = ",".join(sorted({step.job_id for step in steps if step.job_id}))
        if not ids:
            return {}
        since = _time(min(map(_asked_at, steps)))
        options = ("-X", "-P", "-D", "-S", since, "-o", ACCOUNTS_FORMAT, "-j", ids)
        done = self._run("sacct", *options, timeout=_ACCOUNTS_TIMEOUT, zone=_UTC)
        if done.code and not any(sign in done.err for sign in _NO_ACCOUNTS):
            raise Unreachable(f"sacct: {' '.join(done.err.split())}")
        listed = "" if done.code else _answer("sacct", done.out, ACCOUNTS_HEADER)
        infos = read_accounts(listed, [step.token for step in steps], imported(steps))
        return {step.token: infos.get(step.token, JobInfo(JobState.GONE, "not in the accounts")) for step in steps}

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the command that cancels the jobs that these attempts had in the queue at the last query."""
        if any(step.token not in self._live for step in steps):
            self.query_queue(steps)
        ids = [job_id for step in steps for job_id in self._live[step.token]]
        return [["scancel", "--quiet", *ids]] if ids else []

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Return a mapping from token to job, of all jobs of these runners in the queue. This takes one query."""
        by_token: dict[str, list[QueueEntry]] = {}
        for row in self.list_jobs():
            for folder in {os.path.dirname(runner) for runner in runners}:
                _, runs_it, rest = row.command.partition(f"{folder}/")
                if runs_it:
                    by_token.setdefault(rest.partition(" ")[0], []).append(row)
        return {token: believed(rows, "") for token, rows in by_token.items()}

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        """Cancel the jobs of these attempts."""
        for command in self.cancel_commands(steps):
            done = self._run(*command)
            message = failed_to_cancel(done)
            if message:
                raise (Unreachable if is_down(message) else SchedulerError)(message)

    def _run(self, command: str, *arguments: str, timeout: float = 0, zone: str = "") -> Completed:
        """Run a command. `zone` is the time zone in which it reads and prints times, by default the user's."""
        return _completed(self._start(command, *arguments, timeout=timeout, zone=zone))

    def _start(
        self,
        command: str,
        *arguments: str,
        timeout: float = 0,
        zone: str = "",
        until: str = "",
        of_job: Environment | None = None,
    ) -> Command:
        """Start a command. sbatch is started in the environment `of_job`, which the job then inherits."""
        if of_job and self._of_steps.problem:
            raise Unreachable(self._of_steps.problem)
        if not self._is_known:
            self._check_cluster()
        environment = {**self._environment, "TZ": zone} if zone else self._environment
        if of_job:
            environment = for_runner(of_job.variables) | for_node(of_job)
        path = self._path(command)
        try:
            return Command(
                [path, *arguments],
                timeout=timeout or _TIMEOUT,
                env=environment,
                until=until,
                members=process.session_members,
                inherited=of_job,
            )
        except FileNotFoundError:
            self._paths.pop(command, None)
            raise Unreachable(f"{path} is gone") from None

    def _check_cluster(self) -> None:
        """Query the cluster of this environment for its name. NotAsked if it is not the cluster of the study."""
        expected, argv = self._of_steps.cluster, ("scontrol", "show", "config")
        self._is_known = True  # before the query, which `_start` would otherwise refuse
        try:
            done = self._run(*argv, timeout=_FACTS_TIMEOUT)
            message = f"scontrol: {' '.join(done.err.split())}" if done.code else ""
        except Unreachable as error:
            message = str(error)
        cluster = "" if message else read_facts(done.out).get("ClusterName", "")
        self._is_known = bool(expected) and cluster == expected
        if not self._is_known:
            to = f"and not to {expected!r}" if expected else "and the log does not say on which one they are"
            why = message or f"PATH and {_CONF} of this process lead to cluster {cluster!r}, {to}"
            raise NotAsked(f"its jobs are neither watched nor cancelled: {why}")

    def _path(self, command: str) -> str:
        """Return the path of a command. It is searched once, in the recorded PATH and then in that of this process."""
        if command not in self._paths:
            recorded = self._environment.get("PATH")
            path = find_program(command, recorded) or find_program(command)
            if path is None:
                raise Unreachable(f"{command} is neither in PATH={recorded} nor in the PATH of this tick")
            self._paths[command] = path
        return self._paths[command]


def _completed(command: Command) -> Completed:
    """Return the result of a command. Unreachable if it has not answered in time."""
    try:
        return command.result()
    except (TimeoutError, ChildProcessError) as error:
        raise Unreachable(str(error)) from None


def _submitted(command: Command, link: Path) -> Outcome:
    """Return the outcome of an sbatch. If it has not answered in time, it may still have submitted the job."""
    try:
        return read_submission(_completed(command))
    except Unreachable as error:
        return InDoubt(str(error))
    finally:
        _remove(link)


def _answer(command: str, text: str, header: str) -> str:
    """Return the output of a command. Unreachable if it is not a list of jobs, or is truncated."""
    if not is_answer(text, header):
        raise Unreachable(f"{command}: its answer can't be read, or was truncated; it ends with {text[-_SAID:]!r}")
    return text


def _not_called(error: OSError) -> Outcome:
    """Return the outcome of a submission whose command can't be started. A later try may succeed."""
    message = f"sbatch can't be called: {error.strerror}"
    if error.errno == errno.E2BIG:
        return ScriptFailed(message)
    return QueueFull(message) if error.errno in NO_ROOM else InDoubt(message)


def _link(job: Job) -> Path:
    """Return the link through which the runner of a job is submitted."""
    return job.runner.with_name(job.token)


def _make_link(link: Path, runner: Path) -> None:
    """Create a link to the runner: a hard link if possible, which takes a tenth of the time of a new file.

    Some file systems have no hard links, allow none to files of other users, or limit the number of links to a file.
    Then it is a symbolic link.
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


def _by_token(listed: Iterable[QueueEntry], steps: Sequence[StepRecord]) -> dict[str, list[QueueEntry]]:
    """Return the jobs of these attempts by token."""
    tokens = {step.token for step in steps}
    maestros = imported(steps)
    by_token: dict[str, list[QueueEntry]] = {}
    for row in listed:
        for token in tokens.intersection(names_in(row.command)):
            by_token.setdefault(token, []).append(row)
        step = maestros.get(row.job_id)
        if step and runs_script_of(step, row.command):
            by_token.setdefault(step.token, []).append(row)
    return by_token


def _asked_at(step: StepRecord) -> float:
    """Return the earliest time at which the job of an attempt may have been submitted, in seconds.

    Maestro submitted an imported job before maestro-es requested it.
    """
    times = [step.submitted_at, step.requested_at] if imported([step]) else [step.requested_at]
    return min(0 if at is None else at for at in times) / 1_000_000


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(seconds - _SKEW, 0)))
