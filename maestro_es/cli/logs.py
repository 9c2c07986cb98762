"""``maestro-es logs``: prints the output of steps. `maestro_es.audit.step_output` finds the files."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import click

from maestro_es.audit.step_details import StepDetails, find_steps
from maestro_es.audit.step_output import STREAMS, OutputFile, blocks, last_lines, output_files
from maestro_es.cli.common import COUNT, POSITIVE, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import exact_output, say
from maestro_es.core.model import Phase
from maestro_es.errors import EXIT_ERROR
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.table import clean

#: The pause in seconds before --follow looks at the files again.
_PAUSE = 0.5


@example("maestro-es logs ./pi sample_N.1000.SEED.1 --err --tail 20", "maestro-es logs ./pi 'sample_*' -f")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP...")
@click.option("--out", "streams", multiple=True, flag_value="out", help="Print standard output only.")
@click.option("--err", "streams", multiple=True, flag_value="err", help="Print standard error only.")
@click.option("-n", "--tail", type=COUNT, metavar="N", help="Print only the last N lines of each file.")
@click.option(
    "--attempt",
    type=POSITIVE,
    metavar="N",
    help="Print the output of the N-th attempt instead of the last one.",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Keep printing new output until the steps have ended or you press Ctrl-C."
)
def command(
    arguments: tuple[str, ...], *, streams: tuple[str, ...], tail: int | None, attempt: int | None, follow: bool
) -> None:
    """Print the output of each STEP of STUDY: standard output, then standard error.

    STEP is the name of a step, or a glob. If there are several files, each begins with a line that names the step,
    the attempt and the file.
    """
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1 or not patterns:
        raise click.UsageError("Give one study, and at least one step.")
    if follow and attempt is not None:
        raise click.UsageError("--follow can't be combined with --attempt.")
    printer = _Printer(streams or tuple(STREAMS), tail, attempt)
    with open_graph(AuditableGraph, roots[0]) as graph:
        names = [step.name for step in find_steps(graph.state, patterns)]
        try:
            first, *others = _print_output(graph, names, printer, follow=follow)
        except KeyboardInterrupt:
            if not follow:
                raise
            return
    if not printer.shown:
        of = "" if attempt is None else f" of attempt {attempt}"
        likewise = f"; {len(others)} other steps have none either" if others else ""
        say(f"maestro-es: {first.step.name} has no output{of}: it {first.why}{likewise}", err=True)
        sys.exit(EXIT_ERROR)


def _print_output(
    graph: AuditableGraph, names: Sequence[str], printer: _Printer, *, follow: bool
) -> list[StepDetails]:
    """Print the output of steps. With `follow`, print new output until they have ended. Returns their details."""
    while True:
        details = [graph.show(name) for name in names]
        printer.show(details)
        if not follow or all(one.step.phase is Phase.DONE for one in details):
            return details
        time.sleep(_PAUSE)


class _Source(NamedTuple):
    """A file that is printed, and its step."""

    step: str
    file: OutputFile


class _Printer:
    """Prints each file from the point where it stopped.

    If there are several files, each part begins with a line that names the file. `shown` holds the names of the steps
    that have a file.
    """

    def __init__(self, streams: Sequence[str], tail: int | None, attempt: int | None) -> None:
        self.shown: set[str] = set()
        self._streams, self._tail, self._attempt = streams, tail, attempt
        self._open: dict[_Source, BinaryIO] = {}
        self._last: _Source | None = None
        self._end = b""

    def show(self, details: Sequence[StepDetails]) -> None:
        """Print the output of these steps that is new since the last call."""
        for source, file in self._open.items():  # also files of earlier attempts, which may have a new last line
            self._print(source, blocks(file))
        listed = [
            _Source(one.step.name, file) for one in details for file in output_files(one, self._streams, self._attempt)
        ]
        self.shown.update(source.step for source in listed)
        new = [source for source in listed if source not in self._open]
        for source in new:
            with contextlib.suppress(FileNotFoundError):  # it is being renamed, because the next attempt starts
                self._open[source] = source.file.path.open("rb")
        several = sum(os.fstat(file.fileno()).st_size > 0 for file in self._open.values()) > 1
        for source in new:
            if source in self._open:
                self._print(source, self._first(source), named=several)
        exact_output().buffer.flush()

    def _first(self, source: _Source) -> Iterator[bytes]:
        file = self._open[source]
        return blocks(file) if self._tail is None else iter([last_lines(file, self._tail)])

    def _print(self, source: _Source, parts: Iterator[bytes], *, named: bool = False) -> None:
        out = exact_output().buffer
        for part in filter(None, parts):
            if named or self._last not in (None, source):
                gap = "\n" * (self._last is not None) + "\n" * (self._end not in (b"", b"\n"))
                out.write(f"{gap}{_heading(source)}\n".encode(errors="replace"))
            named, self._last = False, source
            self._end = part[-1:]
            out.write(part)


def _heading(source: _Source) -> str:
    file = source.file
    attempt = f", attempt {file.attempt}" if file.attempt else ""
    return clean(f"==> {source.step}{attempt}: {file.path} <==")
