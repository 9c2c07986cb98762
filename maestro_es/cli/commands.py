"""The list of the commands. Each command is a module that is imported when the command is called.

A command parses arguments, calls `maestro_es.execution_graph`, and prints. It makes no decisions about a study.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import maestro_es
from maestro_es.cli.groups import SuggestingGroup, configure_messages, message_options
from maestro_es.cli.main import take_interrupts
from maestro_es.cli.output import exact_output
from maestro_es.errors import MaestroError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: The commands with a short description, in the order of ``--help``.
COMMANDS = {
    "run": "Create a study from a YAML file and start it.",
    "validate": "Check a study file without running it.",
    "import": "Take over a study that Maestro has started.",
    "tick": "Advance studies by one pass; cron calls this command.",
    "status": "Show the state of a study and its steps.",
    "watch": "Show studies as they run.",
    "history": "Show what happened, event by event.",
    "show": "Show one step in detail.",
    "logs": "Print the output of steps.",
    "map": "Show a map of the states by parameter value.",
    "report": "Write a study as a page for a browser.",
    "graph": "Draw the steps of a study and their edges.",
    "diff": "Show what changed between two moments.",
    "why": "Say why a step is waiting, is running or has failed.",
    "blame": "List the user commands that affected a step.",
    "query": "Query the log in SQL, or run a saved query.",
    "cancel": "Cancel a study, or some of its steps.",
    "retry": "Run steps again.",
    "skip": "Mark steps as finished without running them.",
    "hold": "Keep steps from being submitted.",
    "release": "Release held steps.",
    "reopen": "Resume a cancelled study.",
    "update": "Change the throttle or other settings.",
    "env": "Show or change the environment of the steps.",
    "pause": "Stop submitting new steps.",
    "resume": "Resume a paused study.",
    "verify": "Verify the event log and everything derived from it.",
    "rebuild": "Rebuild the derived state from the event log.",
    "export": "Write the log as JSON lines.",
    "import-log": "Create a study directory from an export.",
    "recover": "Rebuild a lost log from an export, jobs, claims and reports.",
    "studies": "List your studies.",
    "wait": "Wait until studies have ended.",
    "drive": "Run ticks until studies have ended, also in batch jobs.",
    "cron": "Let cron run ticks for your studies.",
    "notify": "Send notifications of failures, stalls and the end.",
    "doctor": "Check whether ticks run and can advance your studies.",
    "example": "Copy an example study.",
    "completion": "Print a script that completes commands in a shell.",
}

#: The environment variable with which a shell asks click for completions.
_COMPLETE = "_MAESTRO_ES_COMPLETE"

#: The modules of commands whose names can't be module names.
_MODULES = {"import": "import_", "import-log": "import_log"}


class LazyGroup(SuggestingGroup):
    """A group that imports a command only when it is called, so that a tick imports no other command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import a command.

        The command is the attribute `command` of `maestro_es.cli.<name>`, or of the module in `_MODULES`.
        """
        if cmd_name not in COMMANDS:
            return None
        module = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = importlib.import_module(f"maestro_es.cli.{module}").command
        take_interrupts()
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands, with their short descriptions, without importing them."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

        names = [CompletionItem(name, help=COMMANDS[name]) for name in COMMANDS if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@message_options
@click.version_option(maestro_es.__version__, "-v", "--version", prog_name="maestro-es")
def cli(debug_lvl: int | None, logpath: Path | None, *, logstdout: bool) -> None:
    """Run Maestro studies on a cluster, and record every state change in an event log.

    STUDY is a study directory (default: the one that contains the current directory). Outside of study directories,
    you can also give the name of a study, its id, the beginning of its id, or "last".
    """
    if logstdout or logpath or debug_lvl is not None:
        configure_messages(debug_lvl, logpath)


def _usage_message(error: click.UsageError, context: click.Context | None) -> str:
    """Return the message about a wrong command line. click's parser reports some errors without their context."""
    inner = context.invoked_subcommand if context else None
    command = error.ctx.command_path if error.ctx else " ".join(filter(None, ["maestro-es", inner]))
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):  # click puts its suggestions in parentheses
        near = " or ".join(map(repr, (error.possibilities or ())[:2]))
        message = f"No such option {error.option_name!r}.{near and f' Did you mean {near}?'}"
    return f"{message}{'' if message[-1:] in '.?' else '.'} See '{command} --help'."


def run_command() -> Any:  # noqa: ANN401 - what a command returns
    """Run the command of this process's command line. MaestroError if the command line is wrong."""
    context = None
    try:
        if _COMPLETE in os.environ:  # a shell asks for completions, and click answers
            sys.stdout = exact_output()
            cli(prog_name="maestro-es")
        with cli.make_context("maestro-es", sys.argv[1:]) as context:  # click's own `main` prints a message for Ctrl-C
            return cli.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.UsageError as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # new in click 8.2
            error.show()
            return error.exit_code
        raise MaestroError(_usage_message(error, context)) from None
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise MaestroError("the question was not answered, so nothing was done; -y answers yes") from None
    except click.ClickException as error:
        raise MaestroError(str(error)) from None
