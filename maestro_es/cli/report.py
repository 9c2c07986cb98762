"""``maestro-es report``: writes a study as a page for a browser. `maestro_es.report.html_report` writes it."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_graph, study_argument
from maestro_es.cli.output import say_done
from maestro_es.cli.report_file import check_output, output_option, write_report
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.html_report import html_report, report_data
from maestro_es.study.layout import StudyDir


@example("maestro-es report ./pi -o pi.html")
@click.command()
@study_argument
@output_option("The file to write. It is replaced only when the page is complete.", required=True)
def command(study: Path | None, output: Path) -> None:
    """Write STUDY as a page for a browser: one file, which needs no network and no other file.

    The page shows the steps as a diagram, a timeline of all attempts, the failures with the last lines of their
    standard error, a map of the parameters, the use of time and resources, and all events. With a slider, the whole
    page shows the study as of any moment. Whoever gets the file can read the names, parameters and error messages of
    the study.
    """
    with open_graph(AuditableGraph, study) as graph:
        check_output(output, StudyDir(graph.path).log)
        write_report((part.encode() for part in html_report(report_data(graph))), output)
    say_done(f"{output}: written")
