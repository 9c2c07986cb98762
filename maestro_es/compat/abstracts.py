"""Maestro's abstract classes and enumerations that nothing here needs, for programs that use them."""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from maestro_es.execution_graph.dag import NodeGraph as Graph

__all__ = ["Graph", "Record", "Singleton", "StepPriority", "SubmissionCode", "abstractclassmethod"]


class abstractclassmethod(classmethod):  # type: ignore[type-arg] # noqa: N801 - Maestro's name
    """Marks a class method that a derived class must have."""

    def __init__(self, method: Callable[..., Any]) -> None:
        super().__init__(abstractmethod(method))


class _OneOfAKind(type):
    _made: ClassVar[dict[type, Any]] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as any class
        if cls not in cls._made:
            cls._made[cls] = super().__call__(*args, **kwargs)
        return cls._made[cls]


class Singleton(metaclass=_OneOfAKind):
    """A class with one object: each call returns the same."""


class Record:
    """Values by name."""

    def __init__(self) -> None:
        self._info: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - of any kind
        """Return the value of that name, or the default."""
        return self._info.get(key, default)


class SubmissionCode(enum.Enum):
    """Whether a submission was taken."""

    OK = 0
    ERROR = 1


class StepPriority(enum.Enum):
    """How urgent a step is."""

    HELD = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    EXPEDITE = 5

    @classmethod
    def from_str(cls, priority: str) -> StepPriority:
        """Return a priority by the word of a study file, in capitals or not. ValueError if there is none."""
        word = "EXPEDITE" if priority.upper() == "EXPEDITED" else priority.upper()
        if word not in cls.__members__:
            raise ValueError(f"priority {priority!r} is unknown; known are: {', '.join(cls.__members__)}")
        return cls[word]
