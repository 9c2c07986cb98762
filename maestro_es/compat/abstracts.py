"""Maestro's abstract classes and enumerations for programs. maestro-es itself does not need them."""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from maestro_es.execution_graph.dag import NodeGraph as Graph

__all__ = ["Graph", "Record", "Singleton", "StepPriority", "SubmissionCode", "abstractclassmethod"]


class abstractclassmethod(classmethod):  # type: ignore[type-arg] # noqa: N801 - Maestro's name
    """Marks a class method that a derived class must define."""

    def __init__(self, method: Callable[..., Any]) -> None:
        super().__init__(abstractmethod(method))


class _OneOfAKind(type):
    _made: ClassVar[dict[type, Any]] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as any class
        if cls not in cls._made:
            cls._made[cls] = super().__call__(*args, **kwargs)
        return cls._made[cls]


class Singleton(metaclass=_OneOfAKind):
    """A class with one object. Each call returns this object."""


class Record:
    """Values by name."""

    def __init__(self) -> None:
        self._info: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - of any kind
        """Return the value with this name, or the default."""
        return self._info.get(key, default)


class SubmissionCode(enum.Enum):
    """Whether a scheduler has accepted a submission."""

    OK = 0
    ERROR = 1


class StepPriority(enum.Enum):
    """The priority of a step."""

    HELD = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    EXPEDITE = 5

    @classmethod
    def from_str(cls, priority: str) -> StepPriority:
        """Return the priority for a word of a study file, in any case. ValueError if the word is not a priority."""
        word = "EXPEDITE" if priority.upper() == "EXPEDITED" else priority.upper()
        if word not in cls.__members__:
            raise ValueError(f"priority {priority!r} is unknown; choose one of: {', '.join(cls.__members__)}")
        return cls[word]
