"""Installs, shows and checks the scrontab entry and the systemd timer, and reports all drivers, for `cron`."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_es.audit.checkup import Level, worst
from maestro_es.cli.doctor import result_line
from maestro_es.cli.output import say, say_done, write_lines
from maestro_es.drivers import tick_report
from maestro_es.drivers.crontab import InstallState
from maestro_es.drivers.tick_sources import TickSource
from maestro_es.execution_graph.studies import list_studies
from maestro_es.study.invocation import Runtime


def install(source: TickSource, runtime: Runtime, options: Mapping[str, str]) -> None:
    """Install a driver, and print what keeps it from running ticks."""
    changed = source.install(options, runtime.host.name, runtime.now())
    say_done(f"{source.name} runs a tick for your studies every minute{'' if changed else '; it did so before'}")
    trouble = source.trouble()
    if trouble:
        say(f"maestro-es: {source.where}: {trouble}", err=True)


def show(source: TickSource) -> None:
    """Print what is installed, and what `install` would install."""
    state, text = source.look()
    if state is not InstallState.ABSENT:
        write_lines([f"In {source.where}:", *(text or "").split("\n")])
    if state is not InstallState.INSTALLED:
        write_lines([f"'maestro-es cron install{source.option}' puts into {source.where}:", source.desired()])


def report(source: TickSource) -> bool:
    """Print whether a driver is installed. Returns whether it can run ticks."""
    state, _ = source.look()
    trouble = "" if state is InstallState.ABSENT else source.trouble()
    match state:
        case InstallState.INSTALLED:
            say(f"Installed:  in {source.where}")
        case InstallState.OTHER if not trouble:
            say(f"Installed:  something else in {source.where}; 'maestro-es cron install{source.option}' replaces it")
        case InstallState.OTHER:
            say(f"Installed:  in {source.where}, changed")
        case InstallState.ABSENT:
            say(f"Installed:  not in {source.where}; use 'maestro-es cron install{source.option}'")
    if trouble:
        say(f"Problem:    {trouble}")
    return state is InstallState.INSTALLED and not trouble


def report_all(runtime: Runtime) -> Level:
    """Print a line for a monitoring system, and one for each driver and running study. Returns the worst level."""
    results = [*tick_report.report([*list_studies(runtime)], runtime)]
    level = worst(results)
    write_lines([f"{level.name}: {tick_report.headline(results)}", *map(result_line, results)])
    return level


def remove(source: TickSource, host: str) -> None:
    """Remove a driver."""
    say_done(f"Removed from {source.where}" if source.remove(host) else f"Not in {source.where}")
