"""Writes a study as a page in one file, which loads nothing else. `report/page` has its template, style and scripts.

Names and messages may come from anybody, so they must not become markup, style or script: Jinja2 escapes them, the
data is in base64, the scripts set names only as the text of elements, and a browser runs only the scripts and the
style whose digests are in the page (Content-Security-Policy). Control characters, including those that change the
direction of text, become question marks.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import msgspec

import maestro_es
from maestro_es.audit.chronicle import KIND_NUMBERS, Chronicle
from maestro_es.audit.diagram import Diagram, Node
from maestro_es.audit.status import Summary
from maestro_es.audit.step_output import end_of_errors
from maestro_es.audit.times import iso, show_time
from maestro_es.audit.why.failures import FailureGroup
from maestro_es.core.model import StudyStatus, SubmissionKind
from maestro_es.core.walltime import walltime_seconds
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.diagrams import drawn, templates
from maestro_es.report.page_data import page_data
from maestro_es.report.palette import BY_ATTENTION, MARKS, class_of
from maestro_es.report.table import clean

#: The scripts in the order in which they are loaded. The first is a library, the others are one script.
_LIBRARY, _SCRIPTS = "d3.js", ("story.js", "drawing.js", "timeline.js", "map.js", "events.js", "page.js")

#: A page has no diagram of more templates. A program may make a template for each step.
MOST_NODES = 300

#: How many groups of failures a page lists, how many steps of each it names, and how many values of a parameter.
MOST_GROUPS, _NAMED, _VALUES = 50, 12, 10

#: How many lines of standard error a page has for each group.
_ERROR_LINES = 30


class ReportData(msgspec.Struct, frozen=True):
    """The contents of a page. `errors` holds the last lines that the first step of each group of failures wrote.

    `walltimes` holds the walltimes of templates, in seconds.
    """

    summary: Summary
    story: Chronicle
    diagram: Diagram
    failures: Sequence[FailureGroup]
    errors: Sequence[Sequence[str]]
    walltimes: Mapping[str, int]


def report_data(graph: AuditableGraph) -> ReportData:
    """Read the contents of a page from a study."""
    failures = graph.failures()
    story = graph.chronicle()
    state = graph.state
    return ReportData(
        graph.summary(),
        story,
        graph.diagram(),
        failures,
        [end_of_errors(graph.show(group.steps[0]), _ERROR_LINES) for group in failures[:MOST_GROUPS]],
        {name: _walltime(state.template(name).run) for name in story.templates},
    )


def _walltime(run: Mapping[str, Any]) -> int:
    """Return the walltime of a template in seconds; 0 if it has none, or if it depends on a parameter."""
    try:
        return walltime_seconds(run.get("walltime"))
    except ValueError:
        return 0


def html_report(data: ReportData) -> Iterator[str]:
    """Yield the page in parts."""
    summary, story = data.summary, data.story
    style = _style()
    scripts = [_read(_LIBRARY), f'(() => {{\n"use strict";\n{"".join(map(_read, _SCRIPTS))}}})();\n']
    diagram = _with_kinds(data.diagram, story)
    if len(diagram.nodes) > MOST_NODES:
        diagram = Diagram(diagram.name, [], [])
    numbers = _numbers(story, data.failures)
    return (
        templates()
        .get_template("report.html")
        .generate(
            name=clean(summary.name) or "study",
            status=summary.status,
            description=clean(summary.description),
            path=clean(summary.path),
            version=maestro_es.__version__,
            at=show_time(summary.at),
            at_iso=iso(summary.at),
            style=_raw(style),
            style_hash=_digest(style),
            scripts=list(map(_raw, scripts)),
            script_hashes=list(map(_digest, scripts)),
            marks=MARKS,
            class_of=class_of,
            totals={kind: story.kinds.count(number) for kind, number in KIND_NUMBERS.items()},
            diagram=drawn(diagram),
            templates=len(story.templates),
            failures=[
                _failure(group, numbers, errors, summary.path)
                for group, errors in zip(data.failures[:MOST_GROUPS], data.errors, strict=True)
            ],
            more_failures=max(len(data.failures) - MOST_GROUPS, 0),
            data=page_data(story, _others(data, diagram, numbers)),
        )
    )


def _others(data: ReportData, diagram: Diagram, numbers: Mapping[str, int]) -> dict[str, Any]:
    summary, story = data.summary, data.story
    known = {name: at for at, name in enumerate(story.templates)}
    return {
        "start": story.start // 1000,
        "moment": (summary.at - story.start) // 1000 if summary.status == StudyStatus.RUNNING.name else 0,
        "kinds": [{"name": kind, "letter": mark.letter, "css": class_of(kind)} for kind, mark in MARKS.items()],
        "attention": [BY_ATTENTION.index(kind) for kind in MARKS],
        "submissions": [kind.value for kind in SubmissionKind],
        "shellPath": clean(shlex.quote(summary.path)),
        "walltimes": [data.walltimes.get(name, 0) for name in story.templates],
        "nodes": [known[node.name] for node in diagram.nodes],
        "failures": [
            [numbers[step] for step in group.steps if step in numbers] for group in data.failures[:MOST_GROUPS]
        ],
    }


def _with_kinds(diagram: Diagram, story: Chronicle) -> Diagram:
    """Return the diagram with the states of the story, because the study may have continued since it was read."""
    names = list(story.templates)
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for number, template in enumerate(story.steps["template"], 1):
        own, kind = counts[names[template]], story.kind_of_step(number)
        own[kind] = own.get(kind, 0) + 1
    known = [node.name for node in diagram.nodes if node.name in counts]  # others may be new
    nodes = [Node(name, sum(counts[name].values()), counts[name]) for name in known]
    edges = [edge for edge in diagram.edges if edge.parent in counts and edge.child in counts]
    return msgspec.structs.replace(diagram, nodes=nodes, edges=edges)


def _numbers(story: Chronicle, failures: Sequence[FailureGroup]) -> dict[str, int]:
    """Return the index of each failed step, by its name."""
    names = {step for group in failures[:MOST_GROUPS] for step in group.steps}
    return {name: at for at, name in enumerate(story.names) if name in names}


def _failure(group: FailureGroup, numbers: Mapping[str, int], errors: Sequence[str], path: str) -> dict[str, Any]:
    return {
        "steps": group.steps,
        "first": [{"name": clean(step), "index": numbers.get(step, 0)} for step in group.steps[:_NAMED]],
        "more": max(len(group.steps) - _NAMED, 0),
        "outcome": clean(group.outcome),
        "error": clean(group.error),
        "template": clean(group.template),
        "shared": [
            {
                "parameter": clean(shared.parameter),
                "list": clean(", ".join(shared.values[:_VALUES])),
                "failed": shared.failed,
                "steps": shared.steps,
            }
            for shared in group.shared
        ],
        "dependents": group.dependents,
        "errors": list(map(clean, errors)),
        "retry": clean(shlex.join(["maestro-es", "retry", path, *group.retry])),
    }


def _style() -> str:
    """Return the style with the palette. A page on paper is always light."""
    light, dark = (
        ":root { "
        + "; ".join(f"--{name}: {colour}; --on-{name}: {text}" for name, (colour, text) in colours.items())
        + " }"
        for colours in (
            {class_of(kind): (mark.light, mark.on_light) for kind, mark in MARKS.items()},
            {class_of(kind): (mark.dark, mark.on_dark) for kind, mark in MARKS.items()},
        )
    )
    media = f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n@media print {{ {light} }}\n"
    classes = "".join(
        f".letter.{name} {{ background: var(--{name}); color: var(--on-{name}) }}\n"
        f".bar.{name} {{ fill: var(--{name}) }}\n"
        for name in map(class_of, MARKS)
    )
    return media + classes + _read("report.css")


def _read(name: str) -> str:
    return (resources.files("maestro_es.report") / "page" / name).read_text("utf-8")


def _raw(text: str) -> Any:  # noqa: ANN401 - markupsafe.Markup
    """Return the text of a file of this package, which is not escaped."""
    from markupsafe import Markup  # noqa: PLC0415 - for pages only

    return Markup(text)  # noqa: S704 - the text is a file of this package


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
