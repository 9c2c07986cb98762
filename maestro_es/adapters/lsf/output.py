"""Parses the output of LSF's commands. It starts no process.

Facts about LSF are from IBM's documentation of Spectrum LSF 10.1. Those marked [V] were observed with volclava 2.2, a
free descendant of an early LSF. `maestro_es.adapters.lsf.client` decides which commands are run, and when.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from maestro_es.adapters.base import QueueEntry
from maestro_es.adapters.command import Completed
from maestro_es.adapters.lsf.usage import USAGE_FIELDS, usage_in_record, usage_in_text
from maestro_es.core.model import JobState
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected
from maestro_es.core.usage import Usage
from maestro_es.errors import Unreachable

#: The fields of ``bjobs -json -o``. A field without a width is not truncated.
FIELDS = ("jobid", "stat", "exit_code", "exit_reason", "job_name", "command", *USAGE_FIELDS)

#: The words of STAT in bjobs(1). UNKWN: the host of the job is silent. ZOMBI: the job was killed while its host was
#: silent, so it may still be running. POST_*: the post-job commands have run. A word that is missing here is UNKNOWN.
_STATES = {
    "PEND": JobState.PENDING,
    "PROV": JobState.PENDING,
    "WAIT": JobState.PENDING,
    "PSUSP": JobState.PENDING,
    "RUN": JobState.RUNNING,
    "USUSP": JobState.RUNNING,
    "SSUSP": JobState.RUNNING,
    "DONE": JobState.FINISHED,
    "PDONE": JobState.FINISHED,
    "POST_DONE": JobState.FINISHED,
    "POST_ERR": JobState.FINISHED,
    "EXIT": JobState.FAILED,
}
_HELD, _ENDED = "PSUSP", "EXIT"
_OVER = tuple(stat for stat, state in _STATES.items() if state in (JobState.FINISHED, JobState.FAILED))

#: The reasons for which LSF ends a job. Any other reason is UNKNOWN. So the report decides or, once LSF has forgotten
#: the job, its absence.
_REASONS = {
    **dict.fromkeys(
        (
            "TERM_CPULIMIT",
            "TERM_PROCESSLIMIT",
            "TERM_THREADLIMIT",
            "TERM_DEADLINE",
            "TERM_EXTERNAL_SIGNAL",
            "TERM_CWD_NOTEXIST",
            "TERM_PRE_EXEC_FAIL",
        ),
        JobState.FAILED,
    ),
    "TERM_RUNLIMIT": JobState.TIMED_OUT,
    "TERM_MEMLIMIT": JobState.OUT_OF_MEMORY,
    "TERM_SWAP": JobState.OUT_OF_MEMORY,
    "TERM_OWNER": JobState.CANCELLED,
    "TERM_FORCE_OWNER": JobState.CANCELLED,
    "TERM_ADMIN": JobState.CANCELLED,
    "TERM_FORCE_ADMIN": JobState.CANCELLED,
    "TERM_BUCKET_KILL": JobState.CANCELLED,
    "TERM_ORPHAN_SYSTEM": JobState.CANCELLED,
    "TERM_PREEMPT": JobState.PREEMPTED,
    "TERM_LOAD": JobState.PREEMPTED,
    "TERM_WINDOW": JobState.PREEMPTED,
    "TERM_REQUEUE_OWNER": JobState.PREEMPTED,
    "TERM_REQUEUE_ADMIN": JobState.PREEMPTED,
    "TERM_REMOVE_HUNG_JOB": JobState.NODE_FAILED,
    "TERM_ZOMBI": JobState.NODE_FAILED,
    "TERM_RMS": JobState.NODE_FAILED,
    "TERM_SLURM": JobState.NODE_FAILED,
    "TERM_CSM_ALLOC": JobState.NODE_FAILED,
}
_REASON = re.compile(r"\bTERM_[A-Z_]+")

#: What a signal means if LSF gives no reason: USR2 is sent at the run limit, and INT is the first signal that bkill
#: sends. The runner then exits with 128 plus the signal, whatever the step's own exit code is.
_SIGNALLED, _USR2, _INT = 128, 12, 2
_BY_SIGNAL = {_SIGNALLED + _USR2: JobState.TIMED_OUT, _SIGNALLED + _INT: JobState.CANCELLED}

#: The answer of bsub. An esub of the site may print other lines, which may contain numbers.
_SUBMITTED = re.compile(r"^Job <([0-9]+)> is submitted\b", re.MULTILINE)

#: The end of each message of bsub that says that a job was not submitted.
_NOT_SUBMITTED = "Job not submitted."

#: Messages after which there may be a job, or a later try may succeed.
_DOUBTFUL = re.compile(
    r"library call|time ?out|Connection refused|Cannot connect|[Mm]aster batch daemon|not responding|protocol error|"
    r"XDR|System call|non-LSF host|is down|[Pp]lease wait|Failed in"
)

#: Messages that say that LSF's daemons are not answering. Sites can change some of them.
_DOWN = re.compile(
    r"Communication time out|Connection refused|not responding|LSF is down|Cannot connect to LSF|"
    r"LSF is processing your request"
)

#: Messages about a limit on the number of jobs, and about a queue that an administrator has closed for a while.
_FULL = re.compile(
    r"Pending job (slots )?threshold reached|has reached its (job )?(slot )?limit|Queue has been closed|"
    r"Job (slot )?limit reached"
)

#: bsub prints this if it will try again by itself. maestro-es then terminates it.
RETRYING = "Retrying in"

#: The messages of bkill about a job that it has signalled, or that has ended.
ENDING = ("is being terminated", "is being signaled", "has already finished", "No matching job found")

#: The messages of bjobs if there are no jobs, and if it does not know a field or an option.
_NO_JOBS = re.compile(r"No (unfinished |matching )?job found")
_OLD = re.compile(r"not a valid field name|[Ii]llegal option|[Uu]nknown option|invalid option|[Uu]sage:")

_BLOCK = re.compile(r"^Job <([0-9]+)(?:\[[0-9]+\])?>,.*?Status <(\w+)>(.*)", re.MULTILINE)
_EXIT_CODE = re.compile(r"^.*: Exited with exit code ([0-9]+)\.", re.MULTILINE)
_SIGNAL = re.compile(r"^.*: Exited by signal ([0-9]+)\.", re.MULTILINE)
_STARTED = re.compile(r"^(.*): (?:Started|Dispatched|\[[0-9]+\] [Ss]tarted)\b", re.MULTILINE)
_RUN_LIMIT = re.compile(r"RUNLIMIT\s+([0-9.]+) min\b")
_DAY = 86400
_COMMAND, _NAME = re.compile(r"Command <(.*)"), re.compile(r"^Job <[^>]*>, Job Name <([^>]*)>")

_FACT = {
    "ClusterName": re.compile(r"^My cluster name is (\S+)", re.MULTILINE),
    "LSF_VERSION": re.compile(r"^(.*\bLSF\b.*|volclava .*?),", re.MULTILINE),
}


def read_submission(done: Completed) -> Outcome:
    """Return the outcome of ``bsub``."""
    message = " ".join(done.err.split())
    ids = _SUBMITTED.findall(done.out)
    if done.code == 0 and len(ids) == 1:
        return Accepted(ids[0])
    if ids:
        return InDoubt(message or f"bsub ended with {done.code} and printed {done.out!r}")
    if _FULL.search(message):
        return QueueFull(message)
    if done.code > 0 and message.endswith(_NOT_SUBMITTED) and not _DOUBTFUL.search(message):
        return Rejected(message, done.code)
    return InDoubt(
        message or f"bsub ended with {done.code} and printed {done.out.strip()!r}", scheduler_down=is_down(message)
    )


def is_down(message: str) -> bool:
    """Whether a command says that LSF's daemons did not answer."""
    return _DOWN.search(message) is not None


