"""Prints the output of commands: lines, pages on a terminal, JSON and CSV for programs."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import click

from maestro_es.errors import one_line

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line, with times in UTC."
)

#: How many lines are printed at a time.
_SOME = 1000


def on_terminal() -> bool:
    """Return whether standard output is a terminal. Only then are colours and a pager used."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return the width of the terminal in columns."""
    import shutil  # noqa: PLC0415 - slow to import

    return shutil.get_terminal_size().columns


def page_width() -> int | None:
    """Return the width of the terminal in columns (None: the output goes to a file or a program)."""
    return terminal_width() if on_terminal() else None


def say(message: str, *, err: bool = False) -> None:
    """Print a message in one line, even if texts in it contain newlines."""
    with outliving(sys.stderr) if err else contextlib.nullcontext():
        click.echo(one_line(message), err=err)


def say_done(message: str) -> None:
    """Print in one line what a command has done. The command succeeds even if standard output can't be written.

    Otherwise a script would assume that the command has failed, and repeat it. The message, and everything after it,
    goes to standard error instead, unless the reader has closed standard output.
    """
    with outliving(sys.stdout):
        try:
            say(message)
        except BrokenPipeError:
            raise
        except OSError:
            _lead_nowhere(sys.stdout)
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            say(message)


@contextlib.contextmanager
def outliving(stream: TextIO) -> Iterator[None]:
    """Ignore errors when a stream is written. After an error, later output to this stream is lost."""
    try:
        yield
    except OSError:
        _lead_nowhere(stream)


def _lead_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    with contextlib.suppress(OSError):
        stream.flush()  # the rest of the message that failed


def confirm(question: str) -> bool:
    """Ask a yes-or-no question in one line."""
    return click.confirm(one_line(question))


def warn(warnings: Iterable[str]) -> None:
    """Print warnings on standard error, one per line."""
    for warning in warnings:
        say(f"maestro-es: warning: {warning}", err=True)


def exact_output() -> TextIO:
    """Return standard output without escaping, for drawn tables and for programs."""
    exact: TextIO = getattr(sys.stdout, "exact", sys.stdout)
    return exact


def exact_errors() -> TextIO:
    """Return standard error without escaping, for codes that move the cursor."""
    exact: TextIO = getattr(sys.stderr, "exact", sys.stderr)
    return exact


def write(text: str, *, exact: bool = False) -> None:
    """Print a text. Characters that the encoding lacks become question marks. If `exact`, control codes are kept."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="replace")
    click.echo(text, nl=False, color=True, file=exact_output() if exact else sys.stdout)


def write_data(text: str) -> None:
    """Print text for programs. It is escaped only if standard output is a terminal."""
    write(text, exact=not on_terminal())


def write_lines(lines: Iterable[str], do: Callable[[str], None] = write) -> None:
    """Print lines in blocks, so that even the longest log needs little memory."""
    write_parts((f"{line}\n" for line in lines), do)


def write_parts(parts: Iterable[str], do: Callable[[str], None] = write) -> None:
    """Print the parts of a text in blocks."""
    rest = iter(parts)
    while some := list(itertools.islice(rest, _SOME)):
        do("".join(some))


def separated(texts: Iterable[str], separator: str) -> Iterator[str]:
    """Yield texts, each after the first one behind a separator."""
    return (f"{separator if index else ''}{text}" for index, text in enumerate(texts))


def write_drawn(text: str) -> None:
    """Print a drawn table, with colours. The caller has escaped the text in its cells."""
    write(text, exact=True)


def write_pages(lines: Iterable[str]) -> None:
    """Show a drawn table in the user's pager, with colours if the pager supports them. Without a terminal, print it.

    As in git, the pager `less` exits at once if the text fits the terminal, unless the user has configured it
    otherwise.
    """
    if not (on_terminal() and sys.stdin.isatty()):
        write_lines(lines, write_drawn)
        return
    os.environ["LESS"] = os.environ.get("LESS") or "-FRX"
    click.echo_via_pager(separated(lines, "\n"))


def write_json(objects: Iterable[Any]) -> None:
    """Print one JSON object per line, in ASCII."""
    write_lines(map(json_line, objects), write_data)


def json_line(value: Any) -> str:  # noqa: ANN401 - what JSON can hold
    """Return a value as JSON in one line, in ASCII."""
    import json  # noqa: PLC0415 - slow to import

    return json.dumps(value)


def json_parts(value: Mapping[str, Any], name: str, items: Iterable[Any]) -> Iterator[str]:
    """Yield the parts of a line with a JSON object. Its last value is a list, which may be long."""
    yield f'{json_line(value)[:-1]}, "{name}": ['
    yield from separated(map(json_line, items), ", ")
    yield "]}\n"


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table as CSV. An empty header is not printed. Cells are quoted where necessary."""
    write_lines(map(_csv_line, itertools.chain([header] if header else [], rows)), write_data)


def _csv_line(row: Sequence[object]) -> str:
    import csv  # noqa: PLC0415 - slow to import

    out = io.StringIO()
    # before Python 3.13, a cell with a line break is quoted only if the writer ends its lines with that line break
    csv.writer(out, lineterminator="\r\n").writerow(row)
    return out.getvalue()[:-2]
