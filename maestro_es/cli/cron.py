"""``maestro-es cron``: installs, shows, checks and removes the driver that runs ticks every minute.

The driver is a line in the crontab, an entry in Slurm's scrontab, or a systemd timer. `maestro_es.drivers.crontab`
reads and changes the crontab, and `maestro_es.drivers.tick_sources` has the code that all drivers share.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from maestro_es.audit.times import show_ago, show_time
from maestro_es.cli import cron_others as others
from maestro_es.cli.common import example
from maestro_es.cli.groups import SuggestingGroup
from maestro_es.cli.output import say, say_done, write_lines
from maestro_es.core.model import Micros, StudyStatus
from maestro_es.drivers import crontab
from maestro_es.drivers.crontab import InstallState
from maestro_es.drivers.tick_sources import SOURCES, installed_source, noted, refuse_unavailable
from maestro_es.errors import EXIT_ERROR, EXIT_OK
from maestro_es.execution_graph.studies import list_studies
from maestro_es.study.invocation import Runtime

_Command = TypeVar("_Command", bound=Callable[..., None])


def _choosing(function: _Command) -> _Command:
    """Add the options that choose the crontab, the scrontab or systemd."""
    for option in (
        click.option("--systemd", "other", flag_value="systemd", help="Use a systemd user timer, not your crontab."),
        click.option(
            "--scrontab", "other", flag_value="scrontab", help="Use your scrontab (Slurm), not your crontab."
        ),
    ):
        function = option(function)
    return function


@example("maestro-es cron install", "maestro-es cron install --scrontab -q workflow -A myaccount")
@click.group(cls=SuggestingGroup)
def command() -> None:
    """Let cron run ticks for your studies. One line in your crontab runs a tick for all of them every minute.

    Each host has its own crontab. On a cluster, install the line on one login node only. If your site does not allow
    crontabs, use --scrontab (Slurm's scrontab) or --systemd (a systemd timer). docs/ticks.md compares these drivers.
    """


@example("maestro-es cron install")
@command.command()
@_choosing
@click.option(
    "-q", "--qos", default="", show_default=False, help="With --scrontab: the QOS of the jobs that run ticks."
)
@click.option(
    "-p", "--partition", default="", show_default=False, help="With --scrontab: the partition of these jobs."
)
@click.option("-A", "--account", default="", show_default=False, help="With --scrontab: the account of these jobs.")
def install(other: str | None, qos: str, partition: str, account: str) -> None:
    """Add the line that runs ticks to your crontab on this host.

    The command puts the line between two marker lines, and replaces an earlier line there. All other lines stay as
    they are. The line contains the path of the list of your studies.

    --scrontab adds an entry to your scrontab instead. Slurm then runs each tick as a job. Such a tick does not start
    local steps, because they would end with the tick's job. --systemd writes two unit files and starts a timer on this
    host.
    """
    runtime = Runtime()
    host = runtime.host.name
    chosen = {"qos": qos, "partition": partition, "account": account}
    options = {name: value for name, value in chosen.items() if value}
    if options and other != "scrontab":
        raise click.UsageError("-q, -p and -A need --scrontab.")
    refuse_unavailable(other or "crontab")
    if other:
        others.install(SOURCES[other], runtime, options)
        return
    changed = crontab.install(host, runtime.now())
    if crontab.is_read(host, runtime.now()):
        before = "" if changed else "; it did so before"
        say_done(f"cron on {host} runs a tick for your studies every minute{before}")
    else:
        say_done(f"The line is in your crontab on {host}" + ("" if changed else "; it was there before"))
        say(f"maestro-es: {crontab.not_read(host)}", err=True)


@example("maestro-es cron show")
@command.command()
@_choosing
def show(other: str | None) -> None:
    """Show the crontab line, and say whether it is installed.

    If Slurm's scrontab or a systemd timer runs your ticks, the command shows its entry instead. --scrontab and
    --systemd choose between them.
    """
    host = Runtime().host.name
    other = other or installed_source()
    if other:
        others.show(SOURCES[other])
        return
    state, line = crontab.look()
    if state is not InstallState.ABSENT:
        write_lines([f"In your crontab on {host}:", *(line or "").split("\n")])
    if state is not InstallState.INSTALLED:
        write_lines([f"'maestro-es cron install' puts into your crontab on {host}:", crontab.wanted_line()])


@example("maestro-es cron check || echo 'studies are not ticked'")
@command.command()
@_choosing
@click.option("--all", "every", is_flag=True, help="Check the drivers on all hosts, for a monitoring system.")
def check(other: str | None, *, every: bool) -> None:
    """Check whether cron runs ticks for your studies.

    The report says whether the line is installed on this host, whether a cron daemon is running, and when cron last
    ran a tick. It also says when a running study last had a tick, which a user may have started too, and how many
    ticks were missed since then. A tick is missed if a minute passes without one.

    The exit code is 0 if no tick was missed and cron runs ticks for your studies, from this host or from another host
    where you installed the line. Otherwise it is 1.

    If the scrontab or systemd runs your ticks, the report covers that driver instead of cron. It also says whether
    Slurm has disabled the scrontab entry.

    With --all, the report covers all drivers on all hosts, and each running study. The first line and the exit code
    are for a monitoring system. The code is 0 if all is well, 1 after a warning, 2 if a study is overdue, and 3 if a
    study can't be read.
    """
    runtime = Runtime()
    if every:
        sys.exit(others.report_all(runtime))
    other = other or installed_source()
    placed = others.report(SOURCES[other]) if other else _report_place(runtime)
    run = noted(other, runtime.host.name) if other else crontab.last_run(runtime.host.name)
    runs, cron = _report_cron(runtime, run)
    ticked, last = _report_ticks(runtime)
    missed = max(crontab.missed_ticks(at, runtime.now()) for at in (cron, last, runtime.now()) if at is not None)
    if runs or last is not None:
        say(f"Missed:     {missed}")
    sys.exit(EXIT_OK if placed and ticked and not missed else EXIT_ERROR)


@example("maestro-es cron remove")
@command.command()
@_choosing
def remove(other: str | None) -> None:
    """Remove the line from your crontab on this host. All other lines stay as they are."""
    host = Runtime().host.name
    if other:
        others.remove(SOURCES[other], host)
        return
    changed = crontab.remove(host)
    say_done(f"Removed from your crontab on {host}" if changed else f"Not in your crontab on {host}")


def _report_place(runtime: Runtime) -> bool:
    """Print where the line is installed. Returns whether cron can use it there."""
    host = runtime.host.name
    state, line = crontab.look()
    if state is InstallState.INSTALLED:
        say(f"Installed:  on this host, {host}")
        if crontab.is_read(host, runtime.now()):
            return True
        say(f"Daemon:     {crontab.not_read(host)}")
        return False
    elsewhere = crontab.other_hosts(host)
    if state is InstallState.OTHER:
        say(f"Installed:  another line on this host, {host}: {line or '(none)'}")
        say("            'maestro-es cron install' replaces it")
    elif elsewhere:
        say(f"Installed:  on {', '.join(elsewhere)}, not on this host, {host}")
    else:
        say(f"Installed:  not on this host, {host}; use 'maestro-es cron install'")
    return state is InstallState.ABSENT and bool(elsewhere)


def _report_cron(runtime: Runtime, run: tuple[Micros, bool] | None) -> tuple[bool, Micros | None]:
    """Print when cron last ran a tick, according to the note of that tick.

    Returns whether the line is installed, and the time of the tick or the installation.
    """
    if run is None:
        return False, None
    last, ticked = run
    ago = f"{show_ago(last, runtime.now())} ({show_time(last)})"
    say(f"Cron:       {f'last tick {ago}' if ticked else f'has run no tick since the line was installed {ago}'}")
    return True, last


def _report_ticks(runtime: Runtime) -> tuple[bool, Micros | None]:
    """Print when a running study last had a tick. Returns whether this is all right, and the time of the tick."""
    studies = list(list_studies(runtime))
    running = [one.summary for one in studies if one.summary and one.summary.status == StudyStatus.RUNNING.name]
    broken = sum(one.summary is None for one in studies)
    if broken:
        say(f"Unknown:    {broken} of your studies can't be read; 'maestro-es studies' says why")
    if not running:
        say(f"Last tick:  no {'other ' if broken else ''}study is running")
        return not broken, None
    ticks: list[Micros] = [summary.last_tick for summary in running if summary.last_tick is not None]
    if not ticks:
        say("Last tick:  never")
        return False, None
    last = max(ticks)
    say(f"Last tick:  {show_ago(last, runtime.now())} ({show_time(last)})")
    return True, last
