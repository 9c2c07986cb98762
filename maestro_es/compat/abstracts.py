"""Maestro's abstract classes that nothing here needs, for programs that derive from them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar


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
