"""Runs the next tick of a study without its effects, for ``tick --dry``.

It runs the code of `poller.tick` on a copy of the log in memory, with the performer `Preview`. It takes no lock. No
jobs are submitted or cancelled, so the schedulers' answers to this are unknown, and the events for these answers are
missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from maestro_es.core import requests
from maestro_es.core.events import InvocationStarted, NewEvent
from maestro_es.core.graph import Graph
from maestro_es.poller.performers import Preview, PreviewedCommand
from maestro_es.poller.tick import advance
from maestro_es.store.log_copy import PreviewLog
from maestro_es.store.study_log import StudyLog
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session

#: The suffix of the tokens, in place of random characters.
SUFFIX = "dry"


class Prediction(NamedTuple):
    """A prediction of the next tick. It would append `new_events`, create `claims` and run `commands`.

    `remarks` are messages for users. `unreachable` maps schedulers that did not answer to their messages. `names`
    contains the names of all steps.
    """

    new_events: list[NewEvent]
    claims: list[Path]
    commands: list[PreviewedCommand]
    remarks: list[str]
    unreachable: dict[str, str]
    names: Mapping[int, str]

    def name_of(self, step: int) -> str:
        """Return the name of a step."""
        return self.names[step]


def preview(log: StudyLog, root: Path, runtime: Runtime, what_if: Mapping[str, int | str] | None = None) -> Prediction:
    """Return what a tick would do now under the settings in `what_if` (see `requests.update`).

    `what_if` may also contain "paused", with 0 or 1. The errors are those of a tick.
    """
    performer = Preview()
    runtime = structs.replace(runtime, token_suffix=lambda: SUFFIX, on_effect=lambda _name: None)
    with PreviewLog.of(log, runtime.now) as copy, Session(root, runtime, copy) as study:
        for name, value in (what_if or {}).items():
            study.request(partial(_changed, name=name, value=value))
        before = copy.head.seq
        unreachable = advance(study, performer)
        new_events: list[NewEvent] = [
            (recorded.step, recorded.event)
            for recorded in copy.events(after=before)
            if not isinstance(recorded.event, InvocationStarted)
        ]
        names = {number: name for number, name, _ in study.graph.names()}
        return Prediction(new_events, performer.claims, performer.commands, study.remarks, unreachable, names)


def _changed(graph: Graph, name: str, value: int | str) -> list[NewEvent]:
    if name != "paused":
        return requests.update(graph, {name: value})
    if graph.study.paused is bool(value):
        return []
    return requests.pause(graph) if value else requests.resume(graph)
