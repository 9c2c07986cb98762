"""Runs git commands, with a time limit, for the repositories that a study needs.

Git and ssh may ask for a password on the terminal, if there is one. Git itself closes an HTTP connection that is
almost idle. MAESTRO_ES_GIT_TIMEOUT limits the time of every command.

`maestro_es.study_file.dependencies` decides which commands are run.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence

from maestro_es.adapters.command import Command
from maestro_es.adapters.process import is_marked, of_this_user
from maestro_es.errors import Unreachable

#: The variable with the time limit of one git command, in seconds. 0 means no limit.
LIMIT = "MAESTRO_ES_GIT_TIMEOUT"

#: The default limits in seconds: for a query of a server's branches, and for copying a repository.
_ASKING, _COPYING = 120, 1800

#: Git closes an HTTP connection that stays below this number of bytes per second for this number of seconds.
_SLOW = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}

#: The variable that marks the processes that git starts, so that they are ended together with git.
_MARK = "MAESTRO_ES_GIT"


def run_git(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a git command. Return its exit code, its output and its errors. A command that takes too long is ended."""
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
        if argv[1] == "clone":  # its target did not exist before
            shutil.rmtree(argv[-1], ignore_errors=True)
        return 124, "", f"no answer within {limit} s; {LIMIT}=SECONDS sets another limit, and 0 means none"


def _started_with(mark: str) -> list[int]:
    """Return the processes with this mark, that is, the processes that git has started."""
    processes = []
    for process in of_this_user():
        with contextlib.suppress(Unreachable):  # if its environment is not readable, git did not start it
            if is_marked(process.pid, mark, _MARK):
                processes.append(process.pid)
    return processes


def _limit(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the time limit of a command in seconds, and a message if the user's setting is wrong."""
    limit = environment.get(LIMIT, "")
    if not limit:
        return (_ASKING if "ls-remote" in argv else _COPYING), ""
    if limit.isascii() and limit.isdigit():
        return int(limit), ""
    return 0, f"{LIMIT} is {limit!r}; write a whole number of seconds"
