"""Which adapters there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from maestro_es.adapters.base import Adapter
from maestro_es.adapters.flux import FluxAdapter
from maestro_es.adapters.local import LocalAdapter
from maestro_es.adapters.lsf import LsfAdapter
from maestro_es.adapters.process import Host
from maestro_es.adapters.slurm import SlurmAdapter
from maestro_es.errors import UnknownAdapter

#: Adapters by their `batch.type`.
ADAPTERS: dict[str, Callable[[Mapping[str, Any], Host], Adapter]] = {
    "local": LocalAdapter,
    "slurm": SlurmAdapter,
    "lsf": LsfAdapter,
    "flux": FluxAdapter,
}


def make_adapter(batch: Mapping[str, Any], host: Host) -> Adapter:
    """Return the adapter that a batch block asks for; local if it says nothing. UnknownAdapter if there is none."""
    kind = str(batch.get("type") or "local")
    if kind not in ADAPTERS:
        raise UnknownAdapter(f"batch type {kind!r} is unknown; known are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[kind](batch, host)