def lacks_fields(done: Completed) -> bool:
    """Whether ``bjobs`` does not know a field or an option, as in LSF before 10.1.0.2."""
    return done.code != 0 and not done.out.strip() and _OLD.search(done.err) is not None


def read_json(done: Completed) -> list[QueueEntry]:
    """Return the jobs in the output of ``bjobs -a -json -o``. Unreachable if it is not a list of jobs.

    The exit code alone proves nothing, because it is not 0 if there are no jobs. If the daemon is down, bjobs prints
    an empty list and an error [V].
    """
    import json  # noqa: PLC0415 - needed only for LSF

    start, has_none = done.out.find("{"), _NO_JOBS.search(done.err)
    if start < 0 and has_none:
        return []
    if done.code and done.err.strip() and not has_none:
        raise _unreadable(done)
    try:
        answer = json.JSONDecoder().raw_decode(done.out, max(start, 0))[0]
        records = answer["RECORDS"]
        if len(records) != int(answer["JOBS"]):
            raise _unreadable(done)
        return [_entry(record) for record in records]
    except (ValueError, KeyError, TypeError):
        raise _unreadable(done) from None


def _entry(record: dict[str, str]) -> QueueEntry:
    stat, reason = record["STAT"], _REASON.search(record["EXIT_REASON"])
    code = record["EXIT_CODE"].strip()
    exit_code = int(code) if code.isdigit() else None
    if exit_code is None and code not in {"", "-"}:
        stat = f"{stat} with exit code {code}"  # of an unknown form, so the state is unknown
    command = _with_name(record["COMMAND"], record["JOB_NAME"])
    usage = usage_in_record(record) if stat in _OVER else None
    return _made(record["JOBID"], stat, command, exit_code, reason[0] if reason else "", usage)


