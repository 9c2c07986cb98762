"""Compares a study at two moments.

A difference has two parts. `happened` counts events. For example, a step that failed, was reset and finished is
counted under all three words. `changes` holds the values before and after, and leaves out unchanged ones. Differences
can be combined. `then` adds the counts and joins the changes, so the differences from `a` to `b` and from `b` to `c`
give the difference from `a` to `c`. `maestro_es.cli.diff` prints a difference.
"""

from __future__ import annotations

import copy
import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from maestro_es.audit.as_of import two_moments
from maestro_es.audit.status import reason, states_in_order
from maestro_es.audit.times import When, iso
from maestro_es.core import events as e
from maestro_es.core.file_names import DIFF_SINCE_LAST
from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, Micros, State, StudyRecord, SubmissionKind
from maestro_es.core.reducer import Block
from maestro_es.errors import StudyError
from maestro_es.files import replace_file
from maestro_es.sha256 import sha256
from maestro_es.spool import Spool
from maestro_es.store import status_rows
from maestro_es.store.study_log import StudyLog
from maestro_es.study import registry
from maestro_es.study.layout import StudyDir

#: The events that are counted, and the word for each, in the order in which a report shows them.
WORDS: dict[type[e.Event], str] = {
    e.CancelRequested: "cancel requested",
    e.StudyPaused: "paused",
    e.StudyResumed: "resumed",
    e.StudyRelocated: "moved",
    e.StudyReopened: "reopened",
    e.StudyCompleted: "ended",
    e.RebootDetected: "host rebooted",
    e.TicksMissed: "ticks missed",
    e.PollFailed: "scheduler not answering",
    e.PollRecovered: "scheduler answering again",
    e.StepAdded: "added",
    e.LogRecovered: "log recovered",
    e.StepImported: "taken over",
    e.StepRecovered: "recovered",
    e.SubmissionRequested: "resubmitted",  # if the kind of the request is a resubmission
    e.JobSubmitted: "submitted",
    e.ScriptSetAside: "edited script set aside",
    e.SubmissionRejected: "refused",
    e.SubmissionUncertain: "submission uncertain",
    e.AttemptAbandoned: "given up",
    e.JobDelayed: "delayed",
    e.JobStarted: "started",
    e.StepTimedOut: "timed out",
    e.StepRestarted: "restarted",
    e.HardwareFailed: "hardware failed",
    e.StepFinished: "finished",
    e.StepDryRun: "written",
    e.StepFailed: "failed",
    e.StepCancelled: "cancelled",
    e.StepReset: "reset",
    e.StepSkipped: "skipped",
    e.StepHeld: "held",
    e.StepReleased: "released",
}


#: Yields the number, name and state of each step, and why it did not succeed, if it has ended so.
Outlines = Callable[[Iterable[int]], Iterator[tuple[int, str, State, str]]]

#: How many steps are added to a count at a time.
_MORE = 1000

_RESUBMITTED = WORDS[e.SubmissionRequested]


class Change(NamedTuple):
    """A value before and after."""

    before: Any
    after: Any


class StepDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed for one step: its states (`before` is None if it did not exist), its counts, and why it failed."""

    name: str
    before: State | None
    after: State
    happened: Mapping[str, int]
    why: str

    def then(self, later: StepDiff) -> StepDiff:
        """Combine this difference with a later one."""
        return msgspec.structs.replace(later, before=self.before, happened=_added(self.happened, later.happened))

    def __bool__(self) -> bool:
        return bool(self.happened) or self.before is not self.after


class StepDiffs(Mapping[int, StepDiff]):
    """The differences for many steps, in the order of their numbers, most of them in a file."""

    def __init__(self, pairs: Iterable[tuple[int, StepDiff]]) -> None:
        self._numbers = array("I")
        self._diffs = Spool(self._noted(pairs), StepDiff)

    def _noted(self, pairs: Iterable[tuple[int, StepDiff]]) -> Iterator[StepDiff]:
        for number, step in pairs:
            self._numbers.append(number)
            yield step

    def __getitem__(self, number: int) -> StepDiff:
        at = bisect_left(self._numbers, number)
        if at == len(self._numbers) or self._numbers[at] != number:
            raise KeyError(number)
        return self._diffs[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The difference for a study. Its truth value is False if nothing has changed.

    `changes` holds the changed facts and settings of the study itself, by name. `happened` counts the events about it.
    """

    changes: Mapping[str, Change]
    happened: Mapping[str, int]
    steps: Mapping[int, StepDiff]

    def then(self, later: Diff) -> Diff:
        """Combine this difference with the one that follows it."""
        changes = dict(self.changes)
        for what, (before, after) in later.changes.items():
            changes[what] = Change(changes[what].before if what in changes else before, after)
        steps = {**self.steps}
        for number, step in later.steps.items():
            steps[number] = steps[number].then(step) if number in steps else step
        return Diff(
            changes=_real(changes),
            happened=_added(self.happened, later.happened),
            steps={number: step for number, step in sorted(steps.items()) if step},
        )

    def __bool__(self) -> bool:
        return bool(self.changes or self.happened or self.steps)


