"""Whatever is asked of a graph, a method returns exactly the events that it has added to the history."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.core.events import Recorded
from maestro_es.errors import RequestRefused

NAMES = st.lists(st.sampled_from(["a", "b", "c", "[bc]", "*"]), min_size=1, max_size=2)

#: A call of a method that returns what it has recorded.
Call = Callable[[ExecutionGraph], Sequence[Recorded]]


def _of_steps(name: str) -> st.SearchStrategy[Call]:
    return NAMES.map(lambda steps: lambda graph: getattr(graph, name)(*steps, reason="why"))


CALLS: st.SearchStrategy[Call] = st.one_of(
    *(_of_steps(name) for name in ("hold", "release", "skip", "retry", "cancel")),
    *(st.just(getattr(ExecutionGraph, name)) for name in ("pause", "resume", "reopen", "tick")),
    st.integers(0, 2).map(lambda limit: lambda graph: graph.update(submission_throttle=limit)),
    st.sampled_from(["x", "y"]).map(lambda value: lambda graph: graph.env({"GREETING": value})),
)


@given(st.lists(CALLS, min_size=1, max_size=8))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_method_returns_what_history_then_shows(calls: list[Call]):
    with (
        tempfile.TemporaryDirectory() as folder,
        ExecutionGraph.create(Path(folder) / "study", dry_run=True) as graph,
        ExecutionGraph.open(Path(folder) / "study") as witness,
    ):
        graph.set_adapter({"type": "local"})
        for name in "abc":
            graph.add_step(name, StudyStep(name, "d", {"cmd": "true"}), name, 0)
        graph.add_connection("a", "b")
        seen = graph.history()[-1].seq
        for call in calls:
            returned: Sequence[Recorded] = []
            with contextlib.suppress(RequestRefused):
                returned = call(graph)
            assert list(returned) == witness.history(after=seen)
            seen += len(returned)
