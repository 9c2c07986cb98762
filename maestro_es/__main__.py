"""The command line as a process: ``maestro-es``, ``python -m maestro_es``, and this file by its path.

What stands on top must not import what the user may have a module of: see `maestro_es.import_path`.
"""

import os
import sys

if not __package__:  # started by its path, with -I: nothing says yet where the package is
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_es import import_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def run() -> None:
    """Run the command line, and end this process with its exit code."""
    import_path.clean()
    if sys.argv[1:2] == ["tick"]:
        _run_briefly()
    from maestro_es.cli.main import main

    main()


def _run_briefly() -> "NoReturn":
    """Do the same for a process of some milliseconds, without what takes a third of them.

    That is looking for garbage, and taking everything apart at the end: the system takes back what a process had. And
    msgspec, which we need, prefers typing_extensions, which is large, to typing, but does with either.
    """
    import gc

    gc.disable()
    modules: dict[str, Any] = vars(sys)["modules"]  # where None stands for a module that can't be imported
    absent = "typing_extensions" not in modules
    if absent:
        modules["typing_extensions"] = None  # so that importing it fails
    import msgspec  # noqa: F401 - now

    if absent:
        del modules["typing_extensions"]
    from maestro_es.cli.main import main

    try:
        main()
    except SystemExit as left:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(left.code if isinstance(left.code, int) else 0)
    raise AssertionError("main ends by leaving")


if __name__ == "__main__":
    run()
