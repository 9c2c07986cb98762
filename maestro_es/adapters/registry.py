"""Which adapters there are.

The module of an adapter has two names. `FACTS` is what others need to know about the scheduler. `ADAPTER` is called
with a batch block and a host, and returns an `Adapter`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from maestro_es.adapters.base import Adapter
from maestro_es.adapters.process import Host
from maestro_es.core.scheduler_facts import SchedulerFacts, Schedulers
from maestro_es.errors import UnknownAdapter

#: The batch types, each with its module here. It is imported when a study asks for it: a tick pays for no other one.
ADAPTERS = ("local", "slurm", "lsf", "flux")


def make_adapter(batch: Mapping[str, Any], host: Host) -> Adapter:
    """Return the adapter that a batch block asks for; local if it says nothing. UnknownAdapter if there is none."""
    kind = str(batch.get("type") or "local")
    if kind not in ADAPTERS:
        raise UnknownAdapter(f"batch type {kind!r} is unknown; known are: {', '.join(sorted(ADAPTERS))}")
    adapter: Adapter = _module(kind).ADAPTER(batch, host)
    return adapter


def find_facts(kind: str) -> SchedulerFacts | None:
    """Return the facts of a batch type, None if it has no adapter."""
    return _facts_of(_module(kind)) if kind in ADAPTERS else None


def _built_in() -> Iterator[SchedulerFacts]:
    return (_facts_of(_module(kind)) for kind in ADAPTERS)


#: The facts for the reader of a study file.
SCHEDULERS = Schedulers(find_facts, lambda: ADAPTERS, _built_in)


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"maestro_es.adapters.{kind}")


def _facts_of(module: ModuleType) -> SchedulerFacts:
    facts: SchedulerFacts = module.FACTS
    return facts
