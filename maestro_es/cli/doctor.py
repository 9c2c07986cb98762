"""``maestro-es doctor``: checks whether ticks run, and whether they can advance the studies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from maestro_es.audit.checkup import CheckResult, Level, check_folder, worst
from maestro_es.cli.common import example, located
from maestro_es.cli.output import json_option, page_width, write_json, write_lines
from maestro_es.core.model import StudyStatus
from maestro_es.drivers.tick_report import report
from maestro_es.errors import MaestroError, one_line
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.execution_graph.studies import list_studies
from maestro_es.report.table import wrapped
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import has_log

#: The column in which the text of a result begins.
_TEXT = 23


#: The result if nothing was checked.
_NOTHING = CheckResult(
    Level.OK, "studies", "you have no studies", "'maestro-es doctor DIRECTORY' checks a place for studies"
)


@example("maestro-es doctor", "maestro-es doctor /scratch/you   # may studies be kept here?")
@click.command()
@click.argument("folders", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[STUDY|DIRECTORY]...")
@json_option
def command(folders: tuple[Path, ...], *, as_json: bool) -> None:
    """Check whether ticks run, and whether they can advance your studies. Each check prints one line.

    The checks cover the drivers of ticks on all hosts, the last tick of each running study, file systems, clocks,
    schedulers, locks and the environment of the steps. Without arguments, all your studies are checked. A DIRECTORY
    without a study is checked as a place for studies: several processes try links, locks and renames there.

    The exit code is that of a monitoring plugin: 0 if all is well, 1 after a warning, 2 if something keeps a study
    from advancing or breaks one of its guarantees, 3 if a study can't be read.
    """
    results = [*_results(Runtime(), [located(folder).absolute() for folder in folders], set())] or [_NOTHING]
    if as_json:
        write_json({**result._asdict(), "level": result.level.name} for result in results)
    else:
        page = page_width()
        write_lines(line for result in results for line in _fitted(result_line(result), page))
    sys.exit(worst(results))


def _fitted(line: str, page: int | None) -> Iterator[str]:
    """Yield a result in lines that fit the page."""
    first, *others = wrapped(line[_TEXT:], page and page - _TEXT)
    yield line[:_TEXT] + first
    yield from (" " * _TEXT + other for other in others)


def result_line(result: CheckResult) -> str:
    """Return a result in one line: its level, what was checked, what was seen, and what to do."""
    remedy = f"; {result.remedy}" if result.remedy else ""
    return one_line(f"{result.level.name:9} {result.area:12} {result.text}{remedy}")


def _results(runtime: Runtime, folders: Sequence[Path], checked: set[str]) -> Iterator[CheckResult]:
    try:
        yield from _all_results(runtime, folders, checked)
    except OSError as error:  # a network file system may stop responding at any moment
        text = f"{error.filename or registry.folder()}: {error.strerror}"
        yield CheckResult(
            Level.CRITICAL, "files", text, "check permissions, free space, and the server of this file system"
        )


def _all_results(runtime: Runtime, folders: Sequence[Path], checked: set[str]) -> Iterator[CheckResult]:
    named = set(map(os.path.realpath, folders))
    studies = [one for one in list_studies(runtime) if not folders or os.path.realpath(one.path) in named]
    yield from report(studies, runtime)
    home = registry.folder()
    if not folders and home.is_dir():
        yield from check_folder(home, checked)
    running = [Path(one.path) for one in studies if one.summary and one.summary.status == StudyStatus.RUNNING.name]
    for folder in folders or running:
        if has_log(folder):
            yield from _checkup(folder, runtime, checked)
        else:
            yield from check_folder(folder, checked)


def _checkup(root: Path, runtime: Runtime, checked: set[str]) -> Iterator[CheckResult]:
    try:
        with AuditableGraph.open_ours(root, runtime) as graph:
            yield from graph.checkup(checked)
    except MaestroError as error:
        yield CheckResult(Level.UNKNOWN, "ticks", str(error))
