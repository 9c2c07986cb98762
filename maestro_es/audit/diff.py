"""Compares a study at two moments.

A difference has two parts. `happened` counts events. For example, a step that failed, was reset and finished is
counted under all three words. `changes` has the values before and after, and leaves out unchanged ones. Differences
can be combined. `then` adds the counts and joins the changes, so the differences from `a` to `b` and from `b` to `c`
give the difference from `a` to `c`. `maestro_es.cli.diff` prints a difference.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from maestro_es.audit.as_of import Past
from maestro_es.audit.status import reason, states_in_order
from maestro_es.audit.times import iso
from maestro_es.core import events as e
from maestro_es.core.file_names import DIFF_SINCE_LAST
from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, State, StudyRecord, SubmissionKind
from maestro_es.core.reducer import Block
from maestro_es.errors import StudyError
from maestro_es.files import replace_file
from maestro_es.sha256 import sha256
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


#: The states by value, and the code for a step that did not exist.
_STATES, _NOT_THERE = {state.value: state for state in State}, 255


#: Yields the number, name and state of each step.
Outlines = Callable[[Iterable[int]], Iterator[tuple[int, str, State]]]

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
    """The differences for many steps, in the order of their numbers, stored in little memory."""

    def __init__(self) -> None:
        self._at: dict[int, int] | None = None
        self._numbers = array("I")
        self._names = bytearray()
        self._ends = array("Q", [0])
        self._states = bytearray()
        self._happened: list[Mapping[str, int]] = []
        self._whys: dict[int, str] = {}

    def append(self, number: int, diff: StepDiff) -> None:
        """Add the difference for a step, whose number is the highest so far."""
        if diff.why:
            self._whys[number] = diff.why
        self._numbers.append(number)
        self._names += diff.name.encode(errors="surrogatepass")
        self._ends.append(len(self._names))
        self._states += bytes((_NOT_THERE if diff.before is None else diff.before.value, diff.after.value))
        self._happened.append(diff.happened)

    def __getitem__(self, number: int) -> StepDiff:
        if self._at is None:
            self._at = {number: at for at, number in enumerate(self._numbers)}
        return self._made(self._at[number])

    def _made(self, at: int) -> StepDiff:
        before, after = self._states[2 * at : 2 * at + 2]
        return StepDiff(
            name=self._names[self._ends[at] : self._ends[at + 1]].decode(errors="surrogatepass"),
            before=None if before == _NOT_THERE else _STATES[before],
            after=_STATES[after],
            happened=self._happened[at],
            why=self._whys.get(self._numbers[at], ""),
        )

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The difference for a study. Its truth value is False if nothing has changed.

    `changes` has the changed facts and settings of the study itself, by name. `happened` counts the events about it.
    """

    changes: Mapping[str, Change]
    happened: Mapping[str, int]
    steps: Mapping[int, StepDiff]

    def then(self, later: Diff) -> Diff:
        """Combine this difference with the one that follows it."""
        changes = dict(self.changes)
        for what, (before, after) in later.changes.items():
            changes[what] = Change(changes[what].before if what in changes else before, after)
        steps = dict(self.steps)
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

    def __init__(self, steps: int) -> None:
        self._counts: list[dict[str, int]] = [{}, {}]
        self._next: dict[tuple[int, str], int] = {}
        self._of = array("I", bytes(4 * (steps + 1)))

    def add(self, number: int, word: str | None) -> None:
        """Count a word for a step (None: an event without a word)."""
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


def diff(before: Graph, after: Graph, blocks: Iterable[Block], outlines: Outlines | None = None) -> Diff:
    """Return the difference between two states, given the events between them.

    Pass `outlines` if there is a faster way to get the names and states of steps in the later state than to read their
    whole records.
    """
    happened: Counter[str] = Counter()
    tally = _Tally(after.study.steps)
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
    return Diff(
        changes=_real({what: Change(facts[what], now[what]) for what in now}),
        happened=dict(happened),
        steps=_step_diffs(before, after, tally, outlines or (lambda numbers: outlines_of(after, numbers))),
    )


def outlines_of(graph: Graph, numbers: Iterable[int]) -> Iterator[tuple[int, str, State]]:
    """Yield the number, name and state of each step."""
    for number in numbers:
        step = graph.step(number)
        yield number, step.name, step.state


def _step_diffs(before: Graph, after: Graph, tally: _Tally, outlines: Outlines) -> StepDiffs:
    diffs = StepDiffs()
    count = before.study.steps
    counted = tally.steps()
    for number, name, state in outlines(number for number, _ in tally.steps()):
        _, happened = next(counted)
        was = before.step(number).state if number <= count else None
        why = reason(after.step(number)) if state in BAD_ENDS else ""
        step = StepDiff(name=name, before=was, after=state, happened=happened, why=why)
        if step:
            diffs.append(number, step)
    return diffs


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


def diff_data(diff: Diff, first: Past, last: Past) -> dict[str, Any]:
    """Return a difference for JSON. Times are ISO 8601 in UTC, or null before the first event."""
    return {
        "id": last.graph.study.study_id,
        "from": {"seq": first.seq, "time": iso(first.at) if first.seq else None},
        "to": {"seq": last.seq, "time": iso(last.at)},
        "changes": {what: change._asdict() for what, change in diff.changes.items()},
        "happened": diff.happened,
        "states": {
            "before": states_in_order(first.graph.study.states),
            "after": states_in_order(last.graph.study.states),
        },
        "steps": [{"number": number, **_step_data(step)} for number, step in diff.steps.items()],
    }


def _step_data(step: StepDiff) -> dict[str, Any]:
    before = step.before and step.before.name
    return {**msgspec.structs.asdict(step), "before": before, "after": step.after.name}


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
