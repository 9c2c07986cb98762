"""Finds the adapter of a batch type, in maestro-es or in another package.

The module of an adapter exports two names. `FACTS` holds the facts about the scheduler that other code needs.
`ADAPTER` is called with a batch block and a host, and returns an `Adapter`. Another package names such a module in an
entry point of the group `maestro_es.adapters`. The name of the entry point is the `batch.type`.
`maestro_es.adapters.schedulers` lists the schedulers of maestro-es itself.

Entry points are looked up only for a type that maestro-es does not have, because this takes a third of the time of a
tick.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from maestro_es.adapters import local, schedulers
from maestro_es.adapters.base import Adapter
from maestro_es.adapters.host import Host
from maestro_es.core.environment import is_name
from maestro_es.core.scheduler_facts import JobEnvironment, SchedulerFacts, Schedulers
from maestro_es.errors import MaestroError, UnknownAdapter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The adapters of maestro-es, each with its module in this package. The module is imported when a study needs it.
ADAPTERS = ("local", *schedulers.WITH_ADAPTER)

#: The signals that a runner passes on to its step.
_SIGNALS = ("TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM")

#: The group of entry points in which other packages name their adapters.
GROUP = "maestro_es.adapters"


def make_adapter(batch: Mapping[str, Any], host: Host) -> Adapter:
    """Return the adapter for the type in a batch block (default: local). UnknownAdapter if there is none."""
    kind = str(batch.get("type") or "local")
    if kind in ADAPTERS:
        adapter: Adapter = _own(kind).ADAPTER(batch, host)
        return adapter
    plug_in = _plug_in(kind)
    if plug_in is None:
        raise UnknownAdapter(f"batch type {kind!r} is unknown; choose one of: {', '.join(sorted(names()))}")
    entry, module = plug_in
    try:
        made = module.ADAPTER(batch, host)
    except MaestroError:
        raise
    except Exception as error:
        raise _broken(entry, f"can't make its adapter: {_named(error)}") from error
    protocol = [*Adapter.__annotations__, *(name for name in vars(Adapter) if name[0] != "_")]
    missing = [name for name in protocol if not hasattr(made, name)]
    if missing:
        raise _broken(entry, f"its adapter lacks {', '.join(missing)}")
    return made  # type: ignore[no-any-return] # its names were just compared


def find_facts(kind: str) -> SchedulerFacts | None:
    """Return the facts of a batch type (None: it has no adapter). UnknownAdapter if its adapter is broken."""
    if kind in ADAPTERS:
        return _facts_of(_own(kind))
    plug_in = _plug_in(kind)
    return _facts_of(plug_in[1]) if plug_in else None


def names() -> tuple[str, ...]:
    """Return the batch types that have an adapter."""
    return (*ADAPTERS, *sorted({entry.name for entry in _entries()} - {*ADAPTERS}))


def jobs_of(kind: str) -> JobEnvironment:
    """Return the `JobEnvironment` of a batch type. For a built-in type, this imports no adapter."""
    if kind in ADAPTERS:
        return schedulers.WITH_ADAPTER.get(kind, JobEnvironment())
    facts = find_facts(kind)
    return facts.jobs if facts else JobEnvironment()


def _built_in() -> Iterator[SchedulerFacts]:
    return (_facts_of(_own(kind)) for kind in ADAPTERS)


#: The facts for the reader of a study file.
SCHEDULERS = Schedulers(find_facts, names, _built_in)


def _own(kind: str) -> ModuleType:
    """Return the module of an adapter: the module with this name, or `adapter` in the package with this name."""
    module = importlib.import_module(f"{__package__}.{kind}")
    return importlib.import_module(f"{module.__name__}.adapter") if hasattr(module, "__path__") else module


def _facts_of(module: ModuleType) -> SchedulerFacts:
    facts: SchedulerFacts = module.FACTS
    return facts


def _entries() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes a third as long as a tick

    return list(entry_points(group=GROUP))


@functools.cache
def _plug_in(kind: str) -> tuple[EntryPoint, ModuleType] | None:
    """Return the module of another package's adapter. UnknownAdapter if it can't be used."""
    by_value = {entry.value: entry for entry in _entries() if entry.name == kind}
    if not by_value:
        return None
    if len(by_value) > 1:
        raise UnknownAdapter(f"batch type {kind!r} has several adapters: {', '.join(by_value)}; uninstall all but one")
    [entry] = by_value.values()
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        raise _broken(entry, f"can't be imported: {_named(error)}") from error
    fault = _fault(entry.name, module)
    if fault:
        raise _broken(entry, fault)
    return entry, module


def _fault(name: str, module: object) -> str:
    """Return what is wrong with the module of an adapter (empty: nothing is wrong)."""
    facts = getattr(module, "FACTS", None)
    if not isinstance(module, ModuleType):
        return f"is not a module, but a {type(module).__name__}"
    if not isinstance(facts, SchedulerFacts):
        return "has no FACTS, which are a maestro_es.core.scheduler_facts.SchedulerFacts"
    if not callable(getattr(module, "ADAPTER", None)):
        return "has no ADAPTER, which is the class of its adapter"
    for field in facts.__struct_fields__:
        value, example = getattr(facts, field), getattr(local.FACTS, field)
        kind = (int, float) if isinstance(example, float) else type(example)
        if not (callable(value) if callable(example) else isinstance(value, kind)):
            return f"its FACTS.{field} is {value!r}"
    return _fault_of_jobs(facts.jobs) or ("" if facts.name == name else f"its FACTS.name is {facts.name!r}")


def _fault_of_jobs(jobs: JobEnvironment) -> str:
    """Return what is wrong with the facts that a runner gets (empty: nothing is wrong)."""
    job_ids: object = jobs.job_ids
    signals: object = jobs.stop_signals
    if not (
        isinstance(job_ids, tuple) and all(isinstance(variable, str) and is_name(variable) for variable in job_ids)
    ):
        return f"its FACTS.jobs.job_ids is {job_ids!r}"
    if not (isinstance(signals, tuple) and all(name in _SIGNALS for name in signals)):
        return f"its FACTS.jobs.stop_signals is {signals!r}"
    return ""


def _broken(entry: EntryPoint, fault: str) -> UnknownAdapter:
    package = f", of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    return UnknownAdapter(f"the adapter of batch type {entry.name!r} is broken: {entry.value}{package}, {fault}")


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
