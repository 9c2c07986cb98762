"""The facts about one scheduler that code outside of its adapter needs, as one value.

The module of an adapter exports its facts as `FACTS`. They say what belongs in a study file, and what scripts and jobs
look like. The adapter itself decides what is submitted, and how. `maestro_es.adapters.registry` finds both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.core.grace import JOB_GRACE_SECONDS
from maestro_es.core.walltime import walltime_remedy

#: The keys of the batch block that Maestro 1.2.1 or maestro-es reads for each scheduler.
COMMON_KEYS = ("type", "shell", "host", "bank", "queue", "nodes", "args")


class Remark(msgspec.Struct, frozen=True):
    """Something about a value of a study file that a scheduler can't take, or ignores.

    `path` leads to the value: ``("batch", KEY, ...)`` or ``("study", INDEX, "run", KEY)``. `predicate` continues the
    sentence that begins with the name of the value, such as "is ignored"; without it, the sentence shows the value.
    `fatal`: the study can't run with it.
    """

    path: tuple[str | int, ...]
    remedy: str
    predicate: str = ""
    fatal: bool = False


class JobEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What a job of a scheduler looks like from inside.

    Most fields are names of variables, in which ``*`` stands for any text. `of_job` are variables of one job, or of
    one task of it. `options` are options of a job, which commands in other jobs would take for theirs. A process is
    in a job if one of `job_ids` is set; a job finds its id in the first one that is set. `settings` belong to neither,
    though their names match. `protocol` are variables that would change how often a step runs, where its job is, or
    what it sees. `always` are variables that each environment contains, even one that is not ALL. `still_running` is a
    shell command that succeeds while a job runs; the word JOB in it stands for the job's id. If it is empty, the
    scheduler can't be asked. `stop_signals` are the names of the signals by which the scheduler tells a job to end,
    when its time is over or somebody cancels it. TERM always counts as one.
    """

    of_job: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    still_running: str = ""
    settings: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    stop_signals: tuple[str, ...] = ("TERM",)


def _no_remarks(_batch: Mapping[str, Any], _runs: Sequence[tuple[int, Mapping[str, Any]]]) -> tuple[Remark, ...]:
    return ()


def _never(_cluster_info: Mapping[str, str], _seconds: int) -> str:
    return ""


class SchedulerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one scheduler before there is a job.

    `name` is its `batch.type`, and `extension` ends the names of its scripts. `grace_seconds` is the time without a
    trace after which an attempt is given up; safety never depends on it. `needed_keys` are the keys that a batch
    block must have, and `keys` are those that are read. `passes_options`: `args` of the batch block are options of
    the submit command. `jobs` says what a job looks like from inside, and where it finds its id. `directive` begins a
    line of a script that holds options. `walltime_remedy` returns what to write in place of a walltime that the
    scheduler can't read, or nothing. `forgets_within` gets what the adapter's `cluster_info` has returned, and a
    number of seconds; it says that the scheduler may forget an ended job within that time and keeps no accounts, or
    nothing. `review` gets the batch block, and the index and the block `run` of each step; it finds what else is
    wrong in a study file.
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
    review: Callable[[Mapping[str, Any], Sequence[tuple[int, Mapping[str, Any]]]], Iterable[Remark]] = _no_remarks


class Schedulers(msgspec.Struct, frozen=True):
    """How the reader of a study file gets facts.

    `find` returns those of a batch type, or None if there is no such type; UnknownAdapter if its adapter is broken.
    `names` returns all types. `built_in` returns the facts of the schedulers that maestro-es itself knows.
    """

    find: Callable[[str], SchedulerFacts | None]
    names: Callable[[], Sequence[str]]
    built_in: Callable[[], Iterable[SchedulerFacts]]
