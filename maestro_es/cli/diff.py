"""``maestro-es diff``: prints the changes between two moments. `maestro_es.audit.diff` computes them."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping

import click

from maestro_es.audit.diff import WORDS, ComparedMoment, Comparison, Diff, diff_data, steps_data
from maestro_es.audit.sentences import NAMED, listed
from maestro_es.audit.status import counts
from maestro_es.audit.times import When, parse_when, show_time
from maestro_es.cli.common import example, open_graph, split_arguments
from maestro_es.cli.output import json_option, json_parts, page_width, say, write_data, write_lines, write_parts
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.table import columns, labelled
from maestro_es.study.environment_file import differences, show_limit

#: Facts that the first event of a study sets. A comparison that begins before this event does not show them.
_FIRST_FACTS = frozenset({"name", "description", "root", "adapter", "variables", "umask", "limits", "nice"})


@example("maestro-es diff ./pi 2h")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [T1] [T2]")
@click.option(
    "--since-last",
    is_flag=True,
    help="Show the changes since the last time you used this option. Print nothing if there are none.",
)
@json_option
def command(arguments: tuple[str, ...], *, since_last: bool, as_json: bool) -> None:
    """Show what changed in STUDY between T1 and T2: starts, ends, restarts, added steps and settings.

    T1 and T2 are times (2h, '2026-01-31 14:30') or event numbers. By default, T2 is now.

    This line in your crontab mails you the changes once a day, if there are any:

        0 7 * * * ~/.local/bin/maestro-es diff --since-last ~/pi
    """
    roots, times = split_arguments(arguments)
    if len(roots) > 1 or len(times) not in ((0,) if since_last else (1, 2)):
        raise click.UsageError("Give one study with one or two times, or with --since-last and no time.")
    with open_graph(AuditableGraph, roots[0]) as graph:
        comparison = graph.diff_since_last() if since_last else graph.diff(*map(_parse, times))
        if comparison.diff or not since_last:
            if as_json:
                data = {"path": str(graph.path), **diff_data(*comparison)}
                write_parts(json_parts(data, "steps", steps_data(comparison.diff)), write_data)
            else:
                write_lines(diff_lines(str(graph.path), *comparison))
            sys.stdout.flush()
        if since_last:
            _note(graph, comparison)


def _parse(text: str) -> When:
    try:
        return parse_when(text, time.time_ns() // 1000)
    except ValueError as error:
        raise click.UsageError(f"{error}, or the number of an event") from None


def _note(graph: AuditableGraph, comparison: Comparison) -> None:
    """Note that the user has seen the changes. Print a warning if this fails, unless there were no changes."""
    try:
        graph.note_seen(comparison)
    except OSError as error:
        if comparison.diff:
            where = error.filename or graph.path
            say(f"maestro-es: {where}: {error.strerror}; the next call will show the same changes again", err=True)


def diff_lines(path: str, diff: Diff, first: ComparedMoment, last: ComparedMoment) -> Iterator[str]:
    """Yield lines about the changes between two moments."""
    study_record = last.study
    yield from labelled(
        (
            ("Study", study_record.name or path),
            ("Path", path),
            ("From", f"{show_time(first.at)}, event {first.seq}" if first.seq else "the beginning"),
            ("To", f"{show_time(last.at)}, event {last.seq}"),
            *_changes(diff, () if first.seq else _FIRST_FACTS),
            ("Also", ", ".join(_often(word, diff.happened[word]) for word in _in_order(diff.happened))),
            *_happened(diff),
            ("Steps", counts(study_record.states) if diff else "nothing has changed"),
        ),
        page_width(),
    )
    failed = (step for step in diff.steps.values() if step.why)
    bad = list(itertools.islice(failed, NAMED))
    if bad:
        yield ""
        yield from columns(("Step", "State", "Why"), [(step.name, step.after.name, step.why) for step in bad])
    more = sum(1 for _ in failed)
    if more:
        yield f"and {more} more"


def _changes(diff: Diff, left_out: Container[str]) -> Iterator[tuple[str, str]]:
    for what, (before, after) in diff.changes.items():
        if what in left_out:
            continue
        if what == "variables":
            yield "Variables", "; ".join(f"{word} {listed(names)}" for word, names in differences(before, after))
        elif what == "limits":
            yield "Limits", "; ".join(_limits(before, after))
        else:
            yield what.replace("_", " ").capitalize(), f"{_shown(before)} -> {_shown(after)}"


def _limits(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    """Yield the limits that have changed."""
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield f"{name}: {show_limit(before.get(name))} -> {show_limit(after.get(name))}"


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return "; ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) or "none"
        case _:
            return str(value) or "none"


def _happened(diff: Diff) -> Iterator[tuple[str, str]]:
    """Yield the word for each kind of event, the number of steps with such events, and the first of these steps."""
    numbers: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    for step in diff.steps.values():
        for word, count in step.happened.items():
            numbers[word] += 1
            if numbers[word] <= NAMED:
                first.setdefault(word, []).append(_often(step.name, count))
    for word in _in_order(numbers):
        yield word.capitalize(), f"{numbers[word]}: {listed(first[word], numbers[word])}"


def _in_order(names: Container[str]) -> list[str]:
    """Return the words in the order in which a report shows them."""
    return [word for word in WORDS.values() if word in names]


def _often(what: str, count: int) -> str:
    return what if count == 1 else f"{what} ({count} times)"
