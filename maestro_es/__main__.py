"""The command line as a process: ``maestro-es``, ``python -m maestro_es``, and this file by its path.

What stands on top must not import what the user may have a module of: see `maestro_es.import_path`.
"""

import _signal  # type: ignore[import-not-found]  # compiled in, while `signal` may be a user's

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # until `run`; `bin/maestro-es` does it earlier
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

if not __package__:  # started by its path, with -I: nothing says yet where the package is
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_es import import_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_INTERRUPTED = 130  # as shells say it
_TRY_AGAIN = 75


def run() -> None:
    """Run the command line, and end this process with its exit code."""
    if _signal.getsignal(_signal.SIGINT) in {_signal.default_int_handler, _signal.SIG_DFL}:
        _signal.signal(_signal.SIGINT, _interrupted)
    import_path.clean()
    is_tick = sys.argv[1:2] == ["tick"]
    main = _load(is_tick=is_tick)
    try:
        main()
    except KeyboardInterrupt:  # the second one, while the first was told
        _interrupted()
    except SystemExit as left:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # all is done
        if not is_tick:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(left.code if isinstance(left.code, int) else 0)  # a third of a tick would be taking things apart


def _interrupted(*_: object) -> "NoReturn":
    """End at once: nothing was begun. A command that has begun something is told by KeyboardInterrupt."""
    _end("interrupted", _INTERRUPTED)


def _end(message: str, code: int) -> "NoReturn":
    try:
        os.write(2, f"maestro-es: {message}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _load(*, is_tick: bool) -> "Callable[[], None]":
    """Import the front door. The system may have no memory or no files to give for that."""
    try:
        if is_tick:
            _prepare_tick()
        from maestro_es.cli.main import main
    except ImportError as error:
        _end(f"a part of it can't be loaded: {error}", 1)
    except MemoryError:
        _end("there is not enough memory to start", _TRY_AGAIN)
    except OSError as error:
        _end(f"can't start: {error.filename or 'a file'}: {error.strerror}", _TRY_AGAIN)
    return main


def _prepare_tick() -> None:
    """Do without what takes a third of a process of some milliseconds: looking for garbage, and some imports."""
    import gc

    gc.disable()
    from maestro_es.stand_ins import import_lightly

    import_lightly()


if __name__ == "__main__":
    run()
