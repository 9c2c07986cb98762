"""The environment of the steps: its contents, its record in the log, and the form in which a runner gets it.

`maestro_es.core.exported_variables` decides which variables belong to the environment.
`maestro_es.study.environment_file` owns the file with the values. The log has only names and digests of the values.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Environment(msgspec.Struct, frozen=True):
    """The environment in which steps start. `umask`, `limits` and `nice` are None or empty if they are unknown.

    `limits` maps the names of soft limits (``RLIMIT_NOFILE`` is ``nofile``) to their values (-1: unlimited). If the
    values can't be read, `problem` says why, and no step may be started. `cluster` is the name of the cluster that has
    the jobs, if it is known. The tick may query only this cluster.
    """

    variables: Mapping[str, str] = {}
    umask: int | None = None
    limits: Mapping[str, int] = {}
    nice: int | None = None
    problem: str = ""
    cluster: str = ""


class RecordedEnvironment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The record of the environment of the steps in the log. The values are in a private file of the study.

    `digest` is the digest of that file. `variables` maps each name to a fingerprint of its value, that is, a digest
    with a salt that only the file contains. `umask`, `limits` and `nice` come from the process that recorded the
    environment.

    digest: SHA-256 of the private file, in hex
    variables: a fingerprint of the value of each variable
    umask: the umask
    limits: the soft limits by name; -1 means unlimited
    nice: the niceness
    export: the choice of --export, without values
    given: the names of the variables whose values a user has set
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


#: How the names of all variables for a runner begin.
_RUNNERS = "MAESTRO_ES_"

#: The variables from which bash reads its options when it starts. A shell script can't assign to them.
_OPTIONS = ("SHELLOPTS", "BASHOPTS")


def is_name(name: str) -> bool:
    """Return whether a shell can have a variable with this name."""
    return name.isascii() and name.isidentifier()


def for_runner(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables under names that a shell does not change. The runner restores the names for its step.

    A POSIX shell drops variables whose names are not valid in a shell, such as exported functions. If a shell script
    assigns to a variable, the processes that it starts get the new value. The runner is a shell script whose own
    variables have lower-case names, so every variable with a lower-case name gets another name. The variables with
    options of bash get other names, too, because a runner in bash would use and change them.
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


#: The letter of ``ulimit`` for each limit, and the unit of the limit in bytes. For the number of processes, other
#: shells have another letter.
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


def umask_for_node(environment: Environment) -> dict[str, str]:
    """Return the umask for a runner on a node, for a scheduler that does not pass the umask on."""
    return {} if environment.umask is None else {f"{_RUNNERS}UMASK": f"{environment.umask:04o}"}
