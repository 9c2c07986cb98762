"""Parses the output of Slurm's commands. Facts about Slurm refer to 22.05 unless stated otherwise.

A job that Maestro submitted, and that was taken over, carries no token: its id and its script identify it (`imported`,
`runs_script_of`). Which commands are called, and when, is decided in `maestro_es.adapters.slurm.client`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec import structs

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.command import Completed
from maestro_es.core.attempt_token import is_imported
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected

#: What Maestro drops from paths, or puts in its place.
_NO_LETTERS = re.compile(r"[\W_]+")

#: One job a line: id, state with the nodes it was given and when it ends or has ended, reason, and the command with
#: its arguments, which may hold anything but a line break.
QUEUE_FORMAT = "%i|%T %N %e|%r|%o"

#: A job a line, and how often it was started again; ``--format`` has no letter for that.
RESTARTS_FORMAT = "JobID:20,RestartCnt:20"

#: One run of a job a line.
ACCOUNTS_FORMAT = "JobIDRaw,State,ExitCode,End,SubmitLine"

#: How many columns they have.
COLUMNS, ACCOUNTS_COLUMNS = 4, 5

#: How their headers begin. An answer without one is none: a site may have put something in the place of a command,
#: which may end with 0 and have printed nothing, or a word of welcome.
QUEUE_HEADER, ACCOUNTS_HEADER = "JOBID|", "JobIDRaw|"

#: What a study keeps of ``scontrol show config``, each for a rule of ours that has a use for it.
FACTS = ("AccountingStorageType", "ClusterName", "MinJobAge", "SLURM_VERSION")

#: squeue(1) and sacct(1), JOB STATE CODES, in the long form, for which we ask: all that `job_state_string` in Slurm's
#: source returns, from 18.08 to 26.05. One that is not here is watched, and never a failure: REVOKED (another cluster
#: of a federation has started the job) and what later versions say. LAUNCH_FAILED, RECONFIG_FAIL, POWER_UP_NODE and
#: UPDATE_DB are flags that neither command shows as a state.
_STATES = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "EXPEDITING": JobState.PENDING,  # since 25.11
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
    "NODE_FAIL": JobState.NODE_FAILED,
    "BOOT_FAIL": JobState.NODE_FAILED,
}

_CANCELLED_BY_NOBODY = "CANCELLED"

LIVE = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

#: Of several jobs with one token: one that runs, that waits, that does who knows what, and one that is over.
_BELIEVED = (JobState.RUNNING, JobState.PENDING, JobState.UNKNOWN, False)

#: squeue(1), JOB REASON CODES: what each job waits for now and then, so that it says nothing about this one.
_ORDINARY = frozenset({
    "", "None", "Priority", "Resources", "BeginTime", "Dependency", "Prolog", "Cleaning", "WaitingForScheduling",
})  # fmt: skip

#: States in which a job waits for nothing but its turn, or its nodes.
_WAITING = frozenset({"PENDING", "CONFIGURING"})

_NONE: Mapping[str, StepRecord] = {}

#: What Slurm says when it has looked at a job and does not want it. Nothing is queued then; after any other failure
#: there may be a job: "Socket timed out" with a job that ran later was seen, and who can't read the controller's
#: answer ("Invalid authentication credential") does not know what it was.
_REFUSALS = re.compile(
    r"Batch job submission failed: (Invalid (?!auth|job cred)|Requested |Job violates |Job size |"
    r"Job dependency problem|Node count |Task |CPU count |Memory |More processors |User's group not permitted|"
    r"Access/permission denied|Access denied to requested reservation|Account |No partition specified|Required |"
    r"Unspecified |Time limit specification required|Duplicate generic resource|Pathname of a file, directory or )"
    r"|sbatch: error: Invalid generic resource \(gres\) specification"
)

#: Slurm's names for limits on how many jobs there may be at once; sbatch prints the limit on a line of its own, since
#: 18.08 at the latest. Limits on what a job may ask for have other names.
_FULL = re.compile(r"\b((Assoc|QOS)(Grp|Max)SubmitJob\w*|MaxSubmitJobsPerAccount)\b")

#: The name of any limit of accounting, and what is said if one is broken; without a name a plugin of the site says so.
_LIMIT = re.compile(r"error: (Assoc|QOS|Max)\w+ ")
_POLICY = "Job violates accounting/QOS policy"

#: A partition that is drained or inactive is closed by hand, for maintenance as a rule, and opens again.
_CLOSED = "Required partition not available (inactive or drain)"

#: What sbatch says before it sleeps for a second, and then for longer and longer, two minutes in all: MaxJobCount is
#: reached. It has no option against that, so it is ended when it has said it.
RETRYING = ", sleeping and retrying"

#: sbatch ends with this code when it does not understand its own command line, and says so, with the path that it was
#: called by; ssh in its place, with which some sites reach it, when the connection is lost.
_USAGE, _SBATCH = 255, re.compile(r"(/\S*/)?sbatch: ")

#: What Slurm's commands say of a controller that does not answer.
_DOWN = ("Unable to contact slurm controller", "Socket timed out", "Transport endpoint is not connected")

#: squeue(1), JOB REASON CODES: why a job has failed by no fault of its own. JobLaunchFailure is not among them: Slurm
#: gives that reason also for a job whose runner was killed (22.05), and what it started may still run. A job that was
#: never launched has left no claim, and that is what the verdict goes by.
_INFRASTRUCTURE = frozenset({"SystemFailure", "NodeDown"})

#: What they say of a job that can't be cancelled any more.
_OVER = ("Invalid job id specified", "already completing or completed")

_JOB_ID = re.compile(r"(\d+)(?:;[\w.-]+)?\s*")

_FACT = re.compile(r"(\w+)\s*=\s*(.*?)\s*")


def read_submission(done: Completed) -> Outcome:
    """Return what came of ``sbatch --parsable``; a site may print other lines around the id."""
    message = " ".join(done.err.split())
    matches = [match for match in map(_JOB_ID.fullmatch, done.out.splitlines()) if match]
    if done.code == 0 and len(matches) == 1:
        return Accepted(matches[0][1])
    if done.out.strip():  # with an id in its answer something may be queued, whatever else it says
        return InDoubt(message or f"sbatch ended with {done.code} and printed {done.out!r}")
    if done.code < 0 and RETRYING in message:
        return QueueFull(message)
    if done.code > 0 and _CLOSED in message:
        return QueueFull(message)
    if done.code > 0 and _POLICY in message:
        named = _LIMIT.search(message)
        if not named or _FULL.search(message):
            return QueueFull(message, certain=bool(named))
    if _SBATCH.match(message) if done.code == _USAGE else done.code > 0 and _REFUSALS.search(message):
        return Rejected(message, done.code)
    return InDoubt(message or f"sbatch ended with {done.code} and printed nothing", scheduler_down=is_down(message))


def is_down(message: str) -> bool:
    """Whether a command says that the controller did not answer."""
    return any(sign in message for sign in _DOWN)


def failed_to_cancel(done: Completed) -> str:
    """Return what ``scancel`` says of jobs that it could not end; empty if it has ended all that there were.

    With --quiet 22.05 says nothing of jobs that are over or unknown, and ends with 0.
    """
    lines = [line for line in done.err.splitlines() if line.strip() and not any(sign in line for sign in _OVER)]
    if not done.code or (done.err.strip() and not lines):
        return ""
    return " ".join(" ".join(lines).split()) or f"scancel ended with {done.code} and said nothing"


def is_answer(text: str, header: str) -> bool:
    """Whether a command has printed a list, perhaps an empty one: with its header, and not cut off."""
    return text.endswith("\n") and any(line.startswith(header) for line in text.splitlines())


def read_queue(text: str) -> list[QueueEntry]:
    """Return the jobs that ``squeue`` with our format has printed.

    A line that is none is left out: the header, and the command of another job may have several lines.
    """
    rows = []
    for line in text.splitlines():
        parts = line.split("|", COLUMNS - 1)
        if len(parts) == COLUMNS and not line.startswith(QUEUE_HEADER):
            job_id, state, reason, command = parts
            word, nodes, end = (*state.split(" "), "", "")[:3]
            raw_state = word if reason in {"", "None"} else f"{word} ({reason})"
            queue_state = _failed_at_launch(reason, _ended_on(nodes, job_state(word)))
            ended_at = None if queue_state in LIVE else _time(end)
            rows.append(QueueEntry(job_id, queue_state, raw_state, command, _delay(word, reason), ended_at))
    return rows


def _failed_at_launch(reason: str, state: JobState) -> JobState:
    """Tell a job that its host has failed from one that has failed by itself."""
    return JobState.NODE_FAILED if state is JobState.FAILED and reason in _INFRASTRUCTURE else state


def _time(text: str) -> Micros | None:
    """Return a time of Slurm's, which is UTC as it was asked for, in microseconds; None for ``N/A`` or ``Unknown``."""
    import datetime as dt  # noqa: PLC0415 - only for jobs that have ended

    try:
        return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp()) * 1_000_000
    except ValueError:
        return None


