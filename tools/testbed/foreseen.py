"""Compares the preview of a tick with the tick: the events must be equal, and the preview must change nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.poller.preview import SUFFIX, Prediction, preview
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.session import Session

Picture = dict[str, tuple[object, ...]]


def picture(root: Path) -> Picture:
    """Return the contents and the metadata of a directory, except the access times."""
    found: Picture = {}
    for path in (root, *root.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path)] = (info.st_mode, info.st_ino, info.st_nlink, info.st_mtime_ns, info.st_ctime_ns, content)
    return found


def foreseen(root: Path, runtime: Runtime, what_if: Mapping[str, int] | None = None) -> Prediction:
    """Return the preview of the next tick, and check that it has not changed the study."""
    before = picture(root)
    with open_as_it_is(root, runtime, migrate=False) as log:
        found = preview(log, root, runtime, what_if)
    after = picture(root)
    touched = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not touched, {path: (before.get(path), after.get(path)) for path in touched}
    return found


def new_events_after(root: Path, seq: int) -> list[NewEvent]:
    """Return the events of a study after an event, without their writers and without outcomes of submissions."""
    new_events: list[NewEvent] = []
    before: e.AnyEvent | None = None
    with Session(root) as study:
        for recorded in study.log.events(after=seq):
            event = recorded.event
            ours = isinstance(before, e.JobSubmitted) and not before.adopted and isinstance(event, e.JobStarted)
            answered = isinstance(event, (e.SubmissionUncertain, e.SubmissionWithdrawn)) or (
                isinstance(event, e.JobSubmitted) and not event.adopted
            )
            if not (isinstance(event, e.InvocationStarted) or ours or answered):
                new_events.append((recorded.step, event))
            before = event
    return new_events


def told(new_events: list[NewEvent], suffixes: set[str]) -> list[tuple[int | None, str, object]]:
    """Return events without times. The endings of tokens in `suffixes` count as equal."""
    return [(step, type(event).__name__, _plain(event, suffixes)) for step, event in new_events]


def _plain(event: e.AnyEvent, suffixes: set[str]) -> object:
    fields = msgspec.to_builtins(event)
    fields.pop("at", None)
    head, _, end = fields.get("token", "").rpartition("-")
    suffix, element, place = end.partition("_")
    return {**fields, "token": f"{head}-{SUFFIX}{element}{place}"} if suffix in suffixes else fields
