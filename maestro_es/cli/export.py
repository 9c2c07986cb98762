"""``maestro-es export``: writes the log as JSON lines. `maestro_es.store.log_export` decides their format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from maestro_es.cli.common import example, study_argument, study_path
from maestro_es.cli.output import exact_output, on_terminal, say, write_lines
from maestro_es.cli.report_file import check_output, output_option
from maestro_es.errors import DamagedLog
from maestro_es.execution_graph.upkeep import MaintainableGraph
from maestro_es.store import log_export, salvage
from maestro_es.store.file_check import not_a_study
from maestro_es.study.layout import StudyDir

#: The largest number of gaps that are listed.
_NAMED = 10


@example("maestro-es export ./pi -o pi.jsonl")
@click.command()
@study_argument
@output_option("The file to write. It is replaced only when the export is complete.")
@click.option("--salvage", "from_damaged", is_flag=True, help="Export the readable part of a damaged log.")
def command(study: Path | None, output: Path | None, *, from_damaged: bool) -> None:
    """Write the event log of STUDY as JSON lines, one event per line. The same log always gives the same bytes.

    Each line contains the digest of its event, so that 'import-log' and 'recover' detect later changes.

    --salvage writes all events whose digests prove that they are intact. For each place where events are damaged or
    missing, it writes one line with the key "damage". This line also contains those events there that can still be
    read but can't be proven intact. The exit code is 1 if any event is missing or could not be proven intact.
    """
    log = StudyDir(study_path(study)).log
    if output:
        check_output(output, log)
    if from_damaged:
        _salvage(log, output)
        return
    _write(MaintainableGraph.export(log.parent), output)


def _salvage(log: Path, output: Path | None) -> None:
    if not log.is_file():
        raise not_a_study(log.parent)
    saved = salvage.salvage(log)
    _write(salvage.lines(saved), output)
    if saved.gaps:
        gaps = [salvage.shown(*gap) for gap in saved.gaps.values()]
        more = f"; and {len(gaps) - _NAMED} more gaps" if len(gaps) > _NAMED else ""
        raise DamagedLog(f"{log}: saved {len(saved.rows)} events; {'; '.join(gaps[:_NAMED])}{more}")
    say(f"maestro-es: {log}: saved all {len(saved.rows)} events", err=True)


def _write(lines: Iterable[str], output: Path | None) -> None:
    if output:
        log_export.write_file(lines, output)
    elif on_terminal():
        write_lines(line.removesuffix("\n") for line in lines)
    else:
        log_export.write(lines, exact_output().buffer)
