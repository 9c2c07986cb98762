"""Parses the output of Flux's commands. Facts about Flux refer to flux-core 0.88 unless stated otherwise.

A job is found by the token at the end of its name. Ids alone do not identify jobs, because the numbering starts again
after a crash of the broker. `maestro_es.adapters.flux.client` decides which commands are run, and when.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.command import Completed
from maestro_es.adapters.flux.send_jobs import READY
from maestro_es.core.model import JobState, Micros
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected
from maestro_es.core.usage import Usage
from maestro_es.errors import Unreachable

#: The digits of a job's id, and the character before them. In the locale C, Flux prints an "f" instead of "ƒ".
#: FLUX_JOB_ID in a job and the ids in the log always begin with "ƒ".
_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MARK, _PLAIN_MARK = "ƒ", "f"
_JOB_ID = re.compile(f"[{_MARK}{_PLAIN_MARK}]([{_DIGITS}]+)")

#: The note of a cancellation by maestro-es. Any other cancellation may be a part of ``flux shutdown``.
CANCEL_NOTE = "maestro-es"

#: A job that others have cancelled counts as cancelled only when this many seconds have passed since its end. ``flux
#: shutdown`` cancels all running jobs, waits until they have ended, and then ends the broker.
_SHUTDOWN_SECONDS = 60

#: The numbers of states and results in ``flux job list``. ``flux jobs --json`` has words instead.
_STATES = {1: "NEW", 2: "DEPEND", 4: "PRIORITY", 8: "SCHED", 16: "RUN", 32: "CLEANUP", 64: "INACTIVE"}
_RESULTS = {1: "COMPLETED", 2: "FAILED", 4: "CANCELED", 8: "TIMEOUT"}

#: The state of a job that has not ended. During CLEANUP, its processes may still be running.
_OPEN = {
    "NEW": JobState.PENDING,
    "DEPEND": JobState.PENDING,
    "PRIORITY": JobState.PENDING,
    "SCHED": JobState.PENDING,
    "RUN": JobState.RUNNING,
    "CLEANUP": JobState.RUNNING,
}

#: Exceptions with which Flux refuses a job that it had accepted. Such a job has never had a node.
_NEVER_RUNS = ("alloc", "dependency")

#: The exception of a job whose node, broker or shell has failed. The processes of the job may still be running.
_LOST_SIGHT = "exec"

#: The message in that exception if the runner could not be started.
_NOT_STARTED = "start failed"

#: Messages with which Flux refuses a job that it has examined. In this case nothing is queued. After any other
#: failure, there may be a job. The last two come from flux-accounting (not tried).
_REFUSALS = re.compile(
    r"Invalid queue |exceeds policy limit of|unsatisfiable request|invalid jobspec|invalid JSON|urgency range is|"
    r"dependency: |unknown dependency scheme|jobspec: |invalid job flags|Invalid constraint|"
    r"only (the )?instance owner can |cannot find user/bank|Queue not valid for user"
)

#: Messages about a queue that administrators have closed, usually for maintenance, and about a limit on the number of
#: a user's jobs (from flux-accounting, not tried).
_FULL = re.compile(r"job submission( to \S+)? is disabled|queue \S+ is currently disabled|max active jobs")

#: Messages of commands that have not reached the broker.
_DOWN = ("Unable to connect to Flux", "flux_open", "Connection refused", "Connection reset", "Broken pipe")

#: Messages of commands whose broker does not exist, or no longer exists.
_ENDED = ("was not found", "Connection refused", "flux_open: No such file or directory", "Connection reset")

#: The messages of ``flux cancel`` about a job that can't be cancelled because it has ended.
ENDING = ("unknown job id", "job is inactive")

#: The answer of ``flux ping``. The last part of the route is the beginning of the first broker's ``broker.uuid``. It
#: is different after each start.
_ROUTE = re.compile(r"\d+!broker\.ping .*\((?:[0-9a-f]+!)*([0-9a-f]{8})\)\s*")
_INSTANCE = re.compile(r"[0-9a-f]{8}")

#: The message of ``flux config get queues`` if there are no queues with names.
_NO_QUEUES = "queues is not set"

#: How the message begins if ``flux job`` does not have the subcommand that was called.
_NO_COMMAND = "Usage: flux-job [OPTIONS] COMMAND"


class _Listed(msgspec.Struct):
    """One line of ``flux job list``."""

    id: int
    state: int
    name: str = ""
    cwd: str = ""
    urgency: int = 16
    result: int = 0
    waitstatus: int | None = None
    exception_occurred: bool = False
    exception_severity: int = 0
    exception_type: str = ""
    exception_note: str = ""
    dependencies: list[str] = []
    t_run: float = 0
    t_inactive: float = 0
    nnodes: int = 0
    ncores: int = 0
    duration: float = 0


_LINES = msgspec.json.Decoder(_Listed)

#: One line of the output of `send_jobs`: the number of a job, its id, and the message if there is no id.
_ANSWER = msgspec.json.Decoder(tuple[int, int, str])


class FluxEntry(QueueEntry, frozen=True):
    """A job as Flux lists it, with its directory `folder`.

    `command` consists of the token of the job, a space, and a path that is made of the directory and the name of the
    job. The path looks like the path of the job's script.

    Flux does not list the command of a job, but only its directory and its name.
    """

    folder: str = ""

    @property
    def token(self) -> str:
        """The token at the end of its name."""
        return self.command.partition(" ")[0]


def plain_id(text: str) -> str:
    """Return an id in the form of FLUX_JOB_ID (empty: the text is not an id)."""
    match = _JOB_ID.fullmatch(text.strip())
    return _MARK + match[1] if match else ""


def _id_of(number: int) -> str:
    """Return a job's id, given the number by which Flux lists the job."""
    digits = ""
    while number or not digits:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return _MARK + digits


