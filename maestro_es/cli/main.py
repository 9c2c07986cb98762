"""The entry point: calls a command, prints a `MaestroError` in one line, and exits with its code.

Errors of the operating system get one line, too. Any other exception is a bug in maestro-es and shows its traceback.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` is slow to import
import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from maestro_es.errors import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_TRY_AGAIN, MaestroError, SpecError, one_line

#: The errors for resources that a host lacks only for a while.
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)

#: The errors of a file system whose server does not respond, or has forgotten a file because it was restarted.
_NO_ANSWER = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN)


class CleanStream:
    r"""A text stream that escapes control characters as in a Python string, such as ``\x1b``.

    Names, paths and messages come from study files, schedulers and other users. Text with our own colours, and text
    for programs, is written to `exact`. There is no `buffer`, because libraries would use it to bypass this stream.
    """

    def __init__(self, exact: TextIO) -> None:
        self.exact = exact

    def write(self, text: str) -> int:
        """Write a text. Newlines and tabs stay as they are."""
        if not text.replace("\n", "").replace("\t", "").isprintable():
            from maestro_es.report.table import visible  # noqa: PLC0415 - seldom needed

            text = visible(text)
        return self.exact.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.exact, name)


def main() -> None:
    """Run the command line; exits with the code of the command, or with the code of the error that is printed."""
    _open_streams()
    _keep_files()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if the parent process ignores it, exit codes are lost
    try:
        sys.exit(_call(sys.argv[1:]))
    except SpecError as error:
        for warning in error.warnings:
            print(f"maestro-es: warning: {one_line(warning)}", file=sys.stderr)
        _show(str(error))
        sys.exit(error.exit_code)
    except MaestroError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - a bug of ours is raised again
        _refused(error)


def _call(arguments: Sequence[str]) -> Any:  # noqa: ANN401 - what a command returns
    """Call a command. A plain ``tick``, as cron and runners call it, avoids click, which takes long to import."""
    if arguments and arguments[0] == "tick":
        options = {word for word in arguments if word.startswith("-")}
        studies = [Path(word) for word in arguments[1:] if word not in options]
        every, queue = "--all" in options, "--queue" in options
        most = 0 if every else 1 if queue else len(studies)
        plain = options <= {"--all", "--queue"} and not (every and queue) and len(studies) <= most
        if plain and all(map(os.path.isdir, studies)):  # a name of a study is looked up with click
            from maestro_es.cli.run_tick import run_tick  # noqa: PLC0415 - only one of the two is needed

            take_interrupts()
            return run_tick(studies, every=every, queue=queue)
    from maestro_es.cli.commands import run_command  # noqa: PLC0415 - likewise

    return run_command()


def take_interrupts() -> None:
    """Make Ctrl-C raise KeyboardInterrupt from now on. Before, it ends the process at once (`__main__`)."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_streams() -> None:
    """Open closed standard streams on /dev/null. Otherwise another file would get the number of a closed stream."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        pass
    os.close(handle)
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open(encoding="utf-8")
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, CleanStream):
            setattr(sys, name, CleanStream(stream))


def _keep_files() -> None:
    """Let child processes inherit no open files of the parent process, except the standard streams.

    Otherwise a lock on such a file, for example by flock(1) in a crontab, would last until the end of a step.
    """
    with contextlib.suppress(OSError):
        for handle in [int(entry.name) for entry in os.scandir("/dev/fd")]:
            if handle > 2:  # noqa: PLR2004 - standard error
                with contextlib.suppress(OSError):  # the descriptor of the listing itself, which is closed already
                    os.set_inheritable(handle, False)  # noqa: FBT003 - it takes no named argument


def _refused(error: Exception) -> NoReturn:
    """Print one line for an error of the operating system or the host. A bug is raised again."""
    match error:
        case OSError():
            _leave(error)
        case MemoryError():
            _fail("there is not enough memory", EXIT_TRY_AGAIN)
        case ImportError():
            _fail(f"a part of maestro-es can't be loaded: {error}")
        case UnicodeEncodeError() if "\ud800" <= error.object[error.start] <= "\udfff":
            # surrogates, with which Python represents bytes that are not UTF-8
            excerpt = error.object[max(0, error.start - 30) : error.end + 30]
            _fail(f"names and texts must be UTF-8, but this is not: {excerpt!a}; rename it, or correct it")
        case OverflowError() if str(error).startswith("timestamp too large"):  # Python's time ends in April 2262
            _fail("the clock of this host shows a time after the year 2262; set it right", EXIT_TRY_AGAIN)
        case _:
            _blame(error)


def _blame(error: Exception) -> NoReturn:
    """If a changed log can be the cause of an unexpected error, report this log.

    Otherwise raise the error, because it is a bug.
    """
    from maestro_es.study.damage import cause_in_a_log  # noqa: PLC0415 - seldom needed

    cause = cause_in_a_log()
    if cause is None:
        raise error
    _fail(str(cause), cause.exit_code)


def _leave(error: OSError) -> NoReturn:
    """Print the error of the operating system. If the reader of our output has closed it, print nothing."""
    code = EXIT_TRY_AGAIN if error.errno in (*_OUT_OF_RESOURCES, *_NO_ANSWER) else EXIT_ERROR
    if error.filename:
        remedy = _remedy(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else ""
        _fail(f"{error.filename}: {error.strerror}{remedy}", code)
    message = error.strerror or str(error)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so the exit does not fail to flush again
        message = f"standard output can't be written: {message}"
    if isinstance(error, BrokenPipeError):
        sys.exit(EXIT_ERROR)
    _fail(message, code)


def _remedy(path: str) -> str:
    """Return what to do if this path is in the user's list of studies and can't be used (empty: another path)."""
    from maestro_es.study import registry  # noqa: PLC0415 - seldom needed

    with contextlib.suppress(RuntimeError):  # this user has no home directory
        if Path(path).absolute().is_relative_to(registry.folder().parent.absolute()):
            return "; the list of your studies is kept there, and MAESTRO_ES_HOME can name another directory for it"
    return ""


def _fail(message: str, code: int = EXIT_ERROR) -> NoReturn:
    _show(one_line(message))
    sys.exit(code)


def _show(message: str) -> None:
    print(f"maestro-es: {message}", file=sys.stderr)
