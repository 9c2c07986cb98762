"""``maestro-es show``: prints the details of one step. `maestro_es.audit.step_details` collects them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from maestro_es.audit.attempts import Attempt
from maestro_es.audit.sentences import listed
from maestro_es.audit.step_details import Files, Neighbour, StepDetails, details_data
from maestro_es.audit.times import When, clock, show_time
from maestro_es.audit.usage import ran, usage_text
from maestro_es.cli.common import at_option, example, open_graph, split_one_step
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import json_option, page_width, write_json, write_lines
from maestro_es.core.model import Micros, State
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.table import labelled, table, wrapped
from maestro_es.study.environment_file import differences

_ATTEMPTS = ("Attempt", "Kind", "Job ID", "Submitted", "Started", "Ended", "Exit", "Outcome", "Token")


@example("maestro-es show ./pi sample_N.1000.SEED.1")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP")
@at_option
@json_option
def command(arguments: tuple[str, ...], when: When | None, *, as_json: bool) -> None:
    """Show everything about one STEP of STUDY: its state and the reason, its attempts, files, parents and children.

    STEP is the name of a step, or a glob that matches only one. With --at, no files are shown, because the log does
    not contain them.
    """
    root, pattern = split_one_step(arguments)
    with open_graph(AuditableGraph, root) as graph:
        past = graph.as_of(when) if when else None
        now = past.at if past else graph.runtime.now()
        details = graph.show(pattern, past, utc=as_json)
    if as_json:
        write_json([details_data(details, now)])
    else:
        write_lines(_lines(details, now, page_width()))


def _lines(details: StepDetails, now: Micros, page: int | None) -> Iterator[str]:
    yield from labelled(
        (*_facts(details, now), *(_files(details.files, details.attempts) if details.files else ())), page
    )
    if details.attempts:
        yield ""
        yield from table(_ATTEMPTS, [_attempt_row(attempt) for attempt in details.attempts], page)
    yield from _usage(details.attempts, page)
    yield from _evidence(details.attempts, page)


def _facts(details: StepDetails, now: Micros) -> Iterator[tuple[str, str]]:
    step = details.step
    end = step.ended_at or (now if step.state is State.RUNNING else None)
    yield "Step", step.name
    yield "Template", step.template + (f": {details.description}" if details.description else "")
    yield "State", step.state.name
    yield "Why", details.why
    yield "Parameters", ", ".join(f"{param.key} = {param.value}" for param in step.params)
    yield "Job ID", step.job_id
    yield "Exit code", "" if step.exit_code is None else str(step.exit_code)
    for label, at in (("Submitted", step.submitted_at), ("Started", step.started_at), ("Ended", step.ended_at)):
        yield label, show_time(at) if at else ""
    yield "Run time", clock((ran(step.started_at, end) or 0) // 1_000_000) if step.started_at and end else ""
    yield "Used", usage_text(step.usage) if step.usage else ""
    yield "Restarts", f"{step.restarts} of {step.restart_limit or 'no limit'}" if step.restarts else ""
    yield "Runs with", details.runs_with
    yield "Environment", _environments(details)
    yield "Waits for", _parents(details)
    yield "Needed by", _names(details.children)
    yield "Workspace", details.path


def _environments(details: StepDetails) -> str:
    """Return the environments of the attempts, and the differences between each and the one before."""
    parts = []
    before = None
    for environment in details.environments:
        numbers = [str(attempt.number) for attempt in details.attempts if attempt.environment == environment.digest]
        of = f"attempt{'s' if numbers[1:] else ''} {', '.join(numbers)}" if numbers else "the next attempt"
        changes = list(differences((before or environment).variables, environment.variables))
        how = "".join(f", {word} {listed(names)}" for word, names in changes)
        parts.append(f"{environment.digest[:8]} ({of}{how})")
        before = environment
    return "; ".join(parts)


def _files(files: Files, attempts: Sequence[Attempt]) -> Iterator[tuple[str, str]]:
    writers = {path: f" (attempt {attempt.number})" for attempt in attempts for path in attempt.outputs}
    for label, paths in (("Script", files.scripts), ("Output", files.outputs), ("Errors", files.errors)):
        for path in paths:
            yield label, path + writers.get(path, "")


def _parents(details: StepDetails) -> str:
    funnels = [
        f"all of {template} ({f'{count} not finished' if count else 'finished'})"
        for template, count in details.funnels.items()
    ]
    return ", ".join(filter(None, (_names(details.parents), *funnels)))


def _names(steps: Sequence[Neighbour]) -> str:
    return listed([f"{step.name} ({step.state})" for step in steps])


def _attempt_row(attempt: Attempt) -> list[str]:
    return [
        str(attempt.number),
        attempt.kind,
        (attempt.job_id or "--") + (" (adopted)" if attempt.adopted else ""),
        show_time(attempt.submitted_at),
        show_time(attempt.started_at),
        ("noticed " if attempt.noticed else "") + show_time(attempt.ended_at),
        "--" if attempt.exit_code is None else str(attempt.exit_code),
        attempt.outcome,
        attempt.token,
    ]


def _usage(attempts: Sequence[Attempt], page: int | None) -> Iterator[str]:
    """Yield lines with the usage of each attempt. The usage of a single attempt is shown with the step instead."""
    known = [(attempt, attempt.usage) for attempt in attempts if attempt.usage]
    if known and len(attempts) > 1:
        yield ""
        yield "Used"
        for attempt, usage in known:
            yield from wrapped(f"attempt {attempt.number}: {usage_text(usage)}", page, "  ")


def _evidence(attempts: Sequence[Attempt], page: int | None) -> Iterator[str]:
    """Yield lines with the evidence of the outcomes."""
    explained = [attempt for attempt in attempts if attempt.evidence]
    if explained:
        yield ""
        yield "Evidence"
    for attempt in explained:
        evidence = ", ".join(f"{item.source}: {item.detail!r}" for item in attempt.evidence)
        yield from wrapped(f"attempt {attempt.number}: {evidence}", page, "  ")
