"""The import hook. ``import maestrowf`` finds the modules of maestro-es, whether or not Maestro is installed.

A small module replaces each module of Maestro. It imports the counterpart of a name when the name is first used. A
name or module without a counterpart raises an ImportError with a one-line message. `maestro_es.compat.modules` lists
the names with counterparts.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from maestro_es.compat.modules import HOME_OF, MODULES
from maestro_es.study_file.pgen import ROOT, VERSION


def install() -> None:
    """Let every later ``import maestrowf`` find the counterparts.

    ImportError if Maestro itself was imported before.
    """
    if _FINDER in sys.meta_path:
        return
    if any(not isinstance(module, _Counterpart) for module in _loaded()):
        raise ImportError(
            f"{ROOT} is imported already; import maestro_es.compat.as_maestrowf before the first import of {ROOT}",
            name=ROOT,
        )
    sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Undo `install`.

    Counterparts are removed from `sys.modules`, but programs that have imported them can still use them.
    """
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    for module in _loaded():
        if isinstance(module, _Counterpart):
            del sys.modules[module.__name__]


def load_counterparts() -> None:
    """Import all counterparts now, because `sys.path` may later find a user's modules instead."""
    for home in dict.fromkeys(HOME_OF.values()):
        importlib.import_module(home)


def _loaded() -> list[ModuleType]:
    loaded = list(sys.modules.items())
    return [module for name, module in loaded if name.partition(".")[0] == ROOT and module is not None]


class _Counterpart(ModuleType):
    """Replaces a module of Maestro. It looks up names on demand."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a counterpart of any type
        if name not in vars(self).get("__all__", ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(HOME_OF[name]), name)
        vars(self)[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *vars(self).get("__all__", ())})


class _Finder(MetaPathFinder, Loader):
    """Finds and makes the modules below `ROOT`."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - protocol
        target: ModuleType | None = None,  # noqa: ARG002 - protocol
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != ROOT:
            return None
        if fullname.partition(".")[2] not in MODULES:
            # With this name, `from maestrowf.utils import nothing` shows our message, too.
            raise ModuleNotFoundError(_missing(fullname), name=ROOT)
        return ModuleSpec(fullname, self, origin="maestro_es.compat", is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Counterpart(spec.name, f"The counterpart of Maestro {VERSION}'s module of that name.")

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__all__"] = list(MODULES[module.__name__.partition(".")[2]])
        if module.__name__ == ROOT:
            vars(module)["__version__"] = VERSION


def _missing(fullname: str) -> str:
    """Return the message for a module or name without a counterpart. It says where else Maestro has this name."""
    name = fullname.rpartition(".")[2]
    home = next((f"{ROOT}.{path}.{name}".replace("..", ".") for path, names in MODULES.items() if name in names), "")
    return f"maestro-es has no {fullname}" + (f", but it has {home}" if home else "")


_FINDER = _Finder()