class _Tally:
    """Counts words for each step.

    Steps to which the same events have happened share one count, so little memory is needed.
    """

    def __init__(self) -> None:
        self._counts: list[dict[str, int]] = [{}, {}]
        self._next: dict[tuple[int, str], int] = {}
        self._of = array("I")

    def add(self, number: int, word: str | None) -> None:
        """Count a word for a step (None: an event without a word)."""
        if number >= len(self._of):
            self._of.frombytes(bytes(self._of.itemsize * (number + _MORE - len(self._of))))
        kind = self._of[number] or 1
        if word is not None:
            kind = self._next.get((kind, word)) or self._follow(kind, word)
        self._of[number] = kind

    def _follow(self, kind: int, word: str) -> int:
        counts = self._counts[kind]
        self._counts.append({**counts, word: counts.get(word, 0) + 1})
        self._next[kind, word] = len(self._counts) - 1
        return len(self._counts) - 1

    def steps(self) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield the steps with events, by number, and their counts."""
        return ((number, self._counts[kind]) for number, kind in enumerate(self._of) if kind)


class Before(NamedTuple):
    """What a difference needs of the earlier state: the record of the study, and the state of each step by number."""

    study: StudyRecord
    states: bytes

    @classmethod
    def of(cls, graph: Graph) -> Before:
        """Return what a difference needs of a state that may change afterwards."""
        states = bytearray([0])
        for step in graph.steps():
            states.append(step.state.value)
        return cls(copy.deepcopy(graph.study), bytes(states))


class ComparedMoment(NamedTuple):
    """The record of the study after event `seq` (0: before the first event), and the time `at` of the moment."""

    study: StudyRecord
    seq: int
    at: Micros


class Comparison(NamedTuple):
    """The changes between two moments, the `first` and the `last`."""

    diff: Diff
    first: ComparedMoment
    last: ComparedMoment


def compare(log: StudyLog, since: When, until: When | None, now: Micros) -> Comparison:
    """Return the changes between two moments. `until` is None for now. No more than one state is held at a time."""
    from maestro_es.store.past_graph import replay_on, replay_past  # noqa: PLC0415 - for this only

    (after, began), (upto, ended) = two_moments(log, since, until, now)
    past, blocks = replay_past(log, after), log.blocks(after, upto)
    earlier, outlines = Before.of(past), None
    graph: Graph = past
    if upto == log.head.seq:
        del past
        graph = log.graph
        outlines = None if log.in_transaction else partial(status_rows.outlines, log, reason)
    else:
        blocks = replay_on(past, blocks)
    changed = diff(earlier, graph, blocks, outlines)
    return Comparison(
        changed, ComparedMoment(earlier.study, after, began), ComparedMoment(copy.deepcopy(graph.study), upto, ended)
    )


def diff(before: Before, after: Graph, blocks: Iterable[Block], outlines: Outlines | None = None) -> Diff:
    """Return the difference between two states, given the events between them. `after` is read after the last event.

    Pass `outlines` if there is a faster way to get the names and states of steps in the later state than to read their
    whole records.
    """
    happened: Counter[str] = Counter()
    tally = _Tally()
    for block in blocks:
        for number, event in zip(block.steps, block.events, strict=True):
            word = WORDS.get(type(event))
            if word == _RESUBMITTED and event.kind is not SubmissionKind.RESUBMIT:
                word = None
            if number is not None:
                tally.add(number, word)
            elif word:
                happened[word] += 1
    facts, now = _facts(before.study), _facts(after.study)
    steps = _step_diffs(before.states, tally, outlines or partial(outlines_of, after))
    changes = _real({what: Change(facts[what], now[what]) for what in now})
    return Diff(changes=changes, happened=dict(happened), steps=StepDiffs(steps))


def outlines_of(graph: Graph, numbers: Iterable[int]) -> Iterator[tuple[int, str, State, str]]:
    """Yield what `Outlines` describes."""
    for number in numbers:
        step = graph.step(number)
        yield number, step.name, step.state, reason(step) if step.state in BAD_ENDS else ""


def _step_diffs(states: bytes, tally: _Tally, outlines: Outlines) -> Iterator[tuple[int, StepDiff]]:
    counted = tally.steps()
    for number, name, state, why in outlines(number for number, _ in tally.steps()):
        _, happened = next(counted)
        was = State(states[number]) if number < len(states) else None
        step = StepDiff(name=name, before=was, after=state, happened=happened, why=why)
        if step:
            yield number, step


def _facts(study_record: StudyRecord) -> dict[str, Any]:
    """Return those facts about the study itself that a difference compares, by name."""
    named = ("name", "description", "root", "adapter", "paused", "cancelling", "unreachable")
    facts = {what: msgspec.to_builtins(getattr(study_record, what)) for what in named}
    environment = study_record.environment
    steps_have = {
        "variables": environment.variables, "umask": f"{environment.umask:04o}", "limits": environment.limits,
        "nice": environment.nice,
    }  # fmt: skip
    return {"status": study_record.status.name, **facts, **msgspec.structs.asdict(study_record.settings), **steps_have}


def _real(changes: Mapping[str, Change]) -> dict[str, Change]:
    return {what: change for what, change in changes.items() if change.before != change.after}


def _added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(first) + Counter(second))


def diff_data(diff: Diff, first: ComparedMoment, last: ComparedMoment) -> dict[str, Any]:
    """Return a difference for JSON, without its steps. Times are ISO 8601 in UTC, or null before the first event."""
    return {
        "id": last.study.study_id,
        "from": {"seq": first.seq, "time": iso(first.at) if first.seq else None},
        "to": {"seq": last.seq, "time": iso(last.at)},
        "changes": {what: change._asdict() for what, change in diff.changes.items()},
        "happened": diff.happened,
        "states": {
            "before": states_in_order(first.study.states),
            "after": states_in_order(last.study.states),
        },
    }


def steps_data(diff: Diff) -> Iterator[dict[str, Any]]:
    """Yield the differences for the steps, for JSON."""
    for number, step in diff.steps.items():
        states = {"before": step.before and step.before.name, "after": step.after.name}
        yield {"number": number, **msgspec.structs.asdict(step), **states}


# -- which changes a user has seen ------------------------------------------------------------------------------------
#
# The file is replaced atomically. Two commands at the same time show the same changes. A command that is killed leaves
# the note unchanged.


def _cursor_file(study_dir: StudyDir) -> Path:
    """Return the path of the note. It is in the study or, if the user may only read the study, in the user's home."""
    if study_dir.is_ours():
        return study_dir.state / f"{DIFF_SINCE_LAST}.{os.geteuid()}"
    digest = sha256()(os.fsencode(study_dir.root)).hexdigest()[:16]
    return registry.folder().with_name(DIFF_SINCE_LAST) / digest


def read_cursor(study_dir: StudyDir) -> int:
    """Return the last event that this user has seen (0: none). StudyError if the note is damaged."""
    path = _cursor_file(study_dir)
    try:
        return int(path.read_bytes())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: can't be read as an event's number ({error}); remove it to start over") from None


def move_cursor(study_dir: StudyDir, seq: int) -> None:
    """Note that this user has seen all events up to this one. OSError if the note can't be written."""
    path = _cursor_file(study_dir)
    if not study_dir.is_ours():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, f"{seq}\n".encode(), 0o600, durable=True)  # durable: a reader refuses an empty file
