"""`PickleInterface`: Maestro's class for objects in files, for programs that use it. maestro-es needs no pickles.

A pickle can make Python call any function. So only some classes can be read here: plain types, our classes, and
classes that the program has derived from ours and has imported itself.
"""

from __future__ import annotations

import os
import pickle
import sys
from abc import ABC
from pathlib import Path
from typing import Any, TypeVar

from maestro_es.execution_graph import ExecutionGraph

Kind = TypeVar("Kind", bound="PickleInterface")

#: Python's types that hold values and have no effects.
_PLAIN = {
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath"},
    "uuid": {"UUID"},
}
_OURS = "maestro_es"


class PickleInterface(ABC):  # noqa: B024 - so that ExecutionGraph, which lies below, can be one
    """An object that can be written to a file and read again."""

    @classmethod
    def unpickle(cls: type[Kind], path: str | os.PathLike[str]) -> Kind:
        """Read an object. TypeError if it is of another class. UnpicklingError if the file needs any other class."""
        with Path(path).open("rb") as file:
            value = _Unpickler(file).load()
        if not isinstance(value, cls):
            raise TypeError(f"{os.fspath(path)} holds a {type(value).__name__}, not a {cls.__name__}")
        return value

    def pickle(self, path: str | os.PathLike[str]) -> None:
        """Write the object."""
        with Path(path).open("wb") as file:
            pickle.dump(self, file)


PickleInterface.register(ExecutionGraph)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401 - a class
        if global_name in _PLAIN.get(module_name, ()):
            return super().find_class(module_name, global_name)
        module = sys.modules.get(module_name)
        if module_name.partition(".")[0] == _OURS and module is None:
            value = super().find_class(module_name, global_name)
        else:
            value = getattr(module, global_name, None)
        if isinstance(value, type) and any(base.__module__.partition(".")[0] == _OURS for base in value.__mro__):
            return value
        raise pickle.UnpicklingError(f"the file holds a {module_name}.{global_name}, which is not read")
