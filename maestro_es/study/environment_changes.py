"""Changes the environment of a study's steps, for ``maestro-es env``.

A step that is submitted after the event gets the new environment. A step in flight keeps its own.

`maestro_es.core.exported_variables` decides which variables ``--export`` selects. `maestro_es.study.environment_file`
writes the values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from maestro_es.adapters import schedulers
from maestro_es.core.environment import RecordedEnvironment, is_name
from maestro_es.core.events import EnvironmentRecorded, NewEvent
from maestro_es.core.exported_variables import (
    Choice,
    ExportChoice,
    is_of_a_process,
    is_of_the_protocol,
    read_export,
    remarks,
)
from maestro_es.core.graph import Graph
from maestro_es.errors import RequestRefused
from maestro_es.study.environment_file import Kept, keep, read, remove_others, what_is_wrong
from maestro_es.study.session import Session
from maestro_es.study.surroundings import Surroundings, surroundings


def refresh(study: Session, export: ExportChoice | None, reason: str) -> tuple[list[NewEvent], list[str]]:
    """Record the environment of this process. Return the new events, and warnings about variables that are left out.

    Without `export`, the earlier ``--export`` applies. A variable that a user has set keeps its value, if the old file
    of values exists.
    """
    warnings: list[str] = []

    def around(recorded: RecordedEnvironment, kept: Kept | None) -> Surroundings:
        current = surroundings(export or _as_before(recorded, kept.variables if kept else {}))
        warnings[:] = remarks(current.choice)
        return current

    return _record(study, around, reason), warnings


def change(
    study: Session, values: Mapping[str, str], names: Iterable[str], unset: Iterable[str], reason: str
) -> list[NewEvent]:
    """Set the variables in `values`, copy those in `names` from this process, and remove those in `unset`.

    RequestRefused if a variable can't be set or does not exist, or if the file with the values can't be used.
    """
    for name in (*values, *names):
        _check(name)
    unknown = [name for name in names if name not in os.environ]
    if unknown:
        raise RequestRefused(f"{', '.join(unknown)}: not set in this shell; write NAME=VALUE")
    new_values = {**values, **{name: os.environ[name] for name in names}}

    def around(recorded: RecordedEnvironment, kept: Kept | None) -> Surroundings:
        if kept is None:
            raise RequestRefused(what_is_wrong(study.dir, recorded))
        missing = sorted(set(unset) - kept.variables.keys())
        if missing:
            raise RequestRefused(f"{', '.join(missing)}: not in the environment; 'maestro-es env' lists the variables")
        before = _as_before(recorded, kept.variables)
        variables = {name: value for name, value in {**kept.variables, **new_values}.items() if name not in set(unset)}
        gone = {*unset, *new_values}
        export = ExportChoice(
            before.everything,
            (*(name for name in before.names if name not in gone), *names),
            {**{name: value for name, value in before.values.items() if name not in gone}, **values},
        )
        choice = Choice(variables, (), (), (), ())
        return Surroundings(choice, export, recorded.umask, recorded.limits, recorded.nice, recorded.job)

    return _record(study, around, reason)


def _check(name: str) -> None:
    if not is_name(name):
        raise RequestRefused(f"{name!r} is not the name of a variable; write NAME or NAME=VALUE")
    if is_of_a_process(name) or is_of_the_protocol(name, schedulers.ALL):
        raise RequestRefused(f"{name} can't be set for the steps, because maestro-es sets it itself")


def _check_values(variables: Mapping[str, str]) -> None:
    """Refuse a NUL in a value. It ends a variable, so the rest of the value would be another variable."""
    for name, value in variables.items():
        if "\0" in name or "\0" in value:
            raise RequestRefused(f"variable {name!r} must not hold a NUL character; remove it")


def _as_before(recorded: RecordedEnvironment, variables: Mapping[str, str]) -> ExportChoice:
    """Return the earlier choice, with the values that a user has set, as far as they are known."""
    choice = read_export(recorded.export)
    names_given = set(recorded.given)
    names = tuple(name for name in choice.names if name not in names_given)
    return ExportChoice(
        choice.everything, names, {name: variables[name] for name in recorded.given if name in variables}
    )


def _record(
    study: Session, around: Callable[[RecordedEnvironment, Kept | None], Surroundings], reason: str
) -> list[NewEvent]:
    """Write the file, append the event, and remove the old file. If nothing has changed, do nothing."""

    def decide(graph: Graph) -> list[NewEvent]:
        recorded = graph.study.environment
        try:
            kept = read(study.dir, recorded) if recorded.digest else None
        except (OSError, ValueError):
            kept = None
        changed = around(recorded, kept)
        _check_values(changed.choice.variables)
        try:
            event = keep(study.dir, changed, reason, kept.salt if kept else "")
        except OSError as error:
            raise RequestRefused(f"{error.filename}: can't be written: {error.strerror}") from error
        return [] if event.environment == recorded else [(None, event)]

    new_events = study.request(decide)
    for _, event in new_events:
        if isinstance(event, EnvironmentRecorded):
            remove_others(study.dir, event.environment.digest)
    return new_events
