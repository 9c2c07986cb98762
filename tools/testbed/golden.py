"""Golden logs: a log that each version has written, and the state that the version derived from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import StepRecord

FOLDER = Path(__file__).parents[2] / "tests" / "data" / "golden"


def _fields(step: StepRecord) -> dict[str, Any]:
    return {**msgspec.to_builtins(msgspec.structs.asdict(step)), "state": step.state.name}


def state_of(graph: MemoryGraph) -> dict[str, Any]:
    """Return the whole state of a graph, for JSON."""
    numbers = range(1, graph.study.steps + 1)
    return {
        "study": msgspec.to_builtins(graph.study),
        "steps": [_fields(step) for step in graph.steps()],
        "parents": [graph.parents(number) for number in numbers],
        "children": [graph.children(number) for number in numbers],
        "funnels": [graph.funnels(number) for number in numbers],
        "templates": {
            template.name: {**msgspec.to_builtins(template), "unfinished": graph.unfinished(template.name)}
            for template in graph.templates()
        },
    }


def same_as_recorded(recorded: Any, now: Any) -> bool:
    """Return whether a state is equal to the recorded one. It may have new fields."""
    if isinstance(recorded, dict):
        return isinstance(now, dict) and all(k in now and same_as_recorded(v, now[k]) for k, v in recorded.items())
    if isinstance(recorded, list):
        return (
            isinstance(now, list)
            and len(recorded) == len(now)
            and all(same_as_recorded(old, new) for old, new in zip(recorded, now, strict=True))
        )
    return bool(recorded == now)
