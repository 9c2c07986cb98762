"""The steps of a graph in Maestro's form: a mapping of names to records, with None for the root ``_source``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, cast

from maestro_es.core.arguments import is_utf8
from maestro_es.core.model import SOURCE
from maestro_es.core.snapshot import refuse
from maestro_es.errors import UnknownStep
from maestro_es.execution_graph.base import refreshed
from maestro_es.execution_graph.pickling import view_pickle
from maestro_es.execution_graph.step_view import StepView
from maestro_es.study.session import Session

#: The value of the root is None. With the cast, programs need no type check at each access.
_NOTHING = cast("StepView", None)


def number_of(study: Session, name: object) -> int | None:
    """Return the number of the step with that name, or None if there is no such step."""
    return refreshed(study).number_of(name) if isinstance(name, str) and is_utf8(name) else None


class ValueView(Mapping[str, StepView]):
    """A read-only view of the steps. Each access reads the present state of the log."""

    def __init__(self, study: Session) -> None:
        self._study = study

    def __getitem__(self, name: str) -> StepView:
        if name == SOURCE:
            return _NOTHING
        number = number_of(self._study, name)
        if number is None:
            raise UnknownStep(f"there is no step {name!r}")
        return StepView(self._study, number)

    def __contains__(self, name: object) -> bool:
        return name == SOURCE or number_of(self._study, name) is not None

    def __iter__(self) -> Iterator[str]:
        yield SOURCE
        yield from (name for _, name, _ in refreshed(self._study).names())

    def __len__(self) -> int:
        return refreshed(self._study).study.steps + 1

    def __reversed__(self) -> Iterator[str]:
        return iter([*self][::-1])

    def copy(self) -> OrderedDict[str, StepView]:
        """Return a dictionary of the present steps. Its records still show the present state."""
        return OrderedDict(self.views())

    def items(self) -> ItemsView[str, StepView]:
        return _Items(self)

    def values(self) -> ValuesView[StepView]:
        return _Values(self)

    def views(self) -> Iterator[tuple[str, StepView]]:
        """Yield all names and records, with one query."""
        yield SOURCE, _NOTHING
        yield from ((name, StepView(self._study, number)) for number, name, _ in refreshed(self._study).names())

    def __repr__(self) -> str:
        return repr(dict(self.views()))

    def __reduce__(self) -> tuple[Any, ...]:
        return view_pickle(ValueView, self._study)

    __setitem__ = __delitem__ = refuse


class _Items(ItemsView[str, StepView]):
    """The items, read with one query."""

    _mapping: ValueView

    def __iter__(self) -> Iterator[tuple[str, StepView]]:
        return self._mapping.views()


class _Values(ValuesView[StepView]):
    """The records, read with one query."""

    _mapping: ValueView

    def __iter__(self) -> Iterator[StepView]:
        return (view for _, view in self._mapping.views())