def read_submission(done: Completed) -> Outcome:
    """Return the outcome of ``flux job submit``. A site may print other lines around the id."""
    message = " ".join(done.err.split()).removeprefix("flux-job: ")
    ids = [text for text in map(plain_id, done.out.splitlines()) if text]
    if done.code == 0 and len(ids) == 1:
        return Accepted(ids[0])
    if done.out.strip():  # it may have printed an id, so a job may be queued
        return InDoubt(message or f"flux job submit ended with {done.code} and printed {done.out!r}")
    if done.code > 0 and _FULL.search(message):
        return QueueFull(message)
    if done.code > 0 and _REFUSALS.search(message) and not is_down(message):
        return Rejected(message, done.code)
    return InDoubt(
        message or f"flux job submit ended with {done.code} and printed nothing", scheduler_down=is_down(message)
    )


def read_answers(done: Completed, count: int) -> list[Outcome] | None:
    """Return the outcomes of `send_jobs` for this number of jobs.

    None: the program could not run, and nothing was sent. A job without an answer is in doubt.
    """
    lines = done.out.splitlines()
    message = " ".join(done.err.splitlines()[-1:]) or f"flux python ended with {done.code} and said nothing"
    if done.code > 0 and READY not in lines and not is_down(message):
        return None
    answers: list[Outcome] = [InDoubt(message, scheduler_down=is_down(message))] * count
    for line in lines:
        with contextlib.suppress(ValueError, IndexError):
            number, job_id, refusal = _ANSWER.decode(line)
            answers[number] = Accepted(_id_of(job_id)) if job_id else read_submission(Completed(1, "", refusal))
    return answers


def is_down(message: str) -> bool:
    """Return whether a message says that the command has not reached the broker."""
    return any(sign in message for sign in _DOWN)


def has_ended(message: str) -> bool:
    """Return whether a message says that there is no broker. A broker that does not answer gives another message."""
    return any(sign in message for sign in _ENDED)


def read_instance(text: str) -> str:
    """Return the id of a Flux instance, from the output of ``flux ping``.

    The id changes when the instance starts again. Unreachable if the output is not an answer.
    """
    match = _ROUTE.fullmatch(text.strip().rpartition("\n")[2])
    if not match:
        raise Unreachable(f"flux ping: its answer can't be read: {text[-60:]!r}")
    return match[1]


def is_instance(text: str) -> bool:
    """Return whether a string is the id of a Flux instance. A claim may contain the boot id of a host instead."""
    return bool(_INSTANCE.fullmatch(text))


def has_queues(done: Completed) -> bool:
    """Return whether an instance has named queues, from the answer of ``flux config get queues``."""
    return done.code == 0 or _NO_QUEUES not in done.err


def read_list(text: str) -> list[QueueEntry]:
    """Return the jobs in the output of ``flux job list``, one JSON object per line. ValueError if it is not a list."""
    return [_entry(listed) for listed in _LINES.decode_lines(text)]


def read_table(text: str) -> list[QueueEntry]:
    """Return the jobs in the output of ``flux jobs --json``. ValueError if it is not a list."""
    try:
        return [_entry(_from_table(job)) for job in msgspec.json.decode(text)["jobs"]]
    except (KeyError, TypeError, StopIteration) as error:
        raise ValueError(str(error)) from None


def _from_table(job: Mapping[str, Any]) -> _Listed:
    """Return a job of ``flux jobs --json``, which has words instead of numbers."""
    exception = job.get("exception") or {}
    values = {
        **job,
        "state": _number(_STATES, job["state"]),
        "result": _number(_RESULTS, job.get("result")),
        "exception_occurred": bool(exception.get("occurred")),
        "exception_severity": exception.get("severity") or 0,
        "exception_type": exception.get("type") or "",
        "exception_note": exception.get("note") or "",
    }
    return msgspec.convert(values, _Listed)


