"""Maestro's modules while a generator runs on a Python without Maestro: those of 1.2.1, by name.

A module or class with a counterpart here is available under its name. Any other name raises an ImportError whose one
line says what to install. Where Maestro is installed, its own modules are used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: The front door to which classes of ours belong that a generator may name. It lies above this package, and only a
#: generator that asks for one of them imports it.
_COMPAT = "maestro_es.compat"
_TOOLS = "maestro_es.study_file.generator_tools"

_CORE = ("Combination", "ExecutionGraph", "ParameterGenerator", "Study", "StudyEnvironment", "StudyStep")
_ENVIRONMENT = ("GitDependency", "PathDependency", "Script", "Variable")

#: The public modules of Maestro 1.2.1, and the names in each of them that have a counterpart.
MODULES: dict[str, tuple[str, ...]] = {
    "": (),
    "abstracts": (),
    "abstracts.abstractclassmethod": (),
    "abstracts.containers": (),
    "abstracts.enums": ("State", "StudyStatus"),
    "abstracts.envobject": (),
    "abstracts.graph": (),
    "abstracts.interfaces": (),
    "abstracts.interfaces.flux": (),
    "abstracts.interfaces.schedulerscriptadapter": (),
    "abstracts.interfaces.scriptadapter": (),
    "abstracts.specification": (),
    "conductor": (),
    "datastructures": (),
    "datastructures.core": _CORE,
    "datastructures.core.executiongraph": ("ExecutionGraph",),
    "datastructures.core.parameters": ("Combination", "ParameterGenerator"),
    "datastructures.core.study": ("Study", "StudyStep"),
    "datastructures.core.studyenvironment": ("StudyEnvironment",),
    "datastructures.dag": (),
    "datastructures.environment": _ENVIRONMENT,
    "datastructures.environment.gitdependency": ("GitDependency",),
    "datastructures.environment.pathdependency": ("PathDependency",),
    "datastructures.environment.script": ("Script",),
    "datastructures.environment.variable": ("Variable",),
    "interfaces": (),
    "interfaces.script": (),
    "interfaces.script.fluxscriptadapter": (),
    "interfaces.script.localscriptadapter": (),
    "interfaces.script.lsfscriptadapter": (),
    "interfaces.script.slurmscriptadapter": (),
    "maestro": (),
    "specification": ("YAMLSpecification",),
    "specification.yamlspecification": ("YAMLSpecification",),
    "utils": (
        "apply_function", "create_dictionary", "create_parentdir", "csvtable_to_dict", "generate_filename",
        "get_duration", "make_safe_path", "round_datetime_seconds",
    ),
}  # fmt: skip

ROOT = "maestrowf"
VERSION = "1.2.1"
_UTILS = f"{ROOT}.utils"


def install_command(package: str) -> str:
    """Return the command that installs a package for the Python that runs us."""
    return f"{sys.executable} -m pip install {package}"


def load_counterparts() -> None:
    """Load our counterparts of Maestro's classes early, because a generator's path may lead to the user's modules."""
    importlib.import_module(_COMPAT)
    importlib.import_module(_TOOLS)


@contextmanager
def maestro_at_hand() -> Iterator[None]:
    """Let ``import maestrowf`` work meanwhile, and leave neither modules nor compiled files behind."""
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    absent = ROOT not in sys.modules and importlib.util.find_spec(ROOT) is None
    made = _modules() if absent else {}
    sys.modules.update(made)
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        for name in made:
            sys.modules.pop(name, None)


def _modules() -> dict[str, ModuleType]:
    made: dict[str, ModuleType] = {}
    for path, names in MODULES.items():
        name = f"{ROOT}.{path}" if path else ROOT
        module = made[name] = _StandIn(name, names)
        parent, _, leaf = name.rpartition(".")
        if parent:
            vars(made[parent])[leaf] = module
    vars(made[ROOT])["__version__"] = VERSION
    return made


class _StandIn(ModuleType):
    """A stand-in for a module of Maestro; it looks up its names on demand."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        super().__init__(name, "Stands in for Maestro while a generator runs.")
        self.__path__: list[str] = []
        self.__all__ = list(names)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever stands under the name
        if name in self.__all__:
            found = getattr(importlib.import_module(_TOOLS if self.__name__ == _UTILS else _COMPAT), name)
            vars(self)[name] = found
            return found
        if name.startswith("__"):
            raise AttributeError(name)
        place = next((path for path, names in MODULES.items() if name in names), "")
        elsewhere = f", but one of {ROOT}.{place}" if place else ""
        raise ImportError(f"there is no {name} of {self.__name__}{elsewhere}", name=ROOT)
