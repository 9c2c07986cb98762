"""`PickleInterface`: Maestro's class for objects in files. Only programs need it, because maestro-es uses no pickles.

A pickle can make Python call any function. So this module reads only objects of certain classes: plain types, the data
classes of maestro-es, and classes that the program has derived from these and has imported itself. A pickle can also
set attributes of any object. Here it can set them only for objects of these classes, and never for a class.
"""

from __future__ import annotations

import os
import pickle
import sys
from abc import ABC
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from maestro_es import files
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.study_file.pgen import ROOT

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
#: The enumerations of maestro-es. Their members are shared, so a pickle can't set their attributes.
_WORDS = {
    "maestro_es.compat.abstracts": {"StepPriority", "SubmissionCode"},
    "maestro_es.core.model": {"CancelCode", "JobStatusCode", "State", "StudyStatus"},
}
#: The data classes of maestro-es. Creating an object of these classes has no effects.
_DATA = {
    "maestro_es.compat.abstracts": {"Record"},
    "maestro_es.compat.environment": {"GitDependency", "PathDependency", "StudyEnvironment"},
    "maestro_es.compat.pickles": {"PickleInterface"},
    "maestro_es.compat.specification": {"YAMLSpecification"},
    "maestro_es.compat.staging": {"AddedStep"},
    "maestro_es.compat.step_record": {"StepRecord"},
    "maestro_es.compat.study": {"Study"},
    "maestro_es.compat.study_step": {"StudyStep"},
    "maestro_es.compat.submission": {"CancellationRecord", "SubmissionRecord"},
    "maestro_es.execution_graph.dag": {"DAG"},
    "maestro_es.study_file.parameters": {"Combination", "ParameterGenerator"},
    "maestro_es.study_file.study_environment": {"EnvObject", "Script", "StudyEnvironment", "Variable"},
}
#: The standard method by which pickle sets the attributes of an object.
_SET_ATTRIBUTES: Any = pickle._Unpickler.dispatch[pickle.BUILD[0]]  # noqa: SLF001 - the public class has none
_OURS = "maestro_es"
_REMEDY = "build the study in Python again, and store it with `pickle`"


class PickleInterface(ABC):  # noqa: B024 - so that ExecutionGraph, in a lower layer, can be registered
    """An object that can be written to a file and read again."""

    @classmethod
    def unpickle(cls: type[Kind], path: str | os.PathLike[str]) -> Kind:
        """Read an object. TypeError if it has another class. UnpicklingError if the file can't be read safely."""
        with Path(path).open("rb") as file:
            try:
                value = _Unpickler(file).load()
            except Exception as error:  # noqa: BLE001 - a damaged file can raise any error
                reason = str(error) if isinstance(error, _Refused) else "this is not a whole pickle"
                raise pickle.UnpicklingError(f"{os.fspath(path)}: {reason}; {_REMEDY}") from None
        if not isinstance(value, cls):
            raise TypeError(f"{os.fspath(path)} holds a {type(value).__name__}, not a {cls.__name__}")
        return value

    def pickle(self, path: str | os.PathLike[str]) -> None:
        """Write the object. The file is replaced atomically. After an error, the earlier file is unchanged."""
        files.replace_file(Path(path).resolve(), pickle.dumps(self), 0o666, durable=True)


PickleInterface.register(ExecutionGraph)


class _Refused(pickle.UnpicklingError):
    """The file contains an object that is not read."""


class _Unpickler(pickle._Unpickler):  # noqa: SLF001 - the public class does not let us override `load_build`
    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # noqa: SLF001 - likewise

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401 - a class
        if any(global_name in names.get(module_name, ()) for names in (_PLAIN, _WORDS, _DATA)):
            return super().find_class(module_name, global_name)
        if (module_name, global_name) == ("builtins", "getattr"):
            return _member
        root = module_name.partition(".")[0]
        if root == ROOT:
            raise _Refused(f"this is a pickle of Maestro's, with a {module_name}.{global_name}, which is not read")
        value = getattr(sys.modules.get(module_name), global_name, None)
        if root != _OURS and isinstance(value, type) and _is_of_the_program(value):
            return value
        raise _Refused(f"the file holds a {module_name}.{global_name}, which is not read")

    def load_build(self) -> None:
        """Set the attributes of an object. The standard method would also set the attributes of a class."""
        target, state = self.stack[-2:]
        if not (isinstance(target, UUID) or any(map(_is_data, type(target).__mro__))) or type(state) is not dict:
            raise _Refused(f"the file sets attributes of a {type(target).__name__}, which is not allowed")
        _SET_ATTRIBUTES(self)

    dispatch[pickle.BUILD[0]] = load_build


def _member(kind: object, name: str) -> Enum:
    """Return a member of an enumeration. Python 3.11.0 to 3.11.3 store it as a call of ``getattr``."""
    if isinstance(kind, type) and issubclass(kind, Enum) and name in kind.__members__:
        return kind[name]
    raise _Refused(f"the file reads the attribute {name} of a {type(kind).__name__}, which is not allowed")


def _is_data(kind: type) -> bool:
    return kind.__qualname__ in _DATA.get(kind.__module__, ())


def _is_of_the_program(kind: type) -> bool:
    """Return whether a program has derived the class from a data class of maestro-es."""
    ours = kind.__module__.partition(".")[0] == _OURS
    return not ours and ExecutionGraph not in kind.__mro__ and any(map(_is_data, kind.__mro__))
