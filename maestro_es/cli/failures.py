"""Prints the failures of a study. `maestro_es.audit.why.failures` makes the groups."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from maestro_es.audit.sentences import listed
from maestro_es.audit.why.failures import FailureGroup, SharedValues
from maestro_es.report.table import clean, wrapped

#: The number of kinds of failures that are printed.
_GROUPS = 10


def failure_lines(groups: Sequence[FailureGroup], root: Path, page: int | None = None) -> Iterator[str]:
    """Yield lines about the failures of a study: the groups, the parameters of each, and a command that retries it.

    Groups of several templates that ended in the same way are one entry.
    The lines fit a page of this width, except the commands. These are not wrapped, so that users can copy them.
    """
    if not groups:
        return
    failed, dependents = sum(len(group.steps) for group in groups), sum(group.dependents for group in groups)
    others = f"; {_counted(dependents)} not run because of {'it' if failed == 1 else 'them'}" if dependents else ""
    verb = "step has" if failed == 1 else "steps have"
    yield from wrapped(f"{failed} {verb} failed, timed out or been cancelled{others}:", page)
    kinds: dict[tuple[str, str], list[FailureGroup]] = defaultdict(list)
    for group in groups:
        kinds[group.outcome, group.error].append(group)
    ordered = sorted(kinds.values(), key=lambda alike: -sum(len(group.steps) for group in alike))
    for alike in ordered[:_GROUPS]:
        yield from _kind(alike, root, page)
    if len(ordered) > _GROUPS:
        more = f"and {len(ordered) - _GROUPS} more kinds of failures; 'maestro-es why --json' prints all"
        yield from wrapped(more, page, "  ")


def _kind(alike: Sequence[FailureGroup], root: Path, page: int | None) -> Iterator[str]:
    """Yield the lines about groups that ended in the same way. Each group has the steps of another template."""
    first, steps = alike[0], sum(len(group.steps) for group in alike)
    error = f": {first.error}" if first.error else ""
    yield from wrapped(f"{steps} x {first.outcome}{error}", page, "  ")
    facts = [first.steps[0]]
    if steps > 1:
        shared = "; ".join(map(_shared, first.shared)) if len(alike) == 1 else ""
        templates = listed([group.template for group in alike])
        facts = [f"steps of {templates}{', ' if shared else ''}{shared}; the first is {first.steps[0]}"]
    dependents = sum(group.dependents for group in alike)
    if dependents:
        facts.append(f"{_counted(dependents)} not run because of {'it' if steps == 1 else 'them'}")
    for fact in facts:
        yield from wrapped(fact, page, "      ")
    started = next(filter(None, (group.started for group in alike)), "")
    if started:
        yield clean(f"      maestro-es logs {shlex.quote(str(root))} {shlex.quote(started)}")
    selected = dict.fromkeys(word for group in alike for word in group.retry)
    only = ["--failed"] if selected.pop("--failed", "") is None else []
    yield clean(f"      {shlex.join(['maestro-es', 'retry', str(root), *only, *selected])}")


def _counted(count: int) -> str:
    return "1 step was" if count == 1 else f"{count} steps were"


def _shared(shared: SharedValues) -> str:
    return f"{shared.failed} of the {shared.steps} with {shared.parameter} = {listed(shared.values)}"
