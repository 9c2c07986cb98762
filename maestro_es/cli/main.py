"""The command line: each command in a module of its own, imported when it is called.

A command parses, calls and prints. A `MaestroError` is shown in one line and exits with 1; anything else is our bug
and shows its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

import maestro_es
from maestro_es.errors import MaestroError

#: The commands, in the order in which ``--help`` shows them, and what each does.
COMMANDS = {
    "run": "Create a study from a YAML file and start it.",
    "validate": "Check a study file without running it.",
    "import": "Take over a study that Maestro began.",
    "tick": "Advance studies by one pass; what cron calls.",
    "status": "Show how a study stands.",
    "history": "Show what happened, event by event.",
    "show": "Show all about one step.",
    "diff": "Show what changed between two moments.",
    "why": "Say why a step waits, runs or failed.",
    "blame": "Show who decided what about a step.",
    "cancel": "Cancel a study, or some of its steps.",
    "retry": "Run steps again.",
    "skip": "Take steps as finished.",
    "hold": "Keep steps from being submitted.",
    "release": "Let held steps go on.",
    "reopen": "Let a cancelled study go on.",
    "update": "Change the throttle or the restart limit.",
    "pause": "Submit nothing new.",
    "resume": "Let a paused study go on.",
    "verify": "Check the log and what was made of it.",
    "rebuild": "Make the state anew from the log.",
    "export": "Write the log as JSON lines.",
    "import-log": "Make a study directory from an export.",
    "recover": "Make a lost log again, from an export and the world.",
    "studies": "List your studies.",
    "cron": "Let cron tick your studies.",
}

#: The modules of commands whose names are words of Python's own.
_MODULES = {"import": "import_", "import-log": "import_log"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called: a tick pays for no other command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import a command: `maestro_es.cli.<name>`, or the module that `_MODULES` names, has it as `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = importlib.import_module(f"maestro_es.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(maestro_es.__version__, "-v", "--version", prog_name="maestro-es")
def cli() -> None:
    """Run Maestro studies on a cluster, with every transition in an event log.

    STUDY is a study directory; without it, it is the one that the current directory lies in.
    """


def main() -> None:
    """Run the command line; exits with the command's code, 1 for all that is shown in one line."""
    _open_streams()
    try:
        sys.exit(cli(prog_name="maestro-es", standalone_mode=False))
    except MaestroError as error:
        _fail(str(error))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "maestro-es"
        _fail(f"{error.format_message()} See '{command} --help'.")
    except (click.ClickException, click.Abort) as error:
        _fail(str(error) or "left")
    except UnicodeEncodeError as error:
        if not "\ud800" <= error.object[error.start] <= "\udfff":  # Python's stand-ins for bytes that are no UTF-8
            raise
        _fail(f"not UTF-8, which names and texts must be: {error.object[max(0, error.start - 30) : error.end + 30]!a}")
    except OSError as error:
        _leave(error)


def _open_streams() -> None:
    """Lead the standard streams that the caller has closed nowhere, so that no file of ours takes their place."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        pass
    os.close(handle)
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open(encoding="utf-8")
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")


def _leave(error: OSError) -> NoReturn:
    """Say what the system has refused, unless nobody reads along any more."""
    if error.filename:
        _fail(f"{error.filename}: {error.strerror}")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that leaving does not flush into it again
    if isinstance(error, BrokenPipeError):
        sys.exit(1)
    _fail(error.strerror or str(error))


def _fail(message: str) -> NoReturn:
    print(f"maestro-es: {message}", file=sys.stderr)
    sys.exit(1)