def _number(names: Mapping[int, str], name: object) -> int:
    return next((number for number, known in names.items() if known == name), 0)


def _entry(job: _Listed) -> FluxEntry:
    word = _STATES.get(job.state, str(job.state))
    state = _ended(job) if word == "INACTIVE" else _OPEN.get(word, JobState.UNKNOWN)
    return FluxEntry(
        _id_of(job.id),
        state,
        _describe(job, word),
        f"{job.name.rpartition('.')[2]} {job.cwd}/{job.name}",
        delay=_delay(job, word),
        ended_at=int(job.t_inactive * 1_000_000) or None,
        folder=job.cwd,
        usage=_usage(job) if word == "INACTIVE" and job.t_run else None,
    )


def _usage(job: _Listed) -> Usage:
    """Return the resources that were allocated to a job. Flux does not record CPU time and memory."""
    return Usage(nodes=job.nnodes or None, cores=job.ncores or None, walltime=int(job.duration) or None)


def _ended(job: _Listed) -> JobState:
    """Return the state of a job that has ended according to Flux.

    CANCELLED_ON_NODE stands for a job that others have cancelled while it ran: see `judge_cancel`.
    """
    match _RESULTS.get(job.result):
        case "COMPLETED":
            return JobState.FINISHED
        case "TIMEOUT":
            return JobState.TIMED_OUT
        case "CANCELED":
            ours = job.exception_note.startswith(CANCEL_NOTE)
            return JobState.CANCELLED if ours or not job.t_run else JobState.CANCELLED_ON_NODE
        case "FAILED":
            return _failed(job)
    return JobState.UNKNOWN


def _failed(job: _Listed) -> JobState:
    fatal = job.exception_type if job.exception_occurred and job.exception_severity == 0 else ""
    if fatal in _NEVER_RUNS and not job.t_run:
        return JobState.REFUSED
    if fatal == _LOST_SIGHT and _NOT_STARTED in job.exception_note:
        return JobState.FAILED
    if fatal == _LOST_SIGHT or job.waitstatus is None:
        return JobState.UNSUPERVISED
    return JobState.NODE_FAILED if fatal else JobState.FAILED


def _describe(job: _Listed, word: str) -> str:
    """Return the state of a job in Flux's words, with the reason for its end."""
    if word != "INACTIVE":
        return word
    result = _RESULTS.get(job.result, str(job.result))
    if job.exception_occurred and job.exception_severity == 0 and result != "TIMEOUT":
        note = f": {job.exception_note}" if job.exception_note else ""
        return f"{result} ({job.exception_type}{note})"
    return f"{result} (exit code {_exit_code(job.waitstatus)})" if result == "FAILED" else result


def _exit_code(waitstatus: int | None) -> int | str:
    if waitstatus is None:
        return "unknown"
    return waitstatus >> 8 or 128 + (waitstatus & 0x7F)


def _delay(job: _Listed, word: str) -> str:
    """Return why a pending job is delayed. Flux gives no reason while a job is just waiting for resources."""
    if word == "DEPEND":
        return f"it depends on {', '.join(job.dependencies)}" if job.dependencies else "it depends on another job"
    return "it is held (urgency 0)" if word == "SCHED" and not job.urgency else ""


def judge_cancel(info: JobInfo, now: Micros, *, restarted: bool) -> JobInfo:
    """Return the state of a job that others have cancelled while it was running.

    ``flux shutdown`` cancels all running jobs in the name of their owner, and nothing in the job shows that. If the
    instance was `restarted` after the submission, the job counts as ended by the shutdown. If not, the shutdown may
    not be complete yet, so the job counts as running for a minute, and then as cancelled.
    """
    if restarted:
        return structs.replace(
            info, state=JobState.NODE_FAILED, raw_state="CANCELED, probably when its Flux instance was shut down"
        )
    if info.ended_at is not None and now < info.ended_at + _SHUTDOWN_SECONDS * 1_000_000:
        return structs.replace(info, state=JobState.RUNNING, ended_at=None)
    return structs.replace(info, state=JobState.CANCELLED)


def adopted(info: JobInfo, instance: str) -> JobInfo:
    """Return a job with the id of the Flux instance that has listed the job."""
    return structs.replace(info, instance=instance) if info.job_id else info


def lacks_command(done: Completed) -> bool:
    """Whether this version of Flux has no ``flux job list``. The help of Flux does not mention that command."""
    return done.code != 0 and done.err.startswith(_NO_COMMAND)