def _ended_on(nodes: str, state: JobState) -> JobState:
    """Tell a job that was cancelled while it waited from one that had nodes.

    A slurmd that can't launch a job that must not be requeued ("Could not launch job ... and not able to requeue it,
    cancelling job": its prolog failed, or it knows that job's id already) cancels it, and nothing else shows that.
    """
    return JobState.CANCELLED_ON_NODE if state is JobState.CANCELLED and nodes.strip() else state


def read_restarts(text: str) -> set[str]:
    """Return the jobs that were put back in the queue, by Slurm or by a person."""
    rows = (line.split() for line in text.splitlines())
    return {row[0] for row in rows if len(row) == len(("id", "restarts")) and row[1].strip("0")}


def cancelled_after(row: QueueEntry, again: Container[str]) -> QueueEntry:
    """Tell a job that was cancelled before it was ever given a node from one that was put back in the queue.

    A controller that can't send a job to its node does that, in spite of ``--no-requeue``, and forgets the node. If
    the node has the job all the same, and can't launch it, it cancels the job while that waits.
    """
    put_back = row.state is JobState.CANCELLED and row.job_id in again
    return structs.replace(row, state=JobState.CANCELLED_ON_NODE) if put_back else row


def _delay(word: str, reason: str) -> str:
    """Return what holds up a job that waits; empty if it only waits for its turn, or does not wait."""
    if job_state(word) is not JobState.PENDING:
        return ""
    if word in _WAITING:
        return "" if reason in _ORDINARY else reason
    return word if reason in _ORDINARY else f"{word}: {reason}"


