"""Slurm: submitting jobs, looking for them, and ending them.

A job is known by the token among the arguments of its command, never by its id alone: after a crash of its controller
Slurm gives an id out twice. Facts about Slurm are of 22.05 unless said otherwise.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from maestro_es.adapters import process
from maestro_es.adapters.base import Job, Seen
from maestro_es.adapters.imported import imported, runs_script_of
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.outcomes import Accepted, InDoubt, Outcome, Rejected
from maestro_es.errors import Unreachable

#: How long a command of Slurm may take, in seconds: its own limit, MessageTimeout, is 10 s unless a site changes it.
_TIMEOUT = 60.0

#: One job a line: id, state, reason, and the command with its arguments, which may hold anything but a line break.
_QUEUE_FORMAT = "%i|%T|%r|%o"

#: squeue(1) and sacct(1), JOB STATE CODES. A word that is not here is watched, and never a failure.
_STATES = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETED": JobState.FINISHED,
    "FAILED": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "TIMEOUT": JobState.TIMED_OUT,
    "CANCELLED": JobState.CANCELLED,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "PREEMPTED": JobState.PREEMPTED,
    "NODE_FAIL": JobState.HARDWARE_FAILED,
    "BOOT_FAIL": JobState.HARDWARE_FAILED,
}

_LIVE = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

#: Of several jobs with one token: one that runs, that waits, that does who knows what, and one that is over.
_BELIEVED = (JobState.RUNNING, JobState.PENDING, JobState.UNKNOWN, False)

_NONE: Mapping[str, StepRecord] = {}

#: What Slurm says when it has looked at a job and does not want it. Nothing is queued then; after any other failure
#: there may be a job ("Socket timed out" with a job that ran later was seen).
_REFUSALS = re.compile(
    r"Batch job submission failed: (Invalid |Requested |Job violates |Job size |Node count |Memory |More processors |"
    r"User's group not permitted|Access/permission denied|Account |No partition specified|Required |Unspecified )"
)

#: sbatch ends with this code when it does not understand its own command line.
_USAGE = 255

_JOB_ID = re.compile(r"(\d+)(?:;[\w.-]+)?\s*")

#: What sacct says where a site keeps no accounts.
_NO_ACCOUNTS = "accounting storage is disabled"


@dataclass(frozen=True)
class QueueRow:
    """One job as ``squeue`` shows it."""

    job_id: str
    state: JobState
    words: str
    command: str


def read_submission(done: process.Completed) -> Outcome:
    """Return what came of ``sbatch --parsable``."""
    said = " ".join(done.err.split())
    found = _JOB_ID.fullmatch(done.out)
    if done.code == 0 and found:
        return Accepted(found[1])
    if done.code == _USAGE or (done.code > 0 and _REFUSALS.search(said)):
        return Rejected(said, done.code)
    return InDoubt(said or f"sbatch ended with {done.code} and printed {done.out!r}")


def read_queue(text: str) -> list[QueueRow]:
    """Return the jobs that ``squeue`` with our format has printed; a line that is none is left out."""
    rows = []
    for line in text.splitlines():
        parts = line.split("|", 3)
        if len(parts) == len(("id", "state", "reason", "command")):
            job_id, word, reason, command = parts
            words = word if reason in {"", "None"} else f"{word} ({reason})"
            rows.append(QueueRow(job_id, job_state(word), words, command))
    return rows


def read_accounts(text: str, tokens: Iterable[str], maestros: Mapping[str, StepRecord] = _NONE) -> dict[str, Seen]:
    """Return by token what ``sacct -P`` knows: of its last run. Lines: id, state, exit code, submit line.

    `maestros` are steps whose job is Maestro's, by its id.
    """
    wanted = list(tokens)
    seen: dict[str, Seen] = {}
    for line in text.splitlines():
        parts = line.split("|", 3)
        if len(parts) < len(("id", "state", "exit code", "submit line")):
            continue
        job_id, word, codes, command = parts
        for token in wanted:
            if token in command.split():
                seen[token] = Seen(job_state(word), f"{word} {codes}", _exit_code(codes), job_id)
        step = maestros.get(job_id)
        if step and runs_script_of(step, command):
            seen[step.token] = Seen(job_state(word), f"{word} {codes}", _exit_code(codes), job_id)
    return seen


def job_state(word: str) -> JobState:
    """Return what a word of Slurm's means; ``CANCELLED by 1000`` is said by sacct."""
    return _STATES.get(word.split(" ", 1)[0].rstrip("+"), JobState.UNKNOWN)


