"""``maestro-es tick --dry``: prints a prediction of the next tick, as text or JSON.

`maestro_es.poller.preview` makes the prediction.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from maestro_es.audit.sentences import describe
from maestro_es.cli.output import page_width, say, write_json, write_lines
from maestro_es.core.arguments import UPDATABLE, WORDS
from maestro_es.core.model import NO_SCHEDULER
from maestro_es.drivers.cron_tick import OK, TRY_AGAIN, WRONG, Outcome
from maestro_es.errors import MaestroError, describe_error
from maestro_es.execution_graph.upkeep import MaintainableGraph, Prediction
from maestro_es.report.fitted import hanging
from maestro_es.report.table import clean, wrapped
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir

_YES_NO = {"yes": 1, "no": 0}


def read_settings(settings: Sequence[str]) -> dict[str, int | str]:
    """Return the assumptions of ``--what-if``: values by setting. UsageError if a setting is unknown."""
    values: dict[str, int | str] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "paused" and value in _YES_NO:
            values[name] = _YES_NO[value]
        elif name == "array" and value in WORDS:
            values[name] = value
        elif name in UPDATABLE and name != "array" and value.isascii() and value.isdigit():
            values[name] = int(value)
        else:
            known = ", ".join(f"{name}={'|'.join(WORDS) if name == 'array' else 'NUMBER'}" for name in UPDATABLE)
            raise click.UsageError(f"--what-if takes {known}, paused=yes or paused=no, not {setting!r}.")
    return values


def show(roots: Sequence[Path], what_if: Mapping[str, int | str], *, as_json: bool) -> int:
    """Print the prediction for each study. Returns the exit code that a tick would have."""
    runtime = Runtime()
    outcome = Outcome()
    for root in roots:
        study_dir = StudyDir(root)
        try:
            prediction = MaintainableGraph.preview(root, what_if, runtime)
        except (MaestroError, OSError) as error:
            outcome.note(*describe_error(error, root))
        else:
            if as_json:
                write_json([_data(study_dir, prediction)])
            else:
                write_lines(_lines(study_dir, prediction))
            outcome.note(TRY_AGAIN if prediction.unreachable else WRONG if prediction.remarks else OK)
    for line in outcome.lines:
        say(f"maestro-es: {line}", err=True)
    return outcome.code


def _data(study_dir: StudyDir, prediction: Prediction) -> dict[str, Any]:
    return {
        "study": str(study_dir.root),
        "events": [
            {
                "step": _name(prediction, step) or None,
                "type": type(event).__name__,
                "what": describe(event, prediction.name_of),
                "data": msgspec.to_builtins(event),
            }
            for step, event in prediction.new_events
        ],
        "claims": [str(path) for path in prediction.claims],
        "commands": [
            {
                "step": _name(prediction, command.step) or None,
                "argv": command.argv,
                **_array(prediction, command.steps),
            }
            for command in prediction.commands
        ],
        "remarks": prediction.remarks,
        "unreachable": prediction.unreachable,
    }


def _array(prediction: Prediction, steps: Sequence[int]) -> dict[str, list[str]]:
    """Return the names of the steps that a command submits as one job array, if it submits one."""
    return {"steps": [prediction.name_of(step) for step in steps]} if steps else {}


def _lines(study_dir: StudyDir, prediction: Prediction) -> Iterator[str]:
    much = f"record {_many(len(prediction.new_events), 'event')} and run {_many(len(prediction.commands), 'command')}"
    yield clean(
        f"{study_dir.root}: the next tick would "
        f"{much if prediction.new_events or prediction.commands else 'record nothing'}"
    )
    rows = [
        [_name(prediction, step), type(event).__name__, describe(event, prediction.name_of)]
        for step, event in prediction.new_events
    ]
    if rows:
        yield ""
        yield from hanging(("Step", "Event", "What"), rows, page_width())
    actions = [
        *(f"claim  {path}" for path in prediction.claims),
        *(f"run    {shlex.join(command.argv)}" for command in prediction.commands),
    ]
    if actions:
        yield ""
        yield from map(clean, actions)
    unreachable = prediction.unreachable.items()
    messages = (
        message if name in NO_SCHEDULER else f"{name} does not answer: {message}" for name, message in unreachable
    )
    for message in (*prediction.remarks, *messages):
        yield from wrapped(message, page_width())


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _name(prediction: Prediction, step: int | None) -> str:
    return prediction.name_of(step) if step else ""
