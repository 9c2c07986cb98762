"""Sets what a child process inherits in addition to its variables: umask, soft limits, niceness.

This process sets them while it starts another one, and then restores its own. Hard limits do not change, and no soft
limit is raised above its hard limit. Any user can raise a niceness, but only root can lower it.

The umask, limits and niceness of steps are recorded when a study is created; see `maestro_es.study.surroundings`.
`maestro_es.core.environment` (`for_node`) and ``runner.sh`` bring them to the node of a job.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from maestro_es.core.environment import Environment


@contextlib.contextmanager
def inheriting(environment: Environment) -> Iterator[None]:
    """Let processes that are started in this context inherit the umask and soft limits of an environment."""
    before = {} if not environment.limits else _set_limits(environment.limits)
    mask = None if environment.umask is None else os.umask(environment.umask)
    try:
        yield
    finally:
        if mask is not None:
            os.umask(mask)
        if before:
            _set_limits(before)


def _set_limits(limits: Mapping[str, int]) -> dict[str, int]:
    """Set soft limits. Return the earlier values of those that changed."""
    import resource  # noqa: PLC0415 - a tick that starts nothing does not need it

    before = {}
    for name, limit in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            continue
        soft, hard = resource.getrlimit(number)
        unlimited = resource.RLIM_INFINITY
        value = unlimited if limit < 0 else limit
        if hard != unlimited and (value == unlimited or value > hard):
            value = hard
        if value != soft:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(number, (value, hard))
                before[name] = -1 if soft == unlimited else soft
    return before


def renice(pid: int, environment: Environment) -> None:
    """Give a process that has just started the niceness of an environment, if the system allows it."""
    if environment.nice is not None and environment.nice != os.getpriority(os.PRIO_PROCESS, 0):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, environment.nice)
