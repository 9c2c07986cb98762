"""Views of the names of the steps in some state. Each access reads the present state of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, overload

from maestro_es.core.model import Phase, State
from maestro_es.execution_graph.base import refreshed
from maestro_es.execution_graph.pickling import view_pickle
from maestro_es.study.session import Session

_Name = TypeVar("_Name")


class StepNames(AbstractSet[str]):
    """The names in `first`, and the names of the steps in any of the `phases` and any of the `states`.

    It is a read-only set, and equals any other set of the same names. It has the methods of a `frozenset`. Operators
    and methods return a new set, which does not change with the study.
    """

    def __init__(
        self, study: Session, phases: Sequence[Phase], states: Sequence[State], first: tuple[str, ...] = ()
    ) -> None:
        self._study = study
        self._phases = phases
        self._states = states
        self._first = first

    @classmethod
    def _from_iterable(cls, names: Iterable[_Name]) -> set[_Name]:  # the type that operators return
        return set(names)

    def __contains__(self, name: object) -> bool:
        if name in self._first:
            return True
        graph = refreshed(self._study)
        number = graph.number_of(name) if isinstance(name, str) else None
        if number is None:
            return False
        step = graph.step(number)
        return step.phase in self._phases and step.state in self._states

    def __iter__(self) -> Iterator[str]:
        yield from self._first
        yield from self._names()

    def __len__(self) -> int:
        return len(self._first) + len(self._names())

    def __eq__(self, other: object) -> bool:
        return AbstractSet.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment] # as for sets

    def __repr__(self) -> str:
        return repr(set(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return view_pickle(StepNames, self._study, self._phases, self._states, self._first)

    def copy(self) -> set[str]:
        """Return the names as a set."""
        return set(self)

    def union(self, *others: Iterable[_Name]) -> set[str | _Name]:
        """Return the names that are in this set or in any of the others."""
        return set[Any](self).union(*others)

    def intersection(self, *others: Iterable[object]) -> set[str]:
        """Return the names that are in this set and in all others."""
        return set(self).intersection(*others)

    def difference(self, *others: Iterable[object]) -> set[str]:
        """Return the names that are in none of the others."""
        return set(self).difference(*others)

    def symmetric_difference(self, other: Iterable[_Name]) -> set[str | _Name]:
        """Return the names that are in only one of the two sets."""
        return set[Any](self).symmetric_difference(other)

    def issubset(self, other: Iterable[object]) -> bool:
        """Return whether all names are in the other set."""
        return set(self).issubset(other)

    def issuperset(self, other: Iterable[object]) -> bool:
        """Return whether all names of the other set are in this one."""
        return set(self).issuperset(other)

    def _names(self) -> list[str]:
        return refreshed(self._study).names_in(self._phases, self._states)


class ReadySteps(Sequence[str]):
    """The names of the steps that can be submitted, in the order of submission.

    It is a read-only sequence and equals any other sequence of the same names.
    """

    def __init__(self, study: Session) -> None:
        self._study = study

    def copy(self) -> list[str]:
        """Return the names as a list, which does not change with the study."""
        return self._names()

    def __reduce__(self) -> tuple[Any, ...]:
        return view_pickle(ReadySteps, self._study)

    def _names(self) -> list[str]:
        graph = refreshed(self._study)
        held = {step.name for step in graph.held()}
        ready = graph.names_in((Phase.READY,), tuple(State))
        return [name for name in ready if name not in held] if held else ready

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._names()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and not isinstance(other, str) and self._names() == list(other)

    __hash__ = None  # type: ignore[assignment] # as for lists

    def __repr__(self) -> str:
        return repr(self._names())
