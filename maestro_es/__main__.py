"""Starts the command line: by ``maestro-es``, by ``python -m maestro_es``, or by the path of this file.

The first lines must not import any module that the user's directories may replace (see `maestro_es.import_path`).
"""

import _signal  # type: ignore[import-not-found]  # built in, while `signal` may be a module of the user's

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # until `run`; `bin/maestro-es` does it earlier
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

if not __package__:  # started by its path, with -I: the path of the package is not on sys.path yet
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_es import import_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_INTERRUPTED = 130  # as in shells
_TRY_AGAIN = 75

#: The commands that users and cron call often, and that take milliseconds. They change nothing while they exit.
_SHORT = (["tick"], ["status"])


def run() -> None:
    """Run the command line, and end this process with the exit code of the command."""
    if _signal.getsignal(_signal.SIGINT) in {_signal.default_int_handler, _signal.SIG_DFL}:
        _signal.signal(_signal.SIGINT, _interrupted)
    import_path.clean()
    is_short = sys.argv[1:2] in _SHORT
    main = _load(is_short=is_short)
    try:
        main()
    except KeyboardInterrupt:  # a second Ctrl-C, while the message about the first was printed
        _interrupted()
    except SystemExit as left:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # nothing is left to interrupt
        if not is_short:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(left.code if isinstance(left.code, int) else 0)  # otherwise the clean-up would take a third of a tick


def _interrupted(*_: object) -> "NoReturn":
    """End at once, because nothing has begun. A command that has begun gets a KeyboardInterrupt instead."""
    _end("interrupted", _INTERRUPTED)


def _end(message: str, code: int) -> "NoReturn":
    try:
        os.write(2, f"maestro-es: {message}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _load(*, is_short: bool) -> "Callable[[], None]":
    """Import the command line. This fails if the system lacks memory or open files."""
    try:
        if is_short:
            _do_without()
        from maestro_es.cli.main import main
    except ImportError as error:
        _end(f"a module can't be loaded: {error}", 1)
    except MemoryError:
        _end("there is not enough memory to start", _TRY_AGAIN)
    except OSError as error:
        _end(f"can't start: {error.filename or 'a file'}: {error.strerror}", _TRY_AGAIN)
    return main


def _do_without() -> None:
    """Turn off garbage collection and some imports. They would take a third of the time of a short tick."""
    import gc

    gc.disable()
    from maestro_es.stand_ins import import_lightly

    import_lightly()


if __name__ == "__main__":
    run()
