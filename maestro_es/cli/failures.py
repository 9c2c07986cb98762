"""Prints the failures of a study. `maestro_es.audit.why.failures` makes the groups."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from maestro_es.audit.sentences import listed
from maestro_es.audit.why.failures import FailureGroup, SharedValues
from maestro_es.report.table import clean, wrapped

#: The number of groups that are printed.
_GROUPS = 10


def failure_lines(groups: Sequence[FailureGroup], root: Path, page: int | None = None) -> Iterator[str]:
    """Yield lines about the failures of a study: the groups, the parameters of each, and a command that retries it.

    The lines fit a page of this width, except the commands. These are not wrapped, so that users can copy them.
    """
    if not groups:
        return
    failed, dependents = sum(len(group.steps) for group in groups), sum(group.dependents for group in groups)
    others = f"; {_counted(dependents)} not run because of {'it' if failed == 1 else 'them'}" if dependents else ""
    verb = "step has" if failed == 1 else "steps have"
    yield from wrapped(f"{failed} {verb} failed, timed out or been cancelled{others}:", page)
    for group in groups[:_GROUPS]:
        yield from _group(group, root, page)
    if len(groups) > _GROUPS:
        more = f"and {len(groups) - _GROUPS} more kinds of failures; 'maestro-es why --json' prints all"
        yield from wrapped(more, page, "  ")


def _group(group: FailureGroup, root: Path, page: int | None) -> Iterator[str]:
    error = f": {group.error}" if group.error else ""
    yield from wrapped(f"{len(group.steps)} x {group.outcome}{error}", page, "  ")
    facts = [group.steps[0]]
    if len(group.steps) > 1:
        shared = "; ".join(map(_shared, group.shared))
        facts = [f"steps of {group.template}{', ' if shared else ''}{shared}; the first is {group.steps[0]}"]
    if group.dependents:
        facts.append(f"{_counted(group.dependents)} not run because of {'it' if len(group.steps) == 1 else 'them'}")
    for fact in facts:
        yield from wrapped(fact, page, "      ")
    if group.started:
        yield clean(f"      maestro-es logs {shlex.quote(str(root))} {shlex.quote(group.started)}")
    yield clean(f"      {shlex.join(['maestro-es', 'retry', str(root), *group.retry])}")


def _counted(count: int) -> str:
    return "1 step was" if count == 1 else f"{count} steps were"


def _shared(shared: SharedValues) -> str:
    return f"{shared.failed} of the {shared.steps} with {shared.parameter} = {listed(shared.values)}"
