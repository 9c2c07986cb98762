"""The errors that a user may see, each in one line.

::

    MaestroError
    ├── SpecError             the study file is wrong; `problems` lists all faults
    ├── RequestRefused        the request makes no sense in the present state
    │   ├── UnknownStep       there is no step with that name
    │   ├── NoSuchEdge        there is no edge between two steps
    │   └── NotAcquired       a dependency of a study is not available
    ├── StudyError            something is wrong with a study directory
    │   ├── NotAStudy         there is no event log here
    │   ├── StudyElsewhere    the study that a pickle points to is not at its path
    │   ├── NotAPointer       a file is not a pickle of an `ExecutionGraph`
    │   ├── DamagedLog        the log can't be read, or another program has changed it
    │   ├── InvalidTransition an event can't follow from the state before it
    │   ├── NewerLog          a later version wrote the log
    │   ├── LogUnavailable    the log can't be read or written now; nothing was changed
    │   ├── ConcurrentAppend  another process appended first; nothing was written
    │   ├── NotRecordable     an event has a value that no reader could decode; nothing was written
    │   ├── LogNotUsable      the log was closed, or another thread or process opened it
    │   ├── NotOurs           another user owns the directory, or can change it
    │   └── StudyCopied       this is a copy, and the original still has its log
    └── SchedulerError        something is wrong with a scheduler
        ├── UnknownAdapter    there is no adapter with that name
        ├── NoAdapter         no adapter was chosen
        └── Unreachable       a scheduler did not answer, so its jobs are in an unknown state
            ├── NotAsked      no scheduler was queried, because it is unknown which one has the jobs
            ├── TickInProgress another process ticks the study
            └── NothingStarts the environment of the steps is missing; everything else was done

A message says what is wrong, where, and what to do. Each class has the exit code of a command that ends with this
error. Any error that is not a `MaestroError` is a bug of maestro-es.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

#: The exit codes of commands. README.md explains them. `run --wait` also uses the values of `StudyStatus`. sysexits.h
#: calls 75 EX_TEMPFAIL. Shells report 130 for a program that Ctrl-C has ended. `__main__` holds copies of the last
#: two, and `runner.sh` has a copy of 75. A tick that got no answer ends with 75 (`drivers.cron_tick`), and so does a
#: command on a host that lacks memory or other resources (`cli.main`).
EXIT_OK, EXIT_ERROR, EXIT_TRY_AGAIN, EXIT_INTERRUPTED = 0, 1, 75, 130


def one_line(message: str) -> str:
    r"""Return a message as one line. Line breaks, as in a path or another program's message, become ``\n``."""
    return message.replace("\n", "\\n")


class MaestroError(Exception):
    """The base class of all errors that are shown in one line, without a traceback.

    The command ends with `exit_code`.
    """

    exit_code = EXIT_ERROR

    def __str__(self) -> str:
        return one_line(Exception.__str__(self))  # because a KeyError shows its message in quotes


class SpecError(MaestroError, ValueError):
    """The study file is wrong. `problems` and `warnings` are lines with file, line number, problem and remedy.

    It is a ValueError too, because Maestro raises ValueError for most errors of a study file.
    """

    def __init__(self, problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join(map(one_line, problems)))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        return str(self.args[0])


class RequestRefused(MaestroError):
    """A request makes no sense in the present state. Nothing was changed."""


class UnknownStep(RequestRefused, KeyError, ValueError):
    """There is no step with that name. Some methods of Maestro then raise a KeyError, and others a ValueError."""


class NoSuchEdge(RequestRefused, ValueError):
    """There is no edge between two steps. It is a ValueError too, as in Maestro."""


class NotAcquired(RequestRefused, RuntimeError, ValueError):
    """A dependency of a study is not available.

    Maestro raises a RuntimeError or a ValueError, depending on the cause.
    """


class StudyError(MaestroError):
    """Something is wrong with a study directory."""


class NotAStudy(StudyError):
    """There is no event log in this directory."""


class StudyElsewhere(StudyError):
    """The study that a pickle points to was moved or deleted, or another study is there."""


class NotAPointer(StudyError, TypeError):
    """A file is not a pickle of an `ExecutionGraph`. It was not executed. It is a TypeError too, as in Maestro."""


class DamagedLog(StudyError):
    """The file is not a readable log, or another program has changed a row. `details` tell programs where."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class InvalidTransition(StudyError):
    """An event can't follow from the state before it. The decision was based on old state, or the log was changed."""


class NewerLog(StudyError):
    """The log was written by a later version of maestro-es."""


class LogUnavailable(StudyError):
    """The log can't be read or written now, for example because the disk is full. Nothing was changed."""

    exit_code = EXIT_TRY_AGAIN


class ConcurrentAppend(StudyError):
    """Another process appended to the log first. Nothing was written. The caller reads the log and decides again."""

    exit_code = EXIT_TRY_AGAIN


class NotRecordable(StudyError, ValueError, TypeError):
    """An event contains a value that no reader of the log could decode. Nothing was written."""


class LogNotUsable(StudyError):
    """This object can't be used. It was closed, or another thread or process opened it. Nothing was changed."""


class NotOurs(StudyError):
    """Another user owns a study directory, or can change it.

    So nothing in it is executed, and its log is not opened.
    """


class StudyCopied(StudyError):
    """This directory is a copy of a study, and the original still has its log."""


class SchedulerError(MaestroError):
    """Something is wrong with a scheduler or its adapter."""


class UnknownAdapter(SchedulerError, TypeError):
    """There is no adapter of that name. It is a TypeError too, as in Maestro."""


class NoAdapter(SchedulerError, ValueError):
    """No adapter was chosen, so no scripts can be written. It is a ValueError too, as in Maestro."""


class Unreachable(SchedulerError, RuntimeError):
    """A scheduler did not answer, so its jobs are in an unknown state. It is a RuntimeError too, as in Maestro."""

    exit_code = EXIT_TRY_AGAIN


class NotAsked(Unreachable):
    """No scheduler was queried, because this process can't find out which one has the jobs."""


class TickInProgress(Unreachable):
    """Another process ticks the study, or waits for its turn to do so. Nothing was changed."""


class NothingStarts(Unreachable):
    """The environment of the steps is missing, so no step starts. Everything else was done."""


#: The errors of NFS with Kerberos and of AFS for a user without a valid ticket.
_NOT_LET_IN = (errno.EACCES, errno.EPERM, getattr(errno, "EKEYEXPIRED", None))


def describe_error(error: MaestroError | OSError, root: object) -> tuple[int, str]:
    """Return the exit code and the message for an error that has prevented a tick."""
    if isinstance(error, OSError):
        return EXIT_TRY_AGAIN, describe_os_error(error, root)
    line, path = str(error), one_line(str(root))
    return error.exit_code, line if path in line else f"{path}: {line}"


def describe_os_error(error: OSError, path: object) -> str:
    """Return the message for an error of a file system that does not answer or denies access."""
    hint = "; is your ticket for this file system still valid?" if error.errno in _NOT_LET_IN else ""
    return one_line(f"{error.filename or path}: {error.strerror or error}{hint}")
