"""The facts about a scheduler that code outside of its adapter needs.

The module of an adapter exports these facts as `FACTS`. They describe the study file, the scripts and the jobs of its
scheduler. The adapter itself decides what is submitted, and how. `maestro_es.adapters.registry` finds both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.core.grace import JOB_GRACE_SECONDS
from maestro_es.core.walltime import seconds_left, walltime_remedy

#: The keys of the batch block that Maestro 1.2.1 or maestro-es reads for each scheduler.
COMMON_KEYS = ("type", "shell", "host", "bank", "queue", "nodes", "args")


class Remark(msgspec.Struct, frozen=True):
    """A remark on a value of a study file that a scheduler refuses or ignores.

    `path` leads to the value: ``("batch", KEY, ...)`` or ``("study", INDEX, "run", KEY)``. `predicate` completes a
    sentence that begins with the name of the value, such as "is ignored". Without a predicate, the message shows the
    value. If `fatal`, the study can't run with this value.
    """

    path: tuple[str | int, ...]
    remedy: str
    predicate: str = ""
    fatal: bool = False


class JobEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """The variables, commands and signals with which a process finds out about the job in which it runs.

    Most fields are names of variables, in which ``*`` stands for any text. `of_job` holds variables of one job, or of
    one task of a job. `options` are variables with the options of a job. Commands in other jobs would use these
    options by mistake. `settings` are exceptions: their names match `of_job` or `options`, but they are neither. A
    process is in a job if one of `job_ids` is set, and the first one that is set contains the id of the job.
    `protocol` holds variables that change how many times a step runs, where its job is queued, or which files it sees.
    `always` holds variables that each environment contains, even without ALL. `still_running` is a shell command that
    succeeds while a job runs, and `has_ended` is one that succeeds only if it is certain that a job has ended. In
    both, the word JOB stands for the id of the job. If both are empty, the scheduler can't be queried. `ends_all` is a
    shell command that succeeds only if the end of a job leaves no process behind. Three more commands are lists of
    words; a list is empty if the scheduler has no such command. `time_left` prints how much time a job has left.
    `resubmit` submits a script that will run after this JOB, or after all jobs with the same NAME, and prints the id
    of the new job. `withdraw` cancels such a job. The variable named by `name_variable` contains the name of the
    present job, that of `run_variable` how many times the job was requeued, and that of `nodes_variable` the number of
    its nodes. `stop_signals` are the names of the signals by which the scheduler ends a job whose time is over or
    that a user cancels. They include TERM. `outer` maps variables that lead to the scheduler of the present job to
    commands that print their values.
    """

    of_job: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    still_running: str = ""
    has_ended: str = ""
    ends_all: str = ""
    time_left: tuple[str, ...] = ()
    resubmit: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()
    name_variable: str = ""
    run_variable: str = ""
    nodes_variable: str = ""
    settings: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    stop_signals: tuple[str, ...] = ("TERM",)
    outer: Mapping[str, str] = msgspec.field(default_factory=dict)


def _no_remarks(_batch: Mapping[str, Any], _runs: Sequence[tuple[int, Mapping[str, Any]]]) -> tuple[Remark, ...]:
    return ()


def _never(_cluster_info: Mapping[str, str], _seconds: int) -> str:
    return ""


class SchedulerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All facts about one scheduler.

    `name` is its `batch.type`, and the names of its scripts end with `extension`. `grace_seconds` is the time after
    which a tick abandons an attempt that has left no trace. Safety never depends on this time. `needed_keys` are the
    keys that a batch block must have, and `keys` are the keys that the adapter reads. If `passes_options`, `args` of
    the batch block are options of the submit command. `jobs` describes the inside of a job. `directive` begins each
    line of a script that contains options. `walltime_remedy` returns the remedy for a walltime that the scheduler
    can't read (empty: it can). `forgets_within` gets the result of the adapter's `cluster_info`, and a number of
    seconds. If the scheduler keeps no accounting and may forget an ended job within this time, the function returns a
    warning. `seconds_left` gets the output of the command `jobs.time_left`, and the present time. It returns for how
    many seconds the job may still run (None: no limit is known). `review` gets the batch block, and the index and the
    ``run`` block of each step. It returns remarks on all other errors in a study file.
    """

    name: str
    extension: str
    grace_seconds: float = JOB_GRACE_SECONDS
    needed_keys: tuple[str, ...] = ()
    keys: tuple[str, ...] = COMMON_KEYS
    passes_options: bool = False
    directive: str = ""
    jobs: JobEnvironment = JobEnvironment()
    walltime_remedy: Callable[[object], str] = walltime_remedy
    forgets_within: Callable[[Mapping[str, str], int], str] = _never
    seconds_left: Callable[[str, float], float | None] = seconds_left
    review: Callable[[Mapping[str, Any], Sequence[tuple[int, Mapping[str, Any]]]], Iterable[Remark]] = _no_remarks


class Schedulers(msgspec.Struct, frozen=True):
    """The functions that give facts about schedulers to the code that reads a study file.

    `find` returns the facts for a batch type, or None if there is no such type. It raises UnknownAdapter if the
    adapter is broken. `names` returns all types. `built_in` returns the facts of the schedulers that are part of
    maestro-es.
    """

    find: Callable[[str], SchedulerFacts | None]
    names: Callable[[], Sequence[str]]
    built_in: Callable[[], Iterable[SchedulerFacts]]