def _exit_code(codes: str) -> int | None:
    """Return the exit code of ``CODE:SIGNAL``, a signal as shells count it."""
    code, _, signal = codes.partition(":")
    if not (code.isdigit() and signal.isdigit()):
        return None
    return int(code) or (128 + int(signal) if int(signal) else 0)


def _seen(rows: Sequence[QueueRow], job_id: str) -> Seen:
    """Return what is to be believed of a token's jobs: a submission that was sent twice makes two of them."""
    if not rows:
        return Seen(JobState.GONE, "not in the queue")
    row = min(rows, key=lambda row: (_BELIEVED.index(row.state in _LIVE and row.state), row.job_id != job_id))
    return Seen(row.state, row.words, None, row.job_id)


class SlurmJobs:
    """Talks to Slurm in an environment: its PATH says where the commands are, its SLURM_CONF which cluster it is."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {key: value for key, value in environment.items() if not key.startswith("SBATCH_")}

    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the command that submits the runner of a job."""
        ours = ["--parsable", "--no-requeue", f"--chdir={job.workspace}"]
        runner = [str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]
        return ["sbatch", *options, *ours, *runner]

    def submit(self, command: Sequence[str]) -> Outcome:
        """Submit a job. A command that did not answer in time may have done its work."""
        try:
            return read_submission(self._run(*command))
        except Unreachable as error:
            return InDoubt(str(error))

    def look(self, steps: Sequence[StepRecord]) -> dict[str, Seen]:
        """Return what the queue says of these attempts, with one query; GONE for those that it does not know."""
        rows = self._queue(steps)
        return {step.token: _seen(rows.get(step.token, ()), step.job_id) for step in steps}

    def recall(self, steps: Sequence[StepRecord]) -> dict[str, Seen]:
        """Return what the accounts say of jobs that the queue does not know any more, with one query."""
        ids = ",".join(sorted({step.job_id for step in steps if step.job_id}))
        options = ("-X", "-n", "-P", "-D", "-S", "1970-01-01", "-o", "JobIDRaw,State,ExitCode,SubmitLine", "-j", ids)
        done = self._run("sacct", *options)
        if done.code and _NO_ACCOUNTS not in done.err:
            raise Unreachable(f"sacct: {' '.join(done.err.split())}")
        found = read_accounts(done.out, [step.token for step in steps], imported(steps))
        return {step.token: found.get(step.token, Seen(JobState.GONE, "not in the accounts")) for step in steps}

    def ending(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Return the command that cancels the jobs of these attempts that are still in the queue, if there are any."""
        ids = [row.job_id for rows in self._queue(steps).values() for row in rows if row.state in _LIVE]
        return [["scancel", "--quiet", *ids]] if ids else []

    def find(self, runners: Collection[str]) -> dict[str, Seen]:
        """Return what the queue says of all jobs of these runners, with one query."""
        found: dict[str, list[QueueRow]] = {}
        for row in self._rows():
            for runner in runners:
                _, runs_it, rest = row.command.partition(f"{runner} ")
                if runs_it:
                    found.setdefault(rest.partition(" ")[0], []).append(row)
        return {token: _seen(rows, "") for token, rows in found.items()}

    def end(self, steps: Sequence[StepRecord]) -> None:
        """Cancel the jobs of these attempts that are still in the queue."""
        for command in self.ending(steps):
            self._run(*command)

    def _queue(self, steps: Sequence[StepRecord]) -> dict[str, list[QueueRow]]:
        """Return the jobs in the queue by the token of these attempts."""
        wanted = {step.token for step in steps}
        found: dict[str, list[QueueRow]] = {}
        maestros = imported(steps)
        for row in self._rows():
            for token in wanted.intersection(row.command.split()):
                found.setdefault(token, []).append(row)
            step = maestros.get(row.job_id)
            if step and runs_script_of(step, row.command):
                found.setdefault(step.token, []).append(row)
        return found

    def _rows(self) -> list[QueueRow]:
        done = self._run("squeue", "--me", "--states=all", "--noheader", f"--format={_QUEUE_FORMAT}")
        if done.code:
            raise Unreachable(f"squeue: {' '.join(done.err.split())}")
        return read_queue(done.out)

    def _run(self, command: str, *arguments: str) -> process.Completed:
        path = shutil.which(command, path=self._environment.get("PATH"))
        if path is None:
            raise Unreachable(f"{command} is not found in PATH={self._environment.get('PATH')}")
        try:
            return process.run([path, *arguments], timeout=_TIMEOUT, env=self._environment)
        except TimeoutError as error:
            raise Unreachable(str(error)) from None
