"""The identity, the clock and the adapters of a process. Also opens logs without updating them."""

from __future__ import annotations

import enum
import os
import pwd
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import maestro_es
from maestro_es.adapters.host import Host, this_host
from maestro_es.core import events as e
from maestro_es.core.events import InvocationStarted
from maestro_es.core.model import Micros
from maestro_es.errors import LogUnavailable, MaestroError, StudyError
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir

if TYPE_CHECKING:
    from maestro_es.adapters.base import Adapters
else:
    Adapters = Any  # msgspec looks up the types of fields, and commands that only read a log need no adapter

#: How long a tick submits jobs, in seconds: less than cron's period.
SUBMIT_SECONDS = 45.0


class Driver(str, enum.Enum):
    """The program or user that has started a process which writes to a log."""

    CRON = "cron"
    SCRONTAB = "scrontab"  # a job of a scheduler's own cron, which ends with the tick
    SYSTEMD = "systemd"
    RUNNER = "runner"  # the runner of a local step that has ended
    WAIT = "run --wait"
    INSIDE = "run --in-allocation"
    DRIVE = "drive"
    PERSON = "person"
    PROGRAM = "program"  # a program that uses the Python interface


def now() -> Micros:
    """Return the time in microseconds UTC."""
    return time.time_ns() // 1000


def token_suffix() -> str:
    """Return a random suffix that makes the tokens of a tick unique."""
    return os.urandom(4).hex()


def identity(host: Host, driver: Driver) -> InvocationStarted:
    """Return the identity of this process.

    The user name comes from the password database, because cron does not set USER.
    """
    argv = [_program(sys.argv[0]), *without_values(sys.argv[1:])]
    return InvocationStarted(
        actor=_user(),
        host=host.name,
        boot_id=host.boot_id,
        pid=os.getpid(),
        command=" ".join(argv),
        version=maestro_es.__version__,
        machine=host.machine,
        booted_at=host.booted_at,
        driver=driver.value,
    )


#: How the path ends with which cron and runners start maestro-es; see `maestro_es.import_path.own_command`.
_OUR_MAIN = ("maestro_es", "__main__.py")


def _program(path: str) -> str:
    """Return the name of a program as a user types it."""
    if tuple(path.rsplit(os.sep, 2)[-2:]) == _OUR_MAIN:
        return "maestro-es"
    return os.path.basename(path or "python")


#: Options that set variables. A log must never contain their values.
_WITH_VALUES = ("--export", "--set")


def without_values(argv: Sequence[str]) -> list[str]:
    """Return the arguments of a command without the values of variables."""
    kept = []
    for before, word in zip(("", *argv), argv):  # noqa: B905 - the first sequence is one longer
        option, sign, value = word.partition("=")
        if before in _WITH_VALUES:
            kept.append(_without_value(word))
        elif sign and option in _WITH_VALUES:
            kept.append(f"{option}={_without_value(value)}")
        else:
            kept.append(word)
    return kept


def _without_value(text: str) -> str:
    name, sign, _ = text.partition("=")
    return f"{name}=..." if sign else name


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def make_adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
    """Return the two adapters of a study: one for its batch block, and one for local steps."""
    from maestro_es.adapters import base  # noqa: PLC0415 - see `Adapters`
    from maestro_es.adapters.local import LocalAdapter  # noqa: PLC0415 - likewise
    from maestro_es.adapters.registry import make_adapter  # noqa: PLC0415 - likewise

    scheduler = make_adapter(batch, host)
    return base.Adapters(scheduler, scheduler if isinstance(scheduler, LocalAdapter) else LocalAdapter(batch, host))


def _nothing(*_: object) -> None:
    """Do nothing. This is the default of the callbacks."""


class Runtime(msgspec.Struct, frozen=True):
    """The clock, the host, the adapters and the callbacks of a process. Tests can replace each of them.

    `on_effect` is called after each effect, with its name: "append", "script", "submit", "end", "remove" or "status".
    While a study is created, the names are "move", "layout", "rename" and "unlink". `tell` receives lines for the user
    about long operations. A tick submits jobs for `submit_seconds`, and leaves the other steps to the next tick.
    """

    host: Host = msgspec.field(default_factory=this_host)
    now: Callable[[], Micros] = now
    token_suffix: Callable[[], str] = token_suffix
    submit_seconds: float = SUBMIT_SECONDS
    on_effect: Callable[[str], None] = _nothing
    tell: Callable[[str], None] = _nothing
    on_progress: Callable[[int, int], None] = _nothing
    adapters: Callable[[Mapping[str, Any], Host], Adapters] = make_adapters
    driver: Driver = Driver.PERSON

    @property
    def brief(self) -> bool:
        """Whether the job that contains this process ends with the tick.

        Local steps of the tick would end with the job.
        """
        return self.driver is Driver.SCRONTAB


def open_as_it_is(
    root: Path, runtime: Runtime | None = None, *, migrate: bool = True, timeout: float | None = None
) -> StudyLog:
    """Open the log of a study without updating its projection. Without `migrate`, nothing at all is written.

    Each statement waits at most `timeout` seconds for a lock (default: 30).
    """
    runtime = runtime or Runtime()
    who = identity(runtime.host, runtime.driver)
    return StudyLog.open(StudyDir(root).log, runtime.now, who, fold=False, migrate=migrate, timeout=timeout)


def study_id_at(root: Path) -> str:
    """Return the id of the study whose log is in a directory (empty: there is no log).

    StudyError if the log can't be read, LogUnavailable if a later try may succeed. Neither error proves that the study
    has moved.
    """
    log = StudyDir(root).log
    try:
        os.lstat(log)
        with open_as_it_is(root, migrate=False) as opened:
            created = next(opened.study_events(e.StudyCreated), None)
            return created.event.study_id if created and isinstance(created.event, e.StudyCreated) else ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (MaestroError, OSError) as error:
        kind = LogUnavailable if isinstance(error, (LogUnavailable, OSError)) else StudyError
        raise kind(f"{log}: can't be read, so it is unknown whether this study is a copy of it ({error})") from error
