"""The arguments and options that commands share, such as a study, a moment, a reason and limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from maestro_es.audit.times import When, parse_when
from maestro_es.cli.output import say
from maestro_es.core.resubmission_limits import RESTART_LIMIT, SUBMISSION_ATTEMPTS
from maestro_es.errors import EXIT_OK, MaestroError, NotAStudy
from maestro_es.execution_graph.base import GraphBase
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import find_study, has_log

#: The argument of most commands: a study directory.
study_argument = click.argument("study", required=False, type=click.Path(readable=False, path_type=Path))

#: The option of every command that changes something.
reason_option = click.option(
    "--reason", default="", show_default=False, help="The reason, for the log.", metavar="TEXT"
)

#: The option of commands that run steps again.
from_scratch_option = click.option(
    "--from-scratch", is_flag=True, help="For steps that had started: run cmd instead of the restart script."
)


_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What `run` and `update` say about their option --array.
ARRAY_HELP = (
    "When to combine steps with the same options into one job array: if there are many (auto), always, or never."
)


class CountRange(click.IntRange):
    """A number that is not too large for a log, which holds whole numbers of 64 bits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - see click
        number: int = super().convert(value, param, ctx)
        if number.bit_length() > _BITS:
            self.fail(f"{number} is larger than any number that a log can hold", param, ctx)
        return number


_BITS = 63
#: The types of options that are counts. For most limits, 0 means no limit.
COUNT, POSITIVE = CountRange(min=0), CountRange(min=1)


class SecondsRange(click.FloatRange):
    """A time in seconds. It is finite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - see click
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number


#: The type of options that are times.
SECONDS = SecondsRange(min=0)


def limit_options(*, attempts: str, restarts: str, throttle: str) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the options -a, -r and -t, with these help texts, to a command."""
    options = (
        click.option("-a", "--attempts", type=POSITIVE, default=SUBMISSION_ATTEMPTS, help=attempts),
        click.option("-r", "--rlimit", type=COUNT, default=RESTART_LIMIT, help=restarts),
        click.option("-t", "--throttle", type=COUNT, default=0, help=throttle),
    )

    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class WhenType(click.ParamType[When]):
    """A moment of a study: the number of an event, or a time as for `history`."""

    name = "time|seq"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> When:
        """Return the moment. Raise a usage error if the text is not one."""
        try:
            return parse_when(value, time.time_ns() // 1000)
        except ValueError as error:
            self.fail(f"{error}, or the number of an event", param, ctx)


class Assignment(click.ParamType[tuple[str, str]]):
    """The name of a parameter, and a pattern for its value."""

    name = "assignment"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the name and the pattern."""
        name, equals, pattern = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, pattern


class Fields(click.ParamType[list[str]]):
    """Names separated by commas."""

    name = "fields"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:  # noqa: ARG002 - click
        """Return the names."""
        return [field.strip() for field in value.split(",")]


#: The option of commands that show the state.
at_option = click.option(
    "--at",
    "when",
    type=WhenType(),
    metavar="TIME|SEQ",
    help="Show an earlier state: at a time ('2026-01-31 14:30', or 2h for two hours ago), "
    "or after the event with this number.",
)


def study_path(study: Path | None) -> Path:
    """Return the directory of the named study (default: the one that contains the current directory)."""
    return located(study) if study is not None else find_study(Path.cwd())


def located(study: Path) -> Path:
    """Return the directory of a study that a user names: by its path, its id, the beginning of its id, or its name.

    A directory with this path takes precedence. If no study has the name, the name is returned as a path.
    """
    if len(study.parts) != 1 or _names_study(str(study)) or study.is_dir():
        return study
    from maestro_es.execution_graph.studies import find_named  # noqa: PLC0415 - not needed for paths

    return find_named(str(study)) or study


def split_arguments(args: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """Split ``[STUDY...] [STEP...]`` into one or more studies and the step patterns.

    An argument is a study if it is a directory with a log, or is clearly a path: it begins with ``.``, ``/`` or ``~``,
    or ends with ``/``. Any other argument is a step, because workspaces are often named like steps. The default study
    is the one that contains the current directory. If there is none, directories among the arguments are studies, or
    the first argument is the name of a study.
    """
    studies = [arg for arg in args if _names_study(arg)]
    enclosing = find_study(Path.cwd())
    if not studies and not has_log(enclosing):
        studies = [arg for arg in args if Path(arg).is_dir()] or [
            arg for arg in args[:1] if located(Path(arg)) != Path(arg)
        ]
        if args and not studies:
            raise NotAStudy(
                f"{args[0]}: there is no such directory, no study has this name, and the current directory is not in a"
                " study; 'maestro-es studies' lists your studies"
            )
    steps = [arg for arg in args if arg not in studies]
    return [located(Path(arg).expanduser()) for arg in studies] or [enclosing], steps


def split_one_step(args: tuple[str, ...]) -> tuple[Path, str]:
    """Split ``[STUDY] STEP`` into a study and the pattern of one step."""
    studies, steps = split_arguments(args)
    if len(studies) > 1 or len(steps) != 1:
        raise click.UsageError("Give one step of one study.")
    return studies[0], steps[0]


def _names_study(arg: str) -> bool:
    return arg.startswith((".", "/", "~")) or arg.endswith("/") or has_log(Path(arg))


def each(roots: Sequence[Path], do: Callable[[int, Path], None]) -> int:
    """Call `do` with the index and the directory of each study. An error is printed and does not stop the other calls.

    Returns the exit code: "something is wrong" takes precedence over "no answer, try again".
    """
    codes = [EXIT_OK]
    for index, root in enumerate(roots):
        try:
            do(index, root)
        except MaestroError as error:
            say(f"maestro-es: {error}", err=True)
            codes.append(error.exit_code)
    return min(filter(None, codes), default=EXIT_OK)


_Graph = TypeVar("_Graph", bound=GraphBase)


def open_graph(part: type[_Graph], study: Path | None) -> _Graph:
    """Open a study with one part of `ExecutionGraph`, because the whole class takes long to import."""
    return part.open(study_path(study), Runtime())


_Command = TypeVar("_Command", bound=click.Command)


def example(*texts: str) -> Callable[[_Command], _Command]:
    """Add examples to a command's help. Their paragraph is not wrapped, so that users can copy them."""

    def add(command: _Command) -> _Command:
        command.epilog = "\n  ".join(("\b\nExample:" if len(texts) == 1 else "\b\nExamples:", *texts))
        return command

    return add
