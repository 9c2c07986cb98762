"""Answers questions about a study. Each module is imported at its first use, because few answers need all modules."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_es.audit import (
        blame,
        consistent_view,
        diagram,
        diff,
        edits,
        history,
        status,
        step_details,
        step_output,
    )
    from maestro_es.audit.why import explain, failures

#: The modules of the subpackage `why`.
_OF_WHY = ("explain", "failures")

__all__ = [
    "blame",
    "chronicle",
    "consistent_view",
    "diagram",
    "diff",
    "edits",
    "explain",
    "failures",
    "history",
    "status",
    "step_details",
    "step_output",
]


def __getattr__(name: str) -> ModuleType:
    """Import a module of this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{'why.' if name in _OF_WHY else ''}{name}")
