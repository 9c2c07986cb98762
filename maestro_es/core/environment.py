"""The names under which the environment of the steps reaches a runner, which passes it on to its step.

`maestro_es.core.export` decides which variables belong to it. `maestro_es.poller.environment_file` owns the file with
the values. The log has only names and digests of the values.
"""

from __future__ import annotations

from collections.abc import Mapping

from maestro_es.core.model import Environment

#: The beginning of all variables for a runner.
_RUNNERS = "MAESTRO_ES_"


def is_name(name: str) -> bool:
    """Whether a shell can have a variable of this name."""
    return name.isascii() and name.isidentifier()


def for_runner(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables under names that survive a runner, which restores them for its step.

    A POSIX shell drops names that it can't have itself, such as exported functions. It also passes on the new value of
    a variable that it assigns to. So all lower-case names get another name, because the runner's own variables are
    lower-case.
    """
    found: dict[str, str] = {}
    functions, kept = list[str](), list[str]()
    for name, value in variables.items():
        if not is_name(name):
            functions.append(f"{name}={value}")
        elif name.islower():
            kept.append(name)
            found[f"{_RUNNERS}KEPT_{name}"] = value
        else:
            found[name] = value
    found.update((f"{_RUNNERS}FUNCTION_{number}", text) for number, text in enumerate(functions, 1))
    return {**found, f"{_RUNNERS}KEPT": " ".join(kept)} if kept else found


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
    found = {f"{_RUNNERS}LIMITS": " ".join(limits)} if limits else {}
    return found | ({f"{_RUNNERS}NICE": str(environment.nice)} if environment.nice else {})
