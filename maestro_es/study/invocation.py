"""The clock, and who we are: what an invocation is told apart by."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Sequence

import maestro_es
from maestro_es.adapters.process import Host
from maestro_es.core.events import InvocationStarted
from maestro_es.core.model import Driver, Micros


def now() -> Micros:
    """Return the time in microseconds UTC."""
    return time.time_ns() // 1000


def token_suffix() -> str:
    """Return what makes the tokens of a tick its own."""
    return os.urandom(4).hex()


def identity(host: Host, driver: Driver) -> InvocationStarted:
    """Return who this process is. The user comes from the password database: cron sets no USER."""
    words = [_program(sys.argv[0]), *without_values(sys.argv[1:])]
    return InvocationStarted(
        actor=_user(),
        host=host.name,
        boot_id=host.boot_id,
        pid=os.getpid(),
        command=" ".join(words),
        version=maestro_es.__version__,
        machine=host.machine,
        booted_at=host.booted_at,
        driver=driver.value,
    )


#: The end of the path by which cron and runners start us; see `maestro_es.import_path.own_command`.
_OUR_MAIN = ("maestro_es", "__main__.py")


def _program(path: str) -> str:
    """Return the name of a program as a person types it."""
    if tuple(path.rsplit(os.sep, 2)[-2:]) == _OUR_MAIN:
        return "maestro-es"
    return os.path.basename(path or "python")


#: Options that give variables values, which no log may hold.
_WITH_VALUES = ("--export", "--set")


def without_values(words: Sequence[str]) -> list[str]:
    """Return the words of a command without the values of variables."""
    found = []
    for before, word in zip(("", *words), words):  # noqa: B905 - the last word is before none
        option, sign, value = word.partition("=")
        if before in _WITH_VALUES:
            found.append(_without_value(word))
        elif sign and option in _WITH_VALUES:
            found.append(f"{option}={_without_value(value)}")
        else:
            found.append(word)
    return found


def _without_value(text: str) -> str:
    name, sign, _ = text.partition("=")
    return f"{name}=..." if sign else name


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