def names_in(command: str) -> set[str]:
    """Return the words of a command, of paths the last part: what a token may be."""
    return {word.rpartition("/")[2] for word in command.split()}


def read_accounts(text: str, tokens: Iterable[str], maestros: Mapping[str, StepRecord] = _NONE) -> dict[str, JobInfo]:
    """Return by token what ``sacct -P -D`` knows: of its last run. Lines: id, state, exit code, end, submit line.

    `maestros` are steps whose job is Maestro's, by its id. One that is cancelled and has an earlier run was put back
    in the queue: see `cancelled_after`.
    """
    expected = set(tokens)
    seen: dict[str, JobInfo] = {}
    for line in text.splitlines():
        parts = line.split("|", ACCOUNTS_COLUMNS - 1)
        if len(parts) < ACCOUNTS_COLUMNS:
            continue
        job_id, word, codes, end, command = parts
        info = JobInfo(_in_accounts(word), f"{word} {codes}", _exit_code(codes), job_id)
        info = info if info.state in LIVE else structs.replace(info, ended_at=_time(end))
        step = maestros.get(job_id)
        ours = {step.token} if step and runs_script_of(step, command) else expected.intersection(names_in(command))
        for token in ours:
            if info.state is JobState.CANCELLED and token in seen and seen[token].job_id == job_id:
                info = structs.replace(info, state=JobState.CANCELLED_ON_NODE)
            seen[token] = info
    return seen


def _in_accounts(word: str) -> JobState:
    """Return what a word of sacct's means: it names who has cancelled a job, ``CANCELLED by 1000``.

    Where it names nobody, Slurm has thrown the job away: so do accounts end what a controller that starts without its
    old state does not know.
    """
    return JobState.NODE_FAILED if word == _CANCELLED_BY_NOBODY else job_state(word)


def read_facts(text: str) -> dict[str, str]:
    """Return what a study keeps of ``scontrol show config``."""
    matches = (_FACT.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in matches if match and match[1] in FACTS}


def forgets_within(facts: Mapping[str, str], seconds: int) -> bool:
    """Whether Slurm may forget that a job has ended before it is asked again after so long, and keeps no accounts."""
    age, _, unit = facts.get("MinJobAge", "").partition(" ")
    accounts = facts.get("AccountingStorageType", "")
    return age.isdigit() and unit == "sec" and int(age) < seconds and accounts in {"accounting_storage/none", "(null)"}


def job_state(word: str) -> JobState:
    """Return what a word of Slurm's means; ``CANCELLED by 1000`` is said by sacct."""
    return _STATES.get(word.split(" ", 1)[0].rstrip("+"), JobState.UNKNOWN)


def _exit_code(codes: str) -> int | None:
    """Return the exit code of ``CODE:SIGNAL``, a signal as shells count it."""
    code, _, signal = codes.partition(":")
    if not (code.isdigit() and signal.isdigit()):
        return None
    return int(code) or (128 + int(signal) if int(signal) else 0)


def believed(rows: Sequence[QueueEntry], job_id: str) -> JobInfo:
    """Return what is to be believed of a token's jobs: a submission that was sent twice makes two of them."""
    if not rows:
        return JobInfo(JobState.GONE, "not in the queue")
    row = min(rows, key=lambda row: (_BELIEVED.index(row.state in LIVE and row.state), row.job_id != job_id))
    return JobInfo(row.state, row.raw_state, None, row.job_id, delay=row.delay, ended_at=row.ended_at)


def imported(steps: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """Return those of the steps whose job is Maestro's, by the job's id."""
    return {step.job_id: step for step in steps if is_imported(step.token)}


def runs_script_of(step: StepRecord, command: str) -> bool:
    """Whether a job's command, or the line that it was submitted with, names the script that Maestro made for a step.

    It lies in the step's workspace; with ``--usetmp`` in another directory, and is called like the step or, if it was
    run with ``--hashws``, like the workspace.
    """
    if f"/{step.workspace}/" in command:
        return True
    script = _letters(command.rpartition("/")[2])
    names = (step.name, step.workspace.rpartition("/")[2])
    return any(script.startswith(_letters(name)) for name in names)


def _letters(text: str) -> str:
    """Return a text without what Maestro drops from paths, or puts in its place."""
    return _NO_LETTERS.sub("", text)
