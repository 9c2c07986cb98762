"""Parses the output of PBS's commands. It starts no process.

Facts about PBS were observed with OpenPBS 23.06.06, unless stated otherwise. `maestro_es.adapters.pbs.client` decides
which commands are run, and when.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from maestro_es.adapters.base import QueueEntry
from maestro_es.adapters.command import Completed
from maestro_es.adapters.queue_entries import AttemptsByJob, names_in
from maestro_es.core.model import JobState
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected
from maestro_es.core.usage import Usage
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import Unreachable

#: The letters of job_state in job_obit(7B) and job.h. A letter that is missing here is UNKNOWN: M (another server has
#: the job) and X (a part of a job array has ended).
_STATES = {
    "Q": JobState.PENDING,
    "T": JobState.PENDING,
    "W": JobState.PENDING,
    "H": JobState.PENDING,
    "B": JobState.RUNNING,
    "R": JobState.RUNNING,
    "S": JobState.RUNNING,
    "U": JobState.RUNNING,
    "E": JobState.RUNNING,
    "F": JobState.FINISHED,
}
_HELD, _ENDED = "H", "F"

#: The walltime of a job, and the time of its start in local time.
_WALLTIME = re.compile(r"Resource_List\.walltime = ([0-9]+:[0-9:]+)")
_START = re.compile(r"\bstime = (\w+ \w+ +[0-9]+ [0-9:]+ [0-9]{4})")

#: The substate of a job that was deleted, whatever its exit code is.
_DELETED = 91

#: What PBS gives instead of an exit code if it has ended the job (job.h). Other negative numbers mean that PBS could
#: not start the job, or lost it.
_ENDED_BY_PBS = {
    -29: JobState.TIMED_OUT,  # walltime, even if the step then saved its work and ended with 0
    -28: JobState.FAILED,  # CPU time
    -27: JobState.OUT_OF_MEMORY,
    -26: JobState.OUT_OF_MEMORY,  # virtual memory
    -25: JobState.FAILED,  # more CPUs than requested, on average
    -24: JobState.FAILED,  # the same, but at one moment instead of on average
    -19: JobState.FAILED,  # a hook has deleted the job
    -17: JobState.FAILED,  # a hook has refused to start it
}
#: A job that was ended by a signal has this number plus the signal's number as its exit code.
_SIGNALLED, _AS_SHELLS = 256, 128

#: The exit codes of commands about jobs: an unknown id, and a job that has ended.
UNKNOWN_JOB, HAS_FINISHED = 153, 35

#: The messages about such jobs.
ENDING = ("Unknown Job Id", "Job has finished", "has finished", "not configured to maintain job history")

#: Messages with which qsub refuses a job. With such a message, nothing is queued.
_REFUSALS = re.compile(
    r"qsub: (Unknown |Unauthorized |Illegal |illegal |invalid |Invalid |Job violates |Job name is too long|Bad UID|"
    r"Bad GID|Access to queue is denied|Access from host not allowed|Resource |Job exceeds |Cannot |usage|"
    r"Project |Account |Not allowed|Reservation |Jobs? .*exceed|.*[Hh]ook)"
)
_USAGE = re.compile(r"\busage: qsub\b")

#: Messages about a limit on the number of jobs, and about a queue that is closed.
_FULL = re.compile(
    r"would exceed .*(limit|max_queued)|Maximum number of jobs already in queue|max_queued|"
    r"Queue is not enabled|already in (the )?queue|total jobs"
)

#: Messages about a server that does not answer.
_DOWN = re.compile(
    r"cannot connect to server|Connection refused|errno=15010|Communication failure|[Tt]imed? ?out|No route|"
    r"Premature end|End of File|PBS server is down|Failed to connect"
)

_JOB_ID = re.compile(r"[0-9]+(\[[0-9]*\])?(\.[A-Za-z0-9.-]+)?")
_TAGS = re.compile(r"</?jsdl-hpcpa:\w+>")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}

#: For ``-F dsv``: how its lines begin, a pattern for one field of a line, and one for an escaped character. ``-F
#: json`` shows only the first of several jobs.
_JOB, _SERVER = "Job Id: ", "Server: "
_FIELD, _ESCAPED = re.compile(r"((?:\\.|[^\\|])*)(?:\||$)"), re.compile(r"\\(.)")

#: An amount of memory in bytes. An amount in words (``w``) is not expected.
_SIZE, _UNITS = re.compile(r"([0-9]+)([kmgtp]?)b"), ("", "k", "m", "g", "t", "p")

#: Reasons for being pending that any job may have at times.
_ORDINARY = ("Not Running: ", "Job run at ")


def read_submission(done: Completed) -> Outcome:
    """Return the outcome of ``qsub``. A hook of the site may print other lines around the id."""
    message = " ".join(done.err.split())
    ids = [line.strip() for line in done.out.splitlines() if _JOB_ID.fullmatch(line.strip())]
    if done.code == 0 and len(ids) == 1:
        return Accepted(ids[0])
    if done.out.strip():  # it may have printed an id, so a job may be queued
        return InDoubt(message or f"qsub ended with {done.code} and printed {done.out.strip()!r}")
    if is_down(message):
        return InDoubt(message, scheduler_down=True)
    if done.code > 0 and _FULL.search(message):
        return QueueFull(message)
    if done.code > 0 and (_REFUSALS.search(message) or _USAGE.search(message)):
        return Rejected(message.partition(" usage: qsub")[0], done.code)
    return InDoubt(message or f"qsub ended with {done.code} and printed nothing")


def is_down(message: str) -> bool:
    """Whether a command says that the server did not answer."""
    return _DOWN.search(message) is not None


def read_ids(done: Completed) -> list[str]:
    """Return the ids in the output of ``qselect``. Unreachable if it has not listed them."""
    ids = done.out.split()
    whole = not done.out or done.out.endswith("\n")
    if done.code or done.err.strip() or not whole or not all(map(_JOB_ID.fullmatch, ids)):
        raise unreadable("qselect", done)
    return ids


def read_jobs(done: Completed, ids: Sequence[str]) -> list[QueueEntry]:
    """Return the jobs in the output of ``qstat -f -F dsv`` about these ids. Unreachable if it has not listed them.

    Some of the jobs may be unknown by now, or may have ended. qstat prints a message about each of these.
    """
    messages = [line for line in done.err.splitlines() if line.strip()]
    is_over = all(any(sign in line for sign in ENDING) for line in messages)
    rows = [_entry(job_id, job) for job_id, job in _records(done.out, _JOB)]
    if not is_over or done.code not in (0, UNKNOWN_JOB, HAS_FINISHED) or len(rows) + len(messages) < len(ids):
        raise unreadable("qstat", done)
    return rows


def read_usage(done: Completed, tokens: Collection[str]) -> dict[str, Usage]:
    """Return the usage of ended jobs, by token, from the output of ``qstat -x -f -F dsv``. Other jobs are left out."""
    attempts = AttemptsByJob(tokens)
    usages = {}
    for _, job in _records(done.out, _JOB):
        if job.get("job_state") == _ENDED and "resources_used.cput" in job:
            command = _plain(f"{job.get('executable', '')} {job.get('argument_list', '')}")
            usages.update(dict.fromkeys(attempts.of(names_in(command)), _usage(job)))
    return usages


def _usage(job: Mapping[str, str]) -> Usage:
    return Usage(
        cpu=_duration(job.get("resources_used.cput"), 1_000_000),
        memory=_size(job.get("resources_used.mem")),
        nodes=_number(job.get("Resource_List.nodect")),
        cores=_number(job.get("Resource_List.ncpus")),
        walltime=_duration(job.get("Resource_List.walltime"), 1),
        memory_limit=_size(job.get("Resource_List.mem")),
    )


def _duration(text: str | None, unit: int) -> int | None:
    seconds = 0
    for part in (text or "").split(":"):
        if not part.isdigit():
            return None
        seconds = seconds * 60 + int(part)
    return seconds * unit


def _size(text: str | None) -> int | None:
    match = _SIZE.fullmatch(text or "")
    return int(match[1]) << 10 * _UNITS.index(match[2]) if match else None


def _records(text: str, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the attributes of each object of this kind, one from each complete line."""
    for line in text.split("\n")[:-1]:
        if line.startswith(kind):
            fields = [_ESCAPED.sub(_character, field[1]) for field in _FIELD.finditer(line.removeprefix(kind))]
            attributes = (field.partition("=") for field in fields[1:])
            yield fields[0], {name: value for name, _, value in attributes}


