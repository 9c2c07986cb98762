"""``maestro-es notify``: sets where notifications about a study are sent, and sends them for ticks."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from maestro_es import files
from maestro_es.adapters.command import Command
from maestro_es.adapters.process import session_members
from maestro_es.cli.common import example, open_graph, reason_option, study_argument
from maestro_es.cli.diff import diff_lines
from maestro_es.cli.failures import failure_lines
from maestro_es.cli.output import say, say_done
from maestro_es.core.events import Notice, NotificationRequested
from maestro_es.errors import EXIT_ERROR, RequestRefused
from maestro_es.execution_graph.requesting import RequestableGraph
from maestro_es.report.table import visible
from maestro_es.study.invocation import Driver, Runtime

#: Limits on a command that gets a notification: its time in seconds, and the characters of its error message that are
#: kept, and that are read.
_PATIENCE, _LONGEST, _MOST_READ = 60.0, 200, 10_000

#: Feeds a file to a command. The command's output goes to files, because a process that it leaves behind would keep a
#: pipe open.
_FEED = 'cd "$1" && exec <text >out 2>err && cd "$OLDPWD" && eval "$2"'

_WORDS = {
    Notice.FAILURE: "a step has failed",
    Notice.STALL: "nothing can continue",
    Notice.END: "the study has ended",
}


@example(
    "maestro-es notify ./pi --to you@example.org",
    "maestro-es notify ./pi --to '~/bin/tell-me' --test",
    "maestro-es notify ./pi --off",
)
@click.command()
@study_argument
@click.option("--to", "target", metavar="COMMAND|ADDRESS", help="A command that reads the text, or a mail address.")
@click.option("--off", is_flag=True, help="Stop sending notifications.")
@click.option("--test", is_flag=True, help="Send a test notification now, and say whether this worked.")
@click.option("--send", type=int, hidden=True, help="Send the notification that this event has requested.")
@reason_option
def command(study: Path | None, target: str | None, reason: str, *, off: bool, test: bool, send: int | None) -> None:
    """Send notifications about STUDY. Without an option, print where they are sent.

    A notification is sent when the first step fails, when nothing can continue, and when the study ends. It contains
    the changes since the previous notification. A tick starts a separate process to send it. This process may take a
    minute, and the log records whether it succeeded. If the process or the host crashes before that, a later tick
    tries again, up to three times, so you may get a notification twice.

    COMMAND runs in the shell, in the environment of the steps. It gets the text on standard input, and the variables
    MAESTRO_ES_STUDY (the directory) and MAESTRO_ES_NOTICE (failure, stall or end). COMMAND is recorded in
    the log, so don't put secrets in it. For an ADDRESS, the text is sent with sendmail.
    """
    if sum((target is not None, off, send is not None)) > 1:
        raise click.UsageError("--to and --off exclude each other.")
    if send is not None:
        with RequestableGraph.open_ours(study or Path.cwd(), Runtime(driver=Driver.PROGRAM)) as graph:
            _send_requested(graph, send)
        return
    with open_graph(RequestableGraph, study) as graph:
        if target is not None or off:
            graph.notify("" if off else check_target(target or ""), reason)
        chosen = graph.state.study.settings.notify
        say_done(
            f"{graph.path}: notifications go to {chosen}" if chosen else f"{graph.path}: no notifications are sent"
        )
        if test and chosen:
            problem = _send(graph, Notice.END, f"{_name(graph)}: a test", "This is a test of maestro-es notify.\n")
            say(f"maestro-es: {problem}" if problem else "It was sent", err=bool(problem))
            if problem:
                raise SystemExit(EXIT_ERROR)


def check_target(target: str) -> str:
    """Return a command or a mail address. RequestRefused if it is empty or has several lines."""
    if not target.strip() or not target.isprintable():
        raise RequestRefused(f"{target!r}: give a command in one line, or a mail address")
    if is_address(target.strip()):
        _mail(target.strip(), "", "")
    return target.strip()


def _send_requested(graph: RequestableGraph, seq: int) -> None:
    """Send the notification that an event has requested, and record whether that worked."""
    event = next((one.event for one in graph.history(after=seq - 1)), None)
    if not isinstance(event, NotificationRequested):
        raise RequestRefused(f"event {seq} does not request a notification")
    subject = f"{_name(graph)}: {_WORDS[event.about]}"
    comparison = graph.diff(event.since)
    lines = [subject, "", *diff_lines(str(graph.path), *comparison)]
    failures = [*failure_lines(graph.failures(), graph.path)]
    text = "\n".join([*lines, "", *failures, ""] if failures else [*lines, ""])
    graph.end_notification(seq, _send(graph, event.about, subject, visible(text)))


def _name(graph: RequestableGraph) -> str:
    return graph.state.study.name or graph.path.name


def _send(graph: RequestableGraph, about: Notice, subject: str, text: str) -> str:
    """Give a text to the command or to sendmail. Returns why this failed (empty: the text was sent)."""
    target = graph.state.study.settings.notify
    if not target:
        return "no notifications are sent any more"
    environment = graph.environment()
    command = target
    if is_address(target):
        try:
            text, command = _mail(target, subject, text), "PATH=$PATH:/usr/sbin:/usr/lib; exec sendmail -t -i"
        except RequestRefused as error:  # it was recorded before addresses were checked
            return str(error)
    recorded = os.environ if environment.problem else environment.variables  # this problem may be the cause of a stall
    variables = {**recorded, "MAESTRO_ES_STUDY": str(graph.path), "MAESTRO_ES_NOTICE": about.value}
    try:
        code, message = _feed(command, text, variables)
    except TimeoutError:
        return f"{shlex.quote(target)} has not ended within {_PATIENCE:.0f} s"
    except OSError as error:
        return f"{shlex.quote(target)} can't be run: {error}"
    return f"{shlex.quote(target)} ended with {code}{f': {message}' if message else ''}" if code else ""


def _mail(address: str, subject: str, text: str) -> str:
    """Return a text as a mail. RequestRefused if the address is not valid."""
    from email.errors import MessageError  # noqa: PLC0415 - slow to import
    from email.message import EmailMessage  # noqa: PLC0415 - the same

    mail = EmailMessage()
    try:
        mail["To"], mail["Subject"] = address, f"[maestro-es] {visible(subject)}"
        mail.set_content(text)
        return mail.as_string()
    except (MessageError, AttributeError, LookupError, ValueError):  # the parser's errors for bad addresses
        raise RequestRefused(f"{address!r} is not a mail address") from None


def _feed(command: str, text: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Run a command that reads a text. Returns its exit code, and the beginning of its message."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files.write(folder / "text", text.encode(errors="replace"))
        argv = ["/bin/sh", "-c", _FEED, "sh", name, command]
        done = Command(argv, timeout=_PATIENCE, env=variables, session=True, members=session_members).result()
        message = ""
        for path in (folder / "err", folder / "out"):
            if not message and path.exists():
                with path.open(encoding="utf-8", errors="replace") as file:
                    message = " ".join(file.read(_MOST_READ).split())[:_LONGEST]
    return done.code, message


def is_address(target: str) -> bool:
    """Return whether this is a mail address, and not a command."""
    return "@" in target and not any(character.isspace() or character in "/;|&<>$`'\"" for character in target)
