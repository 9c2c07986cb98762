"""What programs are handed of the state rejects assignment, all the way down, and compares like the state."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from maestro_es.core import events as e
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import State
from maestro_es.core.reducer import apply
from maestro_es.core.snapshot import Snapshot, frozen
from tests.unit.core.making import Study


@pytest.fixture
def live() -> MemoryGraph:
    study = Study(adapter={"type": "slurm", "args": {"mem": "1G"}, "list": [[1]]})
    study.add("a", run={"cmd": "x", "depends": ["b"], "args": {"k": [1]}}, workspaces={"b": "b"})
    study.add("b")
    return study.graph


@pytest.fixture
def snapshot(live) -> Snapshot:
    return Snapshot(live)


def parts(value: Any) -> Iterator[Any]:
    """Yield everything that a value is made of."""
    yield value
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from parts(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from parts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from parts(item)


def test_nothing_of_it_can_be_changed(snapshot, live):
    handed_out = [snapshot.study, *snapshot.steps(), *snapshot.templates(), snapshot.step(1), *snapshot.waiting()]
    before = msgspec.json.encode(handed_out)
    found = [part for value in handed_out for part in parts(value)]

    assert {"ReadOnlyStep", "ReadOnlyStudy", "ReadOnlyDict", "ReadOnlyList"} <= {type(part).__name__ for part in found}
    for part in found:
        if isinstance(part, msgspec.Struct):
            for name in part.__struct_fields__:
                with pytest.raises(AttributeError):
                    setattr(part, name, getattr(part, name))
        assert type(part) not in (dict, list)
    assert msgspec.json.encode(handed_out) == before


DICT: list[Callable[[dict[str, Any]], object]] = [
    lambda it: it.__setitem__("a", 1), lambda it: it.__delitem__("a"), lambda it: it.clear(),
    lambda it: it.pop("a"), lambda it: it.popitem(), lambda it: it.setdefault("b", 1), lambda it: it.update(b=1),
    lambda it: it.__ior__({"b": 1}),
]  # fmt: skip
LIST: list[Callable[[list[Any]], object]] = [
    lambda it: it.__setitem__(0, 1), lambda it: it.__delitem__(0), lambda it: it.append(1), lambda it: it.clear(),
    lambda it: it.extend([1]), lambda it: it.insert(0, 1), lambda it: it.pop(), lambda it: it.remove(1),
    lambda it: it.reverse(), lambda it: it.sort(), lambda it: it.__iadd__([1]), lambda it: it.__imul__(2),
]  # fmt: skip


@pytest.mark.parametrize("change", DICT)
def test_a_dictionary_of_it_can_not_be_changed(change: Callable[[Any], object]):
    it = frozen({"a": [1]})
    with pytest.raises(TypeError, match="only events change a study"):
        change(it)
    assert it == {"a": [1]}


@pytest.mark.parametrize("change", LIST)
def test_a_list_of_it_can_not_be_changed(change: Callable[[Any], object]):
    it = frozen([1])
    with pytest.raises(TypeError, match="only events change a study"):
        change(it)
    assert it == [1]


def test_it_is_no_part_of_the_live_state(snapshot, live):
    apply(live, e.Recorded(9, 9, 1, 1, e.StepHeld()))
    live.study.adapter["type"] = "local"
    live.step(1).workspaces["c"] = "c"

    assert not snapshot.step(1).held
    assert snapshot.study.adapter["type"] == "slurm"
    assert snapshot.step(1).workspaces == {"b": "b"}


def test_a_graph_to_be_read_takes_no_event(snapshot):
    with pytest.raises((AttributeError, TypeError), match="only events change a study"):
        apply(snapshot, e.Recorded(9, 9, 1, 1, e.StepHeld()))
    with pytest.raises(AttributeError, match="only events change a study"):
        snapshot.study = None
    with pytest.raises(TypeError, match="only events change a study"):
        snapshot.add_template(snapshot.template("a"))


def test_two_of_one_moment_are_equal(live):
    assert list(Snapshot(live).steps()) == list(Snapshot(live).steps())
    assert Snapshot(live).study == Snapshot(live).study
    assert Snapshot(live).template("a") == live.template("a")


def test_a_copy_of_it_may_be_changed_where_it_is_a_dictionary(snapshot):
    mine = copy.deepcopy(snapshot.study.adapter)
    mine["type"] = "local"
    again = pickle.loads(pickle.dumps(snapshot.template("a").run))  # noqa: S301 - our own
    again["depends"].append("c")

    assert snapshot.study.adapter["type"] == "slurm"
    assert snapshot.step(1).state is State.INITIALIZED
