"""Upcasts: how a payload of an older version becomes one of the next, so that the logs of all releases stay readable.

Old rows are never rewritten. They are lifted as they are read, one version after the other, to the one of `VERSIONS`,
and all that reads events knows that one alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maestro_es.core.events import VERSIONS

#: By type and version: what makes a payload of the next version from one of this.
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


def upcast(name: str, version: int, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload of a version as the present one has it."""
    for older in range(version, VERSIONS[name]):
        payload = UPCASTS[name, older](payload)
    return payload