def _character(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _entry(job_id: str, job: Mapping[str, str]) -> QueueEntry:
    letter, comment = job.get("job_state", ""), job.get("comment", "")
    exit_code = _number(job.get("Exit_status"))
    state = _STATES.get(letter, JobState.UNKNOWN)
    if letter == _ENDED:
        state = _end(job, exit_code)
    command = _plain(f"{job.get('executable', '')} {job.get('argument_list', '')}")
    delay = ""
    if state is JobState.PENDING and (letter == _HELD or (comment and not comment.startswith(_ORDINARY))):
        delay = comment or "held"
    raw_state = letter if exit_code is None else f"{letter} (Exit_status {exit_code})"
    return QueueEntry(job_id, state, raw_state, command, delay, exit_code=_as_shells(exit_code))


def _as_shells(exit_code: int | None) -> int | None:
    """Return an exit code as a shell would give it; None if PBS has ended the job."""
    if exit_code is None or exit_code < 0:
        return None
    return exit_code if exit_code <= _SIGNALLED else exit_code - _SIGNALLED + _AS_SHELLS


def _end(job: Mapping[str, str], exit_code: int | None) -> JobState:
    """Return the state of a job that has ended. If it has no exit code, it was removed before it ran."""
    substate = _number(job.get("substate"))
    if substate is None or (exit_code is None and "Exit_status" in job):
        return JobState.UNKNOWN
    if substate == _DELETED or exit_code is None:
        return JobState.TIMED_OUT if exit_code == min(_ENDED_BY_PBS) else JobState.CANCELLED
    if exit_code < 0:
        return _ENDED_BY_PBS.get(exit_code, JobState.NODE_FAILED)
    return JobState.FAILED if exit_code else JobState.FINISHED


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.removeprefix("-").isdigit() else None


def _plain(command: str) -> str:
    """Return a command without the tags and entities of XML."""
    text = _TAGS.sub(" ", command)
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return " ".join(text.split())


def read_facts(done: Completed) -> dict[str, str]:
    """Return the parts of the output of ``qstat -B -f -F dsv`` that a study keeps.

    Unreachable if the output is not an answer.
    """
    servers = [] if done.code else [*_records(done.out, _SERVER)]
    if not servers:
        raise unreadable("qstat", done)
    name, server = servers[0]
    facts = {
        "ClusterName": name,
        "pbs_version": server.get("pbs_version", ""),
        "job_history_enable": server.get("job_history_enable", "False"),
    }
    return {key: value for key, value in facts.items() if value}


def unreadable(command: str, done: Completed) -> Unreachable:
    """Return the error of a command that has not answered."""
    message = " ".join(done.err.split()) or f"its answer can't be read; it ends with {done.out[-60:]!r}"
    return Unreachable(f"{command}: {message}")


def seconds_left(text: str, now: float) -> float | None:
    """Return how many seconds a job has left, from the output of ``qstat -f`` (None: no limit is known)."""
    limit, start = _WALLTIME.search(text), _START.search(text)
    if not limit or not start:
        return None
    began = time.mktime(time.strptime(start[1], "%a %b %d %H:%M:%S %Y"))
    return began + walltime_seconds(limit[1]) - now
