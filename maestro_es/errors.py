"""The errors that a user may see, each in one line.

::

    MaestroError
    ├── SpecError             the study file is wrong; `problems` lists all of it
    ├── RequestRefused        what was asked for makes no sense in this state
    │   ├── UnknownStep       there is no step of that name
    │   ├── NoSuchEdge        a step does not wait for another
    │   └── NotAcquired       a dependency of a study could not be had
    ├── StudyError            something is wrong with a study directory
    │   ├── NotAStudy         there is no event log here
    │   ├── StudyElsewhere    the study that a pickle points to is not where it was
    │   ├── NotAPointer       a file is no pickle of ours
    │   ├── DamagedLog        the log can't be read, or was changed by another hand
    │   ├── InvalidTransition an event that can't follow from the state before it
    │   ├── NewerLog          the log was written by a later version
    │   ├── LogUnavailable    the file system does not let us read or write the log now; nothing was changed
    │   ├── ConcurrentAppend  somebody else appended first; nothing was written
    │   ├── NotRecordable     an event holds a value that no reader could read; nothing was written
    │   ├── LogNotUsable      the log was closed, or belongs to another thread or process
    │   ├── NotOurs           another user owns the directory, or can change it
    │   └── StudyCopied       this is a copy, and the original is alive
    └── SchedulerError        something is wrong with a scheduler
        ├── UnknownAdapter    no adapter goes by that name
        ├── NoAdapter         none was chosen
        └── Unreachable       it did not answer: nothing may be concluded
            ├── NotAsked      it was not asked, because this process can't tell which one it is
            ├── TickInProgress another process ticks the study
            └── NothingStarts the environment of the steps is missing; everything else was done

A message says what, where, and what to do. Each class carries the exit code of a command that it ends. Anything that
is not a `MaestroError` is our own bug.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

#: The exit codes of commands; README.md explains them. `run --wait` has the values of `StudyStatus`, too. sysexits.h
#: calls 75 EX_TEMPFAIL. Shells report 130 for a program that Ctrl-C has ended. `__main__` has copies of the last two,
#: and `runner.sh` one of 75. A tick that got no answer ends with 75 (`drivers.cron_tick`), and so does a command for
#: which the host lacks memory or other resources (`cli.main`).
EXIT_OK, EXIT_ERROR, EXIT_TRY_AGAIN, EXIT_INTERRUPTED = 0, 1, 75, 130


def one_line(message: str) -> str:
    r"""Return a message in which the end of a line stands as ``\n``, as in a path or in another program's words."""
    return message.replace("\n", "\\n")


class MaestroError(Exception):
    """The root of all errors that are shown in one line, without a traceback; `exit_code` is that of the command."""

    exit_code = EXIT_ERROR

    def __str__(self) -> str:
        return one_line(Exception.__str__(self))  # as a KeyError has a form of its own


class SpecError(MaestroError, ValueError):
    """The study file is wrong. Each of `problems`, and of `warnings`, is one line: file, line, what, remedy.

    A ValueError too, because Maestro raises one for most of what a study file can have wrong.
    """

    def __init__(self, problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join(map(one_line, problems)))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        return str(self.args[0])


class RequestRefused(MaestroError):
    """What was asked for makes no sense in this state; nothing was changed."""


class UnknownStep(RequestRefused, KeyError, ValueError):
    """There is no step of that name. Maestro raises a KeyError in some methods, and a ValueError in others."""


class NoSuchEdge(RequestRefused, ValueError):
    """A step does not wait for another, so there is no edge between them. A ValueError too, as in Maestro."""


class NotAcquired(RequestRefused, RuntimeError, ValueError):
    """A dependency of a study could not be had. Maestro raises a RuntimeError or a ValueError, by the cause."""


class StudyError(MaestroError):
    """Something is wrong with a study directory."""


class NotAStudy(StudyError):
    """There is no event log in this directory."""


class StudyElsewhere(StudyError):
    """The study that a pickle points to was moved or deleted, or another study is there."""


class NotAPointer(StudyError, TypeError):
    """A file is no pickle of a graph of ours; it was not executed. A TypeError too, as in Maestro."""


class DamagedLog(StudyError):
    """The log can't be read as one, or a row of it was changed by another hand. `details` say where, for programs."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class InvalidTransition(StudyError):
    """An event can't follow from the state before it: a decision on old state, or a log that was changed."""


class NewerLog(StudyError):
    """The log was written by a later version of maestro-es."""


class LogUnavailable(StudyError):
    """The log can't be read or written now: the disk is full, the file locked or not ours. Nothing was changed."""

    exit_code = EXIT_TRY_AGAIN


class ConcurrentAppend(StudyError):
    """Another process appended to the log first. Nothing was written; read it again and decide again."""

    exit_code = EXIT_TRY_AGAIN


class NotRecordable(StudyError, ValueError, TypeError):
    """An event holds a value that no reader of the log could read. Nothing was written."""


class LogNotUsable(StudyError):
    """This object can't be used: it was closed, or another thread or process opened it. Nothing was changed."""


class NotOurs(StudyError):
    """Another user owns a study directory, or can change it: nothing in it is run, and its log is not opened."""


class StudyCopied(StudyError):
    """This directory is a copy, and the original still holds its log."""


class SchedulerError(MaestroError):
    """Something is wrong with a scheduler or its adapter."""


class UnknownAdapter(SchedulerError, TypeError):
    """No adapter goes by that name. A TypeError too, because Maestro raises one."""


class NoAdapter(SchedulerError, ValueError):
    """No adapter was chosen, so there can be no scripts. A ValueError too, because Maestro raises one."""


class Unreachable(SchedulerError, RuntimeError):
    """A scheduler did not answer, so nothing may be concluded about its jobs. A RuntimeError too, as in Maestro."""

    exit_code = EXIT_TRY_AGAIN


class NotAsked(Unreachable):
    """A scheduler was not asked, because this process can't tell which one has the jobs."""


class TickInProgress(Unreachable):
    """Another process ticks the study, or waits to be the next one that does. Nothing was changed."""


class NothingStarts(Unreachable):
    """The environment of the steps is missing, so none starts. Everything else was done."""


#: What a file system says to whom it does not know, or not any more: NFS with Kerberos, AFS.
_NOT_LET_IN = (errno.EACCES, errno.EPERM, getattr(errno, "EKEYEXPIRED", None))


def describe_error(error: MaestroError | OSError, root: object) -> tuple[int, str]:
    """Return the exit code for what has kept a study from its tick, and what a person must know of it."""
    if isinstance(error, OSError):
        return EXIT_TRY_AGAIN, describe_os_error(error, root)
    line, path = str(error), one_line(str(root))
    return error.exit_code, line if path in line else f"{path}: {line}"


def describe_os_error(error: OSError, path: object) -> str:
    """Return what a person must know of a file system that does not answer, or does not let us in."""
    hint = "; is your ticket for this file system still valid?" if error.errno in _NOT_LET_IN else ""
    return one_line(f"{error.filename or path}: {error.strerror}{hint}")
