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

    The first fields hold names of variables, in which ``*`` stands for any characters. `of_job` holds variables of one
    job, or of one task of a job. `options` holds variables that set the options of a job. If other jobs inherited
    these variables, the commands in those jobs would use the wrong options. `settings` holds exceptions: variables
    whose names match `of_job` or `options`, but which every job may inherit. `protocol` holds variables that change
    how many times a step runs, where its job is queued, or which files it sees. `always` holds variables that each
    environment contains, even without ALL. A process is in a job if one of the variables in `job_ids` is set. The
    first of these that is set contains the id of the job.

    These fields are shell commands. `still_running` succeeds while a job runs. `has_ended` succeeds only if a job has
    certainly ended. In both, the word JOB stands for the id of the job. If both are empty, the scheduler can't be
    queried. `ends_all` succeeds only if the end of a job leaves no process behind. `is_cluster` is another shell
    command, for a scheduler with a `cluster_variable`. It succeeds only on the cluster CLUSTER. `start` is a shell
    command for a scheduler whose jobs have neither a cluster nor unique ids. It runs inside a job, and prints a number
    that no other job with the same id has. In `has_ended`, the word START stands for this number.

    Three fields are commands as lists of words. A list is empty if the scheduler has no such command. `time_left`
    prints how much time a job has left. `resubmit` submits a script and prints the id of the new job, which starts
    after the job JOB, or after all jobs named NAME, have ended. `withdraw` cancels such a job.

    Four fields name one variable each. `name_variable` contains the name of the present job, `run_variable` contains
    how many times the job was requeued, `nodes_variable` contains the number of its nodes, and `cluster_variable`
    contains the name of its cluster.

    The scheduler sends the `stop_signals` to end a job when its time is over or a user cancels it. They include TERM.
    `outer` maps variables that lead to the scheduler of the present job to commands that print their values.
    """

    of_job: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    still_running: str = ""
    has_ended: str = ""
    ends_all: str = ""
    is_cluster: str = ""
    start: str = ""
    time_left: tuple[str, ...] = ()
    resubmit: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()
    name_variable: str = ""
    run_variable: str = ""
    nodes_variable: str = ""
    cluster_variable: str = ""
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
    keys that a batch block must contain, and `keys` are the keys that the adapter reads. If `passes_options` is true,
    the `args` in the batch block are passed to the submit command as options. `jobs` describes the environment inside
    a job. In a script, each line with options begins with `directive`.

    The other fields are functions. `walltime_remedy` takes a walltime. If the scheduler can't read the walltime, the
    function returns the remedy; otherwise an empty string. `forgets_within` takes the result of the adapter's
    `cluster_info`, and a number of seconds. If the scheduler keeps no accounting and may forget an ended job within
    this time, the function returns a warning. `seconds_left` takes the output of the command `jobs.time_left`, and the
    present time. It returns how many seconds the job has left (None: no limit is known). `review` takes the batch
    block, and the index and the ``run`` block of each step. It returns remarks on the errors in a study file that the
    other fields do not cover.
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