def _with_name(command: str, name: str) -> str:
    """Return a command with the job's name at its end, like a path.

    Maestro submits the text of a script, so the command does not name the script. The name of the job does.
    """
    return f"{command} /{name}"


def read_text(done: Completed) -> list[QueueEntry]:
    """Return the jobs in the output of ``bjobs -a -UF``. Unreachable if it is not a list of jobs."""
    blocks = [*_BLOCK.finditer(done.out)]
    if not blocks and _NO_JOBS.search(done.err):
        return []
    if done.code or not blocks or not done.out.endswith("\n"):
        raise _unreadable(done)
    ends = [*(block.start() for block in blocks[1:]), len(done.out)]
    return [*_entries(done.out, blocks, ends)]


def _entries(text: str, blocks: list[re.Match[str]], ends: list[int]) -> Iterator[QueueEntry]:
    for block, end in zip(blocks, ends, strict=True):
        job_id, stat, rest = block.groups()
        details = text[block.end() : end]
        code, signal, reason = _EXIT_CODE.search(details), _SIGNAL.search(details), _REASON.search(details)
        exit_code = int(code[1]) if code else _SIGNALLED + int(signal[1]) if signal else None
        command, name = _COMMAND.search(rest), _NAME.search(block[0])
        word = reason[0] if reason else ""
        if stat == _ENDED and not word and exit_code is None and not _STARTED.search(details):
            word = "TERM_OWNER"  # killed while it was pending [V]
        text_of_job = _with_name(command[1] if command else "", name[1] if name else "")
        yield _made(job_id, stat, text_of_job, exit_code, word, usage_in_text(details) if stat in _OVER else None)


def _made(job_id: str, stat: str, command: str, exit_code: int | None, reason: str, usage: Usage | None) -> QueueEntry:
    state = _STATES.get(stat, JobState.UNKNOWN)
    if stat == _ENDED:
        state = _end(exit_code, reason)
    raw_state = f"{stat} ({reason})" if reason else stat
    return QueueEntry(
        job_id, state, raw_state, command, stat if stat == _HELD else "", exit_code=exit_code, usage=usage
    )


def _end(exit_code: int | None, reason: str) -> JobState:
    """Return the state of a job that has not ended well.

    If LSF knows neither a reason nor an exit code, its daemons were restarted while the job ran [V]. Its script may
    have ended in any way.
    """
    if reason:
        return _REASONS.get(reason, JobState.UNKNOWN)
    return JobState.NODE_FAILED if exit_code is None else _BY_SIGNAL.get(exit_code, JobState.FAILED)


def read_facts(text: str) -> dict[str, str]:
    """Return the parts of the output of ``lsid`` that a study keeps."""
    matches = {name: pattern.search(text) for name, pattern in _FACT.items()}
    return {name: match[1].strip() for name, match in matches.items() if match}


def _unreadable(done: Completed) -> Unreachable:
    message = " ".join(done.err.split()) or f"its answer can't be read; it ends with {done.out[-60:]!r}"
    return Unreachable(f"bjobs: {message}")


def seconds_left(text: str, now: float) -> float | None:
    """Return how many seconds a job has left, from the output of ``bjobs -UF`` (None: no limit is known).

    LSF prints the time of the start without a year [V]. Unreachable if the output does not show the start.
    """
    limit, starts = _RUN_LIMIT.search(text), _STARTED.findall(text)
    if not limit:
        return None
    if not starts:
        raise Unreachable("bjobs does not show yet when the job has started")
    this_year = time.localtime(now).tm_year
    began = _moment(starts[-1], this_year)
    if began > now + _DAY:
        began = _moment(starts[-1], this_year - 1)
    return began + float(limit[1]) * 60 - now


def _moment(text: str, year: int) -> float:
    return time.mktime(time.strptime(f"{text} {year}", "%a %b %d %H:%M:%S %Y"))
