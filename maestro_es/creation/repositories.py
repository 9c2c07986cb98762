"""Git commands for the repositories that a study needs: each says what it waits for, and has a time limit.

Git and ssh may ask for a password on the terminal, if there is one. Git itself ends a connection that is almost idle.
Any command ends after the time in MAESTRO_ES_GIT_TIMEOUT.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence

from maestro_es.adapters.command import Command
from maestro_es.adapters.process import is_marked, of_this_user
from maestro_es.errors import Unreachable

#: Seconds for which one git command may run; 0 is no limit.
LIMIT = "MAESTRO_ES_GIT_TIMEOUT"

#: Without that, what asks a server for its branches has this time, and what copies a repository that.
_ASKING, _COPYING = 120, 1800

#: What ends a connection over HTTP that brings less than so many bytes in a second, for so many seconds.
_SLOW = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}

#: Marks what git starts, which is ended with it.
_MARK = "MAESTRO_ES_GIT"


def run_git(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a git command; returns its exit code and its output. A command that takes too long is ended."""
    limit, error = _limit(argv, environment)
    if error:
        return 1, "", error
    mark = uuid.uuid4().hex
    try:
        command = Command(
            argv,
            timeout=limit or None,
            env={**_SLOW, **environment, _MARK: mark},
            members=lambda _: _started_with(mark),
        )
        return command.result()
    except FileNotFoundError:
        return 127, "", f"{argv[0]} is not installed"
    except TimeoutError:
        if argv[1] == "clone":  # into a place where nothing was
            shutil.rmtree(argv[-1], ignore_errors=True)
        return 124, "", f"no answer within {limit} s; {LIMIT}=SECONDS waits for another time, 0 without end"


def _started_with(mark: str) -> list[int]:
    """Return the processes that git has started."""
    processes = []
    for process in of_this_user():
        with contextlib.suppress(Unreachable):  # not ours to read, so none of git's
            if is_marked(process.pid, mark, _MARK):
                processes.append(process.pid)
    return processes


def _limit(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the time limit of a command in seconds, or what is wrong with the user's setting."""
    limit = environment.get(LIMIT, "")
    if not limit:
        return (_ASKING if "ls-remote" in argv else _COPYING), ""
    if limit.isascii() and limit.isdigit():
        return int(limit), ""
    return 0, f"{LIMIT} is {limit!r}; write a whole number of seconds"
