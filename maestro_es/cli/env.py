"""``maestro-es env``: shows or changes the environment in which the steps of a study run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from maestro_es.audit.times import When
from maestro_es.cli.common import at_option, example, open_graph, reason_option, study_argument
from maestro_es.cli.exporting import ExportType
from maestro_es.cli.output import json_option, page_width, warn, write_json, write_lines
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.events import EnvironmentRecorded, Recorded
from maestro_es.core.exported_variables import ExportChoice
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph.requesting import RequestableGraph
from maestro_es.report.table import columns, labelled
from maestro_es.study.environment_file import differences, show_limit


@example("maestro-es env ./pi --set OMP_NUM_THREADS=4 --reason 'as on the old host'")
@click.command()
@study_argument
@click.option(
    "--set",
    "assigned",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Set a variable. Without VALUE, use its value in this shell.",
)
@click.option("--unset", multiple=True, metavar="NAME", help="Remove a variable.")
@click.option("--refresh", "refreshed", is_flag=True, help="Use the environment of this shell from now on.")
@click.option(
    "--export",
    type=ExportType(),
    metavar="ALL|NONE|NAME,...",
    help="With --refresh: the variables to use; see 'run --help'.",
)
@click.option("--values", is_flag=True, help="Show the values too.")
@reason_option
@at_option
@json_option
def command(  # noqa: PLR0913 - options for changes and for output
    study: Path | None,
    assigned: tuple[str, ...],
    unset: tuple[str, ...],
    export: ExportChoice | None,
    reason: str,
    when: When | None,
    *,
    refreshed: bool,
    values: bool,
    as_json: bool,
) -> None:
    """Show or change the environment of the steps of STUDY.

    By default the command shows the environment: variables, exported bash functions, umask, soft limits and niceness.
    Unless you have changed it, this is the environment in which you called 'run'. The values of the variables are in a
    private file. The log contains only the names of the variables, and fingerprints that show whether a value has
    changed.

    A change applies to steps that are submitted later. Steps in flight keep their environment.
    """
    if (assigned or unset) and refreshed:
        raise click.UsageError("--refresh records this whole shell; use --set and --unset in another command")
    if export and not refreshed:
        raise click.UsageError("--export needs --refresh")
    if when and (assigned or unset or refreshed or values):
        raise click.UsageError("--at shows only the names of variables, because earlier values are not kept")
    with open_graph(RequestableGraph, study) as graph:
        if assigned or unset or refreshed:
            before = graph.state.study.environment
            if refreshed:
                recorded = graph.env(refresh=True, export=export, reason=reason)
                warn(graph.remarks)
            else:
                texts = {name: value for name, sign, value in (word.partition("=") for word in assigned) if sign}
                names = [word for word in assigned if "=" not in word]
                recorded = graph.env(texts, names=names, unset=unset, reason=reason)
            write_lines(f"{graph.path}: {line}" for line in _changes(before, recorded))
            return
        shown = (graph.as_of(when).graph if when else graph.state).study
        _show(graph, shown.environment, values=values, as_json=as_json, now=when is None)


def _changes(before: RecordedEnvironment, recorded: Sequence[Recorded]) -> Iterator[str]:
    """Yield a line for each change that an event records."""
    after = next((one.event.environment for one in recorded if isinstance(one.event, EnvironmentRecorded)), None)
    if after is None:
        yield "nothing to change"
        return
    changes = list(differences(before.variables, after.variables))
    for word, names in changes:
        yield f"{word}: {', '.join(names)}"
    for what, then, now in (
        ("umask", f"{before.umask:04o}", f"{after.umask:04o}"),
        ("nice", before.nice, after.nice),
        *(
            (f"limit {name}", show_limit(before.limits.get(name)), show_limit(value))
            for name, value in after.limits.items()
        ),
    ):
        if then != now:
            yield f"{what} is {now} now, was {then}"
    if not changes:
        yield f"environment {after.digest[:8]} was written"


def _show(graph: RequestableGraph, recorded: RecordedEnvironment, *, values: bool, as_json: bool, now: bool) -> None:
    looked_into = now and (values or graph.is_ours())  # the group may read the log, but not the values
    environment = graph.environment() if looked_into else None
    if values and environment and not environment.problem:
        variables, title = dict(environment.variables), "Value"
    else:
        variables, title = recorded.variables, "Fingerprint"
    if as_json:
        write_json([_data(recorded, variables)])
    else:
        write_lines(_lines(recorded, variables, title))
    if environment and environment.problem:
        raise RequestRefused(environment.problem)


def _data(recorded: RecordedEnvironment, variables: dict[str, str]) -> dict[str, Any]:
    return {
        "digest": recorded.digest,
        "export": recorded.export,
        "given": list(recorded.given),
        "umask": f"{recorded.umask:04o}",
        "nice": recorded.nice,
        "limits": recorded.limits,
        "variables": variables,
    }


def _lines(recorded: RecordedEnvironment, variables: dict[str, str], title: str) -> Iterator[str]:
    limits = ", ".join(f"{name} {show_limit(value)}" for name, value in recorded.limits.items())
    yield from labelled(
        (
            ("Digest", recorded.digest),
            ("Export", recorded.export),
            ("Given", ", ".join(recorded.given)),
            ("Umask", f"{recorded.umask:04o}"),
            ("Nice", str(recorded.nice)),
            ("Limits", limits),
        ),
        page_width(),
    )
    yield ""
    yield from columns(("Variable", title), [[name, value] for name, value in sorted(variables.items())])
