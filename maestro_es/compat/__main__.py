"""``python -m maestro_es.compat PROGRAM ARGS...`` lets a program that imports Maestro use maestro-es instead.

PROGRAM is a Python file, or the name of one on the PATH, such as a command that pip has installed. With ``-m``, it is
a module. The program itself is unchanged. Processes that it starts are not affected. A program in such a process needs
the line ``import maestro_es.compat.as_maestrowf``.
"""

from __future__ import annotations

import os.path
import runpy
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from maestro_es.compat.hook import install

_USAGE = "usage: python -m maestro_es.compat PROGRAM [ARGS...]\n       python -m maestro_es.compat -m MODULE [ARGS...]"


def main(arguments: Sequence[str]) -> None:
    """Run the program or module that the arguments name, with the other arguments."""
    if not arguments or arguments[0] in {"-h", "--help"} or arguments == ["-m"]:
        sys.stderr.write(f"{_USAGE}\n")
        raise SystemExit(0 if arguments and arguments[0] in {"-h", "--help"} else 2)
    install()
    if arguments[0] == "-m":
        _check_module(arguments[1])
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    program = arguments[0] if _is_program(arguments[0]) else shutil.which(arguments[0])
    if program is None:
        raise SystemExit(f"{arguments[0] or repr('')}: there is no such program")
    sys.argv = [program, *arguments[1:]]
    sys.path[0] = os.path.dirname(os.path.realpath(program))  # noqa: PTH120 - as Python does for a script
    runpy.run_path(program, run_name="__main__")


def _is_program(path: str) -> bool:
    """Return whether the path is a program, that is, a file or a directory that Python can run."""
    program = Path(path)
    return bool(path) and ((program / "__main__.py").is_file() if program.is_dir() else program.exists())


def _check_module(name: str) -> None:
    """Exit with a one-line message if there is no such module, or if it is a package that can't be run."""
    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = find_spec(name)
    except (ImportError, ValueError) as error:
        raise SystemExit(f"{name or repr('')}: this module can't be run: {error}") from None
    if spec is None:
        raise SystemExit(f"{name or repr('')}: there is no such module")


if __name__ == "__main__":
    main(sys.argv[1:])
