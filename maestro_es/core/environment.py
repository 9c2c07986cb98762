"""The environment of the steps: what they start in, what the log records of it, and how it reaches a runner.

`maestro_es.core.exported_variables` decides which variables belong to it. `maestro_es.study.environment_file` owns the
file with the values. The log has only names and digests of the values.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Environment(msgspec.Struct, frozen=True):
    """What a step is started in. `umask`, `limits` and `nice` are None or empty if they are not known.

    `limits` maps soft limits, named like ``RLIMIT_*`` in lower case without that, to their values; -1: unlimited.
    `problem` says why the values can't be had: nothing may be started then. `cluster` is the name of the cluster that
    has the jobs, if it is known: the ticking process may ask that one only.
    """

    variables: Mapping[str, str] = {}
    umask: int | None = None
    limits: Mapping[str, int] = {}
    nice: int | None = None
    problem: str = ""
    cluster: str = ""


class RecordedEnvironment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the log knows of the environment of the steps; the values are in a private file of the study.

    `digest` is that file's. `variables` maps each name to a fingerprint of its value: a digest with a salt that only
    the file knows. `umask` and the soft `limits` (-1: unlimited) and `nice` are those of the process that recorded
    them. `export` is what ``--export`` asked for, without values; `given` are the names whose values a person gave.

    digest: SHA-256 of the private file, in hex
    variables: a fingerprint of the value of each variable
    umask: the umask
    limits: the soft limits by name; -1 means unlimited
    nice: the niceness
    export: what --export asked for
    given: the names of the variables whose values a person gave
    job: the job of a scheduler in which this was recorded, such as slurm:4711; empty outside of jobs
    """

    digest: str = ""
    variables: dict[str, str] = {}
    umask: int = 0o022
    limits: dict[str, int] = {}
    nice: int = 0
    export: str = "ALL"
    given: tuple[str, ...] = ()
    job: str = ""


#: The beginning of all variables for a runner.
_RUNNERS = "MAESTRO_ES_"

#: What bash reads its options from when it starts; it can't be assigned to.
_OPTIONS = ("SHELLOPTS", "BASHOPTS")


def is_name(name: str) -> bool:
    """Whether a shell can have a variable of this name."""
    return name.isascii() and name.isidentifier()


def for_runner(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables under names that survive a runner, which restores them for its step.

    A POSIX shell drops names that it can't have itself, such as exported functions. It also passes on the new value of
    a variable that it assigns to. So all lower-case names get another name, because the runner's own variables are
    lower-case. Options of bash travel as functions do: a runner in bash would have them itself, and change them.
    """
    passed: dict[str, str] = {}
    functions, kept = list[str](), list[str]()
    for name, value in variables.items():
        if not is_name(name) or name in _OPTIONS:
            functions.append(f"{name}={value}")
        elif name.islower():
            kept.append(name)
            passed[f"{_RUNNERS}KEPT_{name}"] = value
        else:
            passed[name] = value
    passed.update((f"{_RUNNERS}FUNCTION_{number}", text) for number, text in enumerate(functions, 1))
    return {**passed, f"{_RUNNERS}KEPT": " ".join(kept)} if kept else passed


#: Letters of ``ulimit`` and the unit that it counts in, in bytes, by limit. Those of a number of processes differ
#: between shells.
_LETTERS = {
    "cpu": ("t", 1), "data": ("d", 1024), "stack": ("s", 1024), "core": ("c", 512), "fsize": ("f", 512),
    "memlock": ("l", 1024), "nofile": ("n", 1), "as": ("v", 1024), "nproc": ("u", 1),
}  # fmt: skip


def for_node(environment: Environment) -> dict[str, str]:
    """Return limits and niceness for a runner on a node, in the letters and units of ``ulimit``."""
    limits = [
        f"{letter}:{'unlimited' if value < 0 else value // unit}"
        for name, (letter, unit) in _LETTERS.items()
        for value in [environment.limits.get(name)]
        if value is not None
    ]
    variables = {f"{_RUNNERS}LIMITS": " ".join(limits)} if limits else {}
    return variables | ({f"{_RUNNERS}NICE": str(environment.nice)} if environment.nice else {})
