"""Processes that are killed just before a statement reaches SQLite."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from maestro_es.store import connection


def kill_at_statement(count: int, act: Callable[[], object]) -> bool:
    """Run `act` in a forked process that is killed before statement `count`; returns whether it got that far.

    The statements of all our connections that it opens are counted. AssertionError if `act` fails.
    """
    child = os.fork()
    if not child:
        _act(count, act)
    _, code = os.waitpid(child, 0)
    assert code in (0, signal.SIGKILL), code
    return code != 0


def _act(count: int, act: Callable[[], object]) -> None:
    passed = 0

    def trace(_: str) -> None:
        nonlocal passed
        passed += 1
        if passed == count:
            os.kill(os.getpid(), signal.SIGKILL)

    class Traced(connection.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.set_trace_callback(trace)

    code = 1
    try:
        setattr(connection, "Connection", Traced)  # noqa: B010 - in this child only
        act()
        code = 0
    except BaseException as error:  # noqa: BLE001 - the parent shows the code
        traceback.print_exception(error)
    finally:
        os._exit(code)
