"""Which adapters there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from maestro_es.adapters.base import Adapter
from maestro_es.adapters.process import Host
from maestro_es.errors import UnknownAdapter

#: The class of each `batch.type`, imported when a study asks for it: a tick pays for no other scheduler.
ADAPTERS = {"local": "LocalAdapter", "slurm": "SlurmAdapter", "lsf": "LsfAdapter", "flux": "FluxAdapter"}


def make_adapter(batch: Mapping[str, Any], host: Host) -> Adapter:
    """Return the adapter that a batch block asks for; local if it says nothing. UnknownAdapter if there is none."""
    kind = str(batch.get("type") or "local")
    if kind not in ADAPTERS:
        raise UnknownAdapter(f"batch type {kind!r} is unknown; known are: {', '.join(sorted(ADAPTERS))}")
    module = importlib.import_module(f"maestro_es.adapters.{kind}")
    adapter: Adapter = getattr(module, ADAPTERS[kind])(batch, host)
    return adapter
