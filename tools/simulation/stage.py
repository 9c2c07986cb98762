"""Puts the stand-ins into the places of the real ones while a week is simulated.

The rules, the store, the poller and the adapters are the real ones. Three things are replaced: the functions that
start and observe processes, the commands of Slurm, and the clock, which each process gets from its `Runtime`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from maestro_es.adapters import batch, process, spawner
from maestro_es.adapters.command import Completed
from maestro_es.core import cascade
from maestro_es.store.study_log import StudyLog
from tools.simulation.controller import Controller
from tools.simulation.machine import Machines

#: The functions of `process` that are replaced.
_REPLACED = ("is_running", "session_members", "of_this_user", "is_marked", "carriers", "kill", "terminate_group")


class _Command:
    """A command of Slurm, in place of `maestro_es.adapters.command.Command`. It has ended when it has begun."""

    has_ended = True

    def __init__(self, done: Completed | None, wait: Callable[[], None]) -> None:
        self._done = done
        self._wait = wait

    def result(self) -> Completed:
        """Return the result. If the command hangs, wait for the timeout first."""
        if self._done is None:
            self._wait()
            raise TimeoutError("slurm has not answered within 60 s")
        return self._done


@contextlib.contextmanager
def staged(
    home: Path, machines: Machines, controller: Controller, effect: Callable[[str], None], wait: Callable[[int], None]
) -> Iterator[None]:
    """Replace the outside world.

    `effect` is called before and after each effect that a tick has on it. `wait` lets a number of microseconds pass.
    """

    def command(argv: Sequence[str], *, timeout: float | None = None, **_: Any) -> _Command:
        effect(f"calls {os.path.basename(argv[0])}")
        done = controller.run(argv)
        effect(f"has called {os.path.basename(argv[0])}")
        return _Command(done, lambda: wait(int((timeout or 60) * 1_000_000)))

    def spawn(argv: Sequence[str], env: Mapping[str, str], inherited: Any = None) -> tuple[int, int]:
        effect("starts a runner")
        runner = next(word for word in argv if word.endswith(".sh"))
        if not os.path.exists(runner):  # the study was moved
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), runner)
        return machines.spawn(argv, env, inherited)

    commit = StudyLog._commit

    def commits(log: StudyLog) -> None:
        if log.path.parent.exists():
            effect("commits")
        commit(log)

    functions = {name: getattr(machines, name) for name in _REPLACED}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(process, **functions))
        stack.enter_context(mock.patch.multiple(spawner, spawn=spawn, reap=machines.reap))
        stack.enter_context(mock.patch.object(batch, "Command", command))
        stack.enter_context(mock.patch.object(batch, "find_program", lambda name, _path=None: name))
        stack.enter_context(mock.patch.object(StudyLog, "_commit", commits))
        stack.enter_context(mock.patch.object(cascade, "AT_ONCE", 2))
        stack.enter_context(mock.patch.dict(os.environ, {"MAESTRO_ES_HOME": str(home)}))
        yield
