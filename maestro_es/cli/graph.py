"""``maestro-es graph``: writes a diagram of a study or a study file. `maestro_es.report.diagrams` draws it."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.audit.diagram import Diagram, diagram_of_plan
from maestro_es.cli.common import example, open_graph
from maestro_es.cli.output import write_data
from maestro_es.cli.report_file import check_output, output_option, write_report
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.diagrams import ENDINGS, FORMATS
from maestro_es.study.layout import StudyDir
from maestro_es.study_file.plan import plan_study

#: A path with one of these extensions is a study file, even if there is no such file.
_SPECS = {".yaml", ".yml"}


@example("maestro-es graph ./pi -o pi.svg", "maestro-es graph examples/monte_carlo_pi/monte_carlo_pi.yaml -f mermaid")
@click.command()
@click.argument("study", required=False, type=click.Path(readable=False, path_type=Path), metavar="[STUDY|SPEC]")
@click.option(
    "-f", "--format", "form", type=click.Choice([*FORMATS]), show_default=False,
    help="The format. The default is the extension of FILE, or dot without FILE.",
)  # fmt: skip
@output_option("Write to this file instead of standard output.")
@click.option(
    "--steps",
    is_flag=True,
    help="Draw all steps, not one box for each step of the study file. Suitable only for small studies.",
)
def command(study: Path | None, form: str | None, output: Path | None, *, steps: bool) -> None:
    """Draw the steps of STUDY, or of the study file SPEC, and the edges between them.

    Each step of the study file is one box, which shows how many of its instances are in each state. A bold edge means
    that a step waits for all instances of another step. The formats are SVG, DOT (for Graphviz) and Mermaid (for
    Markdown).
    """
    form = form or _format_of(output)
    text = FORMATS[form](_diagram(study, output, steps=steps))
    if output:
        write_report([text.encode()], output)
    else:
        write_data(text)


def _diagram(study: Path | None, output: Path | None, *, steps: bool) -> Diagram:
    if study is not None and (study.is_file() or (study.suffix in _SPECS and not study.is_dir())):
        check_output(output or Path(), study, "the study file itself")
        plan = plan_study(study, SCHEDULERS, output=None, timestamp="0")
        return diagram_of_plan(plan.name, plan.events, steps=steps)
    with open_graph(AuditableGraph, study) as graph:
        check_output(output or Path(), StudyDir(graph.path).log)
        return graph.diagram(each_step=steps)


def _format_of(output: Path | None) -> str:
    ending = output.suffix[1:].lower() if output else "dot"
    form = ENDINGS.get(ending, ending)
    if form not in FORMATS:
        raise click.UsageError(
            f"The extension of {output} is not a format. Choose a format with -f: {', '.join(FORMATS)}."
        )
    return form
