"""Runs Maestro studies on clusters. An event log records every transition. Between two ticks, no process is needed."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know this name; `typing` is not imported, see `maestro_es.import_path`
if TYPE_CHECKING:
    from maestro_es.core.model import State, StudyStatus
    from maestro_es.execution_graph import ExecutionGraph, StudyStep

__all__ = ["ExecutionGraph", "State", "StudyStatus", "StudyStep", "__version__"]

_HOMES = {
    "ExecutionGraph": "maestro_es.execution_graph",
    "StudyStep": "maestro_es.execution_graph",
    "State": "maestro_es.core.model",
    "StudyStatus": "maestro_es.core.model",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that a tick does not import it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - likewise

    return getattr(importlib.import_module(_HOMES[name]), name)
