"""Parses the output of Slurm's commands. Facts about Slurm refer to 22.05 unless stated otherwise.

`maestro_es.adapters.slurm.client` decides which commands are run, and when.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping

from msgspec import structs

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.command import Completed
from maestro_es.adapters.queue_entries import LIVE, AttemptsByJob, names_in, preference, runs_script_of
from maestro_es.adapters.slurm.arrays import index_of, indexes_of
from maestro_es.core.model import JobState, Micros, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected

#: One job per line, with its id, state, nodes, (expected) end, start, reason, and command with arguments. The command
#: may contain any character except a line break.
QUEUE_FORMAT = "%i|%T %N %e %S|%r|%o"

#: One job per line, and how many times it was restarted. ``--format`` has no letter for that.
RESTARTS_FORMAT = "JobArrayID:40,RestartCnt:20"

#: One run of a job per line. Several pending jobs of an array may share a line.
ACCOUNTS_FORMAT = "JobID,State,ExitCode,End,SubmitLine"

#: The number of columns of these formats.
COLUMNS, ACCOUNTS_COLUMNS = 4, 5

#: How their headers begin. Output without a header is not an answer. A site may have replaced a command by a script,
#: which may exit with 0 and print nothing, or only a greeting.
QUEUE_HEADER, ACCOUNTS_HEADER = "JOBID|", "JobID|"

#: The parts of ``scontrol show config`` that a study keeps. Each of them is used by some rule of maestro-es.
FACTS = ("AccountingStorageType", "ClusterName", "MaxArraySize", "MinJobAge", "SLURM_VERSION")

#: The long forms of the states, as `job_state_string` in Slurm's source returns them from 18.08 to 26.05; see JOB
#: STATE CODES in squeue(1) and sacct(1). A job in a state that is missing here is watched, and is never a failure.
#: Such states are REVOKED (another cluster of a federation has started the job) and those of later versions.
#: LAUNCH_FAILED, RECONFIG_FAIL, POWER_UP_NODE and UPDATE_DB are flags that neither command shows as a state.
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

#: The states that replace two final states of a job that was requeued. If a controller can't send a job to its node,
#: it requeues the job in spite of ``--no-requeue``, and forgets the node. The node may still have received the job.
#: If the node can't launch the job, it cancels the pending job. If the first run of a job has begun the step, the
#: claim refuses the second run, which fails. If the study was moved, the second run can't even report that.
AFTER_REQUEUE = {JobState.CANCELLED: JobState.CANCELLED_ON_NODE, JobState.FAILED: JobState.FAILED_AGAIN}

_CANCELLED_BY_NOBODY = "CANCELLED"

#: Reasons in squeue(1), JOB REASON CODES, that any job may have at times. They don't count as a delay.
_ORDINARY = frozenset({
    "", "None", "Priority", "Resources", "BeginTime", "Dependency", "Prolog", "Cleaning", "WaitingForScheduling",
    "JobArrayTaskLimit",
})  # fmt: skip

#: States in which a job is just waiting for its turn or its nodes.
_WAITING = frozenset({"PENDING", "CONFIGURING"})

_NONE: Mapping[str, StepRecord] = {}

#: Messages with which Slurm refuses a job that it has examined. In this case nothing is queued. After any other
#: failure, there may be a job. For example, a job was seen to run after "Socket timed out". After "Invalid
#: authentication credential", sbatch could not read the controller's answer, which may have been an acceptance.
_REFUSALS = re.compile(
    r"Batch job submission failed: (Invalid (?!auth|job cred)|Requested |Job violates |Job size |"
    r"Job dependency problem|Node count |Task |CPU count |Memory |More processors |User's group not permitted|"
    r"Access/permission denied|Access denied to requested reservation|Account |No partition specified|Required |"
    r"Unspecified |Time limit specification required|Duplicate generic resource|Pathname of a file, directory or )"
    r"|sbatch: error: Invalid generic resource \(gres\) specification"
)

#: Slurm's names for limits on the number of jobs that a user may have at once. sbatch prints the limit on a separate
#: line, at least since 18.08. Limits on the resources of a job have other names.
_FULL = re.compile(r"\b((Assoc|QOS)(Grp|Max)SubmitJob\w*|MaxSubmitJobsPerAccount)\b")

#: The name of any accounting limit, and the message if a limit is exceeded. A plugin of the site gives no name.
_LIMIT = re.compile(r"error: (Assoc|QOS|Max)\w+ ")
_POLICY = "Job violates accounting/QOS policy"

#: The message for a partition that is drained or inactive. Administrators usually close it for maintenance, and it
#: opens again.
_CLOSED = "Required partition not available (inactive or drain)"

#: The message of sbatch if MaxJobCount is reached. It then sleeps repeatedly, for two minutes in total. No option
#: prevents that, so maestro-es kills sbatch after this message.
RETRYING = ", sleeping and retrying"

#: sbatch exits with this code if its command line is wrong, and its message begins with its path. Some sites reach
#: sbatch through ssh, which exits with the same code if the connection is lost.
_USAGE, _SBATCH = 255, re.compile(r"(/\S*/)?sbatch: ")

#: The messages of Slurm's commands if the controller does not answer, or if the command can't read its answer. While a
#: site upgrades Slurm, the controller and the command may have versions that do not understand each other.
_DOWN = (
    "Unable to contact slurm controller", "Socket timed out", "Transport endpoint is not connected",
    "Incompatible versions of client and server code",
)  # fmt: skip

#: Reasons (JOB REASON CODES in squeue(1)) of a job that failed because of the infrastructure. JobLaunchFailure is not
#: among them: Slurm also gives that reason for a job whose runner was killed (22.05), and processes of such a job may
#: still run. A job that was never launched has no claim, and the verdict relies on that.
_INFRASTRUCTURE = frozenset({"SystemFailure", "NodeDown"})

#: The messages about a job that can no longer be cancelled. With --quiet, 22.05 prints none, and exits with 0.
ENDING = ("Invalid job id specified", "already completing or completed")

_JOB_ID = re.compile(r"(\d+)(?:;[\w.-]+)?\s*")

_FACT = re.compile(r"(\w+)\s*=\s*(.*?)\s*")


def read_submission(done: Completed) -> Outcome:
    """Return the outcome of ``sbatch --parsable``. A site may print other lines around the id."""
    message = " ".join(done.err.split())
    matches = [match for match in map(_JOB_ID.fullmatch, done.out.splitlines()) if match]
    if done.code == 0 and len(matches) == 1:
        return Accepted(matches[0][1])
    if done.out.strip():  # it may have printed an id, so a job may be queued
        return InDoubt(message or f"sbatch ended with {done.code} and printed {done.out!r}")
    if (done.code < 0 and RETRYING in message) or (done.code > 0 and _CLOSED in message):
        return QueueFull(message)
    if done.code > 0 and _POLICY in message:
        named = _LIMIT.search(message)
        if not named or _FULL.search(message):
            return QueueFull(message, certain=bool(named))
    if is_down(message):
        return InDoubt(message, scheduler_down=True)
    if _SBATCH.match(message) if done.code == _USAGE else done.code > 0 and _REFUSALS.search(message):
        return Rejected(message, done.code)
    return InDoubt(message or f"sbatch ended with {done.code} and printed nothing")


def is_down(message: str) -> bool:
    """Whether a command says that the controller did not answer."""
    return any(sign in message for sign in _DOWN)


def is_answer(text: str, header: str) -> bool:
    """Whether a command has printed a complete list with its header. The list may be empty."""
    return text.endswith("\n") and any(line.startswith(header) for line in text.split("\n"))


def read_queue(text: str) -> list[QueueEntry]:
    """Return the jobs in the output of ``squeue`` with `QUEUE_FORMAT`.

    Other lines are ignored: the header, and the further lines of a command that has several.
    """
    rows = []
    for line in text.split("\n"):
        parts = line.split("|", COLUMNS - 1)
        if len(parts) == COLUMNS and not line.startswith(QUEUE_HEADER):
            job_id, state, reason, command = parts
            word, nodes, end, start = (*state.split(" "), "", "", "")[:4]
            raw_state = word if reason in {"", "None"} else f"{word} ({reason})"
            queue_state = _failed_at_launch(reason, _ended_on(nodes, job_state(word)))
            began_at, ended_at = (None, None) if queue_state in LIVE else (_time(start), _time(end))
            rows.append(
                QueueEntry(
                    job_id, queue_state, raw_state, command, _delay(word, reason), began_at, ended_at,
                    index=index_of(job_id),
                )
            )  # fmt: skip
    return rows


def _failed_at_launch(reason: str, state: JobState) -> JobState:
    """Return NODE_FAILED for a job that failed because of its host. Otherwise return the same state."""
    return JobState.NODE_FAILED if state is JobState.FAILED and reason in _INFRASTRUCTURE else state


def _time(text: str) -> Micros | None:
    """Return a time that Slurm has printed in UTC, in microseconds (None: ``N/A`` or ``Unknown``)."""
    import datetime as dt  # noqa: PLC0415 - needed only for jobs that have ended

    try:
        return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp()) * 1_000_000
    except ValueError:
        return None


def _ended_on(nodes: str, state: JobState) -> JobState:
    """Return CANCELLED_ON_NODE for a cancelled job that had nodes. Otherwise return the same state.

    A slurmd may be unable to launch a job, because its prolog failed or the job's id is already in use there. If the
    job must not be requeued, the slurmd cancels it ("Could not launch job ... and not able to requeue it, cancelling
    job"). Only the nodes show that.
    """
    return JobState.CANCELLED_ON_NODE if state is JobState.CANCELLED and nodes.strip() else state


def read_restarts(text: str) -> set[str]:
    """Return the jobs that were requeued, by Slurm or by a user."""
    rows = (line.split() for line in text.split("\n"))
    return {row[0] for row in rows if len(row) == len(("id", "restarts")) and row[1].strip("0")}


def requeued(row: QueueEntry, again: Container[str]) -> QueueEntry:
    """Return a job with the state of `AFTER_REQUEUE` if it was requeued before."""
    state = AFTER_REQUEUE.get(row.state) if row.job_id in again else None
    return structs.replace(row, state=state, raw_state=f"{row.raw_state} after a requeue") if state else row


def _delay(word: str, reason: str) -> str:
    """Return the reason that delays a pending job (empty: it is just waiting its turn, or is not pending)."""
    if job_state(word) is not JobState.PENDING:
        return ""
    if word in _WAITING:
        return "" if reason in _ORDINARY else reason
    return word if reason in _ORDINARY else f"{word}: {reason}"


def read_accounts(text: str, tokens: Iterable[str], maestros: Mapping[str, StepRecord] = _NONE) -> dict[str, JobInfo]:
    """Return the last run of each job, by token, from the output of ``sacct -P -D`` with `ACCOUNTS_FORMAT`.

    If a submission has made several jobs, `preference` chooses one of them.

    `maestros` holds the steps whose jobs Maestro submitted, by job id. A job with an earlier run was requeued: see
    `AFTER_REQUEUE`.
    """
    attempts = AttemptsByJob(tokens)
    seen: dict[str, JobInfo] = {}
    for line in text.split("\n"):
        parts = line.split("|", ACCOUNTS_COLUMNS - 1)
        if len(parts) < ACCOUNTS_COLUMNS:
            continue
        job_id, word, codes, end, command = parts
        info = JobInfo(_in_accounts(word), f"{word} {codes}", _exit_code(codes), job_id)
        info = info if info.state in LIVE else structs.replace(info, ended_at=_time(end))
        step = maestros.get(job_id)
        ours = [step.token] if step and runs_script_of(step, command) else []
        for token in ours or attempts.of(names_in(command), indexes_of(job_id)):
            if info.state in AFTER_REQUEUE and token in seen and seen[token].job_id == job_id:
                info = structs.replace(
                    info, state=AFTER_REQUEUE[info.state], raw_state=f"{info.raw_state} after a requeue"
                )
            if (
                token not in seen
                or seen[token].job_id == job_id
                or preference(info.state) < preference(seen[token].state)
            ):
                seen[token] = info
    return seen


def _in_accounts(word: str) -> JobState:
    """Return the state for a word of sacct. The word for a cancelled job names the user, as in ``CANCELLED by 1000``.

    If the word does not name a user, Slurm itself has discarded the job. This happens if a controller has started
    without its earlier state, and so does not know the job.
    """
    return JobState.NODE_FAILED if word == _CANCELLED_BY_NOBODY else job_state(word)


def read_facts(text: str) -> dict[str, str]:
    """Return the parts of ``scontrol show config`` that a study keeps."""
    matches = (_FACT.fullmatch(line) for line in text.split("\n"))
    return {match[1]: match[2] for match in matches if match and match[1] in FACTS}


def forgets_within(facts: Mapping[str, str], seconds: int) -> bool:
    """Whether Slurm has no accounting, and may forget an ended job before the next query, `seconds` from now."""
    age, _, unit = facts.get("MinJobAge", "").partition(" ")
    return age.isdigit() and unit == "sec" and int(age) < seconds and not has_accounts(facts)


def has_accounts(facts: Mapping[str, str]) -> bool:
    """Whether accounting is enabled in Slurm, as far as is known."""
    return facts.get("AccountingStorageType", "") not in {"accounting_storage/none", "(null)"}


def job_state(word: str) -> JobState:
    """Return the state for Slurm's word. ``CANCELLED by 1000``, which sacct prints, counts as CANCELLED."""
    return _STATES.get(word.split(" ", 1)[0].rstrip("+"), JobState.UNKNOWN)


def _exit_code(codes: str) -> int | None:
    """Return the exit code of ``CODE:SIGNAL``. A signal counts as 128 plus its number, as in shells."""
    code, _, signal = codes.partition(":")
    if not (code.isdigit() and signal.isdigit()):
        return None
    return int(code) or (128 + int(signal) if int(signal) else 0)
