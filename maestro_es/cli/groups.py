"""Command groups that suggest a command for an unknown name, and the options that precede a command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from maestro_es.errors import RequestRefused

#: Names of similar commands in other programs, and the command of maestro-es for each (empty: there is none).
_ELSEWHERE = {
    "conductor": "tick", "kill": "cancel", "stop": "cancel", "scancel": "cancel", "restart": "retry", "rerun": "retry",
    "launch": "run", "start": "run", "submit": "run", "list": "studies", "ls": "studies", "log": "history",
    "logs": "history", "events": "history", "check": "validate", "info": "show", "explain": "why", "unpause": "resume",
    "environment": "env", "resubmit": "retry", "requeue": "retry", "abort": "cancel", "delete": "", "remove": "",
    "sql": "query", "sqlite": "query", "ask": "query",
}  # fmt: skip

#: Python's names for Maestro's levels of messages. As in Maestro, any other number means the last level.
_LEVELS = {1: "DEBUG", 2: "INFO", 3: "WARNING", 4: "ERROR", 5: "CRITICAL"}

#: Maestro's format of messages, and its format at the debug level.
_FORMAT = "[%(asctime)s: %(levelname)s] %(message)s"
_DEBUG_FORMAT = "[%(asctime)s: %(levelname)s] [%(module)s: %(lineno)d] %(message)s"


class SuggestingGroup(click.Group):
    """A group that suggests the nearest command for an unknown name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command with a name. UsageError if there is none."""
        name = args[0]
        names = self.list_commands(ctx)
        if name not in names and not name.startswith("-"):
            near = [meant for meant in [_ELSEWHERE.get(name, "")] if meant in names]
            if name not in _ELSEWHERE or (_ELSEWHERE[name] and not near):
                import difflib  # noqa: PLC0415 - seldom needed

                near = difflib.get_close_matches(name, names, 2)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def configure_messages(level: int | None, file: Path | None) -> None:
    """Print the messages of Python's module `logging`, as Maestro does, and also write them to a `file`.

    Parameter generators log such messages, and so do Maestro's modules that generators import. `level` is Maestro's
    number.
    """
    import logging  # noqa: PLC0415 - most commands do not need it

    logging.raiseExceptions = False  # the reader of the output may have closed it
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        try:
            handlers.append(logging.FileHandler(file, encoding="utf-8"))
        except OSError as error:
            raise RequestRefused(f"{file}: messages can't be written to it: {error.strerror}") from error
    name = _LEVELS.get(2 if level is None else level, "CRITICAL")
    logging.basicConfig(level=name, format=_DEBUG_FORMAT if name == "DEBUG" else _FORMAT, handlers=handlers)


def message_options(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """Add Maestro's options that precede a command."""
    for option in (
        click.option("-c", "--logstdout", is_flag=True, help="Show messages on standard error."),
        click.option("-d", "--debug_lvl", type=int, metavar="1-5", help=_LEVEL_HELP),
        click.option(
            "-l", "--logpath", type=click.Path(path_type=Path), help="Show messages, and write them to this file too."
        ),
    ):
        command = option(command)
    return command


_LEVEL_HELP = (
    "Show messages of this level and above: 1 debug, 2 info, 3 warning, 4 error, 5 critical. "
    "[default with -c or -l: 2]"
)
