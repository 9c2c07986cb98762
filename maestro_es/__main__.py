"""The command line as a process: ``maestro-es``, and ``python -m maestro_es``."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any, NoReturn, cast


def run() -> None:
    """Run the command line, and end this process with its exit code."""
    if sys.argv[1:2] == ["tick"]:
        _run_briefly()
    from maestro_es.cli.main import main  # noqa: PLC0415 - not before the above

    main()


def _run_briefly() -> NoReturn:
    """Do the same for a process of some milliseconds, without what takes a third of them.

    That is looking for garbage, and taking everything apart at the end: the system takes back what a process had. And
    msgspec, which we need, prefers typing_extensions, which is large, to typing, but does with either.
    """
    gc.disable()
    modules = cast("dict[str, Any]", sys.modules)
    absent = "typing_extensions" not in modules
    if absent:
        modules["typing_extensions"] = None  # so that importing it fails
    import msgspec  # noqa: F401, PLC0415 - now

    if absent:
        del modules["typing_extensions"]
    from maestro_es.cli.main import main  # noqa: PLC0415 - not before msgspec

    try:
        main()
    except SystemExit as left:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(left.code if isinstance(left.code, int) else 0)
    raise AssertionError("main ends by leaving")


if __name__ == "__main__":
    run()
