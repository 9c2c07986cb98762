"""Maestro's modules for a generator, on a Python without Maestro: ours take their place while the generator runs.

Where Maestro is installed, its own modules are used, unless the whole program runs with ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

#: The import hook. It lies above this package, and only a generator needs it.
_HOOK = "maestro_es.compat.hook"

ROOT = "maestrowf"
VERSION = "1.2.1"


def install_command(package: str) -> str:
    """Return the command that installs a package for the Python that runs us."""
    return f"{sys.executable} -m pip install {package}"


def load_counterparts() -> None:
    """Load our counterparts of Maestro's classes early, because a generator's path may lead to the user's modules."""
    _hook().load_counterparts()


def _hook() -> ModuleType:
    return importlib.import_module(_HOOK)


@contextmanager
def maestro_at_hand() -> Iterator[None]:
    """Let ``import maestrowf`` work meanwhile, and leave neither modules nor compiled files behind."""
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    absent = ROOT not in sys.modules and importlib.util.find_spec(ROOT) is None
    if absent:
        _hook().install()
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        if absent:
            _hook().uninstall()
