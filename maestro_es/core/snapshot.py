"""The form in which programs get the state: copies that reject assignment at all levels.

Only the reducer may change state. If a program could change a record, the next tick would save the change without any
event. The types of the copies are subtypes of the live types. So annotations and comparisons stay valid, and the
reducer does not become slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from msgspec import Struct, structs

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import StepRecord, StudyRecord

_MESSAGE = "the state is read-only; only events change a study: call the methods of ExecutionGraph"


class ReadOnlyStep(StepRecord, array_like=False):
    """A read-only record of a step."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} can't be set: {_MESSAGE}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name} can't be deleted: {_MESSAGE}")


class ReadOnlyStudy(StudyRecord):
    """A read-only record of a study."""

    __setattr__ = ReadOnlyStep.__setattr__
    __delattr__ = ReadOnlyStep.__delattr__


def refuse(*_: object, **__: object) -> NoReturn:
    """Refuse a change: TypeError."""
    raise TypeError(_MESSAGE)


class ReadOnlyDict(dict[str, Any]):
    """A read-only dictionary."""

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A read-only list."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = refuse
    append = clear = extend = insert = pop = remove = reverse = sort = refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def frozen(value: Any) -> Any:  # noqa: ANN401 - whatever an event holds
    """Return a value with read-only copies of its dictionaries and lists, including those in its frozen structs."""
    if isinstance(value, dict):
        return ReadOnlyDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return ReadOnlyList(map(frozen, value))
    if isinstance(value, Struct):
        changed = {
            name: frozen(item) for name, item in structs.asdict(value).items() if isinstance(item, (dict, list))
        }
        return structs.replace(value, **changed) if changed else value
    return value


def read_only(step: StepRecord) -> StepRecord:
    """Return a read-only copy of a record."""
    copy = ReadOnlyStep(*structs.astuple(step))
    structs.force_setattr(copy, "workspaces", frozen(step.workspaces))  # all other fields are immutable
    return copy


class Snapshot(MemoryGraph):
    """A read-only graph: the study at one moment."""

    def __init__(self, graph: MemoryGraph) -> None:
        study = ReadOnlyStudy(*map(frozen, structs.astuple(graph.study)))
        records = {step.number: read_only(step) for step in graph.steps()}
        templates = {template.name: _template(template) for template in graph.templates()}
        vars(self).update(vars(graph), study=study, records=records, _templates=templates)

    add = save = connect = disconnect = add_template = count_unfinished = join_funnel = refuse

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} can't be set: {_MESSAGE}")


class ReadOnlyGraph:
    """A read-only view of a live graph. It copies only the objects that it returns."""

    add = save = connect = disconnect = add_template = count_unfinished = join_funnel = refuse

    def __init__(self, graph: Graph) -> None:
        vars(self)["_graph"] = graph

    @property
    def study(self) -> StudyRecord:
        """A copy of the record of the study."""
        return ReadOnlyStudy(*map(frozen, structs.astuple(self._graph.study)))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of the graph
        if name.startswith("_") or not hasattr(Graph, name):
            raise AttributeError(f"a graph has no {name!r}")
        method = getattr(self._graph, name)
        return lambda *args, **options: _copied(method(*args, **options))

    __setattr__ = ReadOnlyStep.__setattr__
    __delattr__ = ReadOnlyStep.__delattr__


def _copied(value: Any) -> Any:  # noqa: ANN401 - whatever a graph returns
    """Return a read-only copy of a value that a graph has returned. A list stays a normal list, because it is new."""
    if isinstance(value, StepRecord):
        return read_only(value)
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return map(_copied, value) if isinstance(value, Iterator) else frozen(value)


def _template(template: StepTemplateAdded) -> StepTemplateAdded:
    copy: StepTemplateAdded = frozen(template)
    return copy
