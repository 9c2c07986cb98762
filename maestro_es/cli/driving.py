"""The common part of ``run --wait`` and ``drive``: run ticks of a study until it has ended, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from maestro_es.adapters.job_clock import clock
from maestro_es.adapters.schedulers import job_around
from maestro_es.cli.failures import failure_lines
from maestro_es.cli.output import page_width, say, say_done
from maestro_es.cli.progress import Progress
from maestro_es.core.model import StudyStatus
from maestro_es.drivers.children import on_stop
from maestro_es.errors import EXIT_INTERRUPTED, EXIT_TRY_AGAIN
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.study.invocation import Driver, Runtime

#: The options of `run` that make sense for an existing study.
_FOR_ANY = ("spec", "wait", "autoyes", "autono", "in_allocation", "stop_before")


def continue_study(root: Path, inside: float | None = None) -> int:
    """Run ticks of an existing study until it has ended, for ``run --wait DIRECTORY``. Returns the exit code.

    For `inside` see `stay`.
    """
    context = click.get_current_context()
    options = [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name not in _FOR_ANY
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if options:
        raise click.UsageError(
            f"{root} is a directory, so its study is continued, and {', '.join(options)} can't be used; 'maestro-es"
            " update' changes settings"
        )
    with ExecutionGraph.open_ours(root, Runtime(driver=Driver.WAIT if inside is None else Driver.INSIDE)) as graph:
        return stay(graph, inside=inside)


def stay(graph: ExecutionGraph, on_tick: Callable[[], None] = lambda: None, inside: float | None = None) -> int:
    """Run ticks in this process until the study has ended. Returns the exit code.

    With `inside`, steps run in the job that contains this process, until `inside` seconds before the end of the job,
    or until SIGTERM.
    """
    if inside is None:
        return drive_to_end(graph, on_tick)
    signals: list[int] = []
    on_stop(lambda number, _frame: signals.append(number))
    time_is_over = clock(inside).is_over
    code = drive_to_end(graph, on_tick, lambda: bool(signals) or time_is_over(), inside=inside)
    if code == EXIT_TRY_AGAIN and (signals or time_is_over()):
        reason = "told to stop" if signals else f"the job {job_around()} is about to end"
        say(f"maestro-es: {reason}; 'maestro-es run --in-allocation {graph.path}' continues", err=True)
    return code


def drive_to_end(
    graph: ExecutionGraph,
    on_tick: Callable[[], None] = lambda: None,
    must_stop: Callable[[], bool] = lambda: False,
    name: str = "",
    inside: float | None = None,
) -> int:
    """Run ticks until the study has ended, or until it must stop. Returns the exit code.

    `on_tick` is called after each tick. If other studies are driven at the same time, lines begin with `name`. After
    Ctrl-C, other ticks can continue the study.
    """
    progress = Progress(name)
    shown = 0

    def show() -> None:
        on_tick()
        progress.show(graph.state.study)
        tell()

    def tell() -> None:
        nonlocal shown
        remarks = graph.remarks[shown:]
        shown += len(remarks)
        if remarks:
            progress.close()
        for line in remarks:
            say(f"maestro-es: {line}", err=True)

    try:
        status = graph.run_until_ended(show, must_stop, inside)
    except KeyboardInterrupt:
        progress.close()
        how = f"'maestro-es tick {graph.path}'"
        say(f"maestro-es: interrupted; continue the study with {how} or under cron", err=True)
        return EXIT_INTERRUPTED
    progress.close()
    tell()
    if status is StudyStatus.RUNNING:
        return EXIT_TRY_AGAIN
    say_done(f"{name}: the study has ended: {status.name}" if name else f"Study ended: {status.name}")
    for line in failure_lines(graph.why().failures, graph.path, page_width()):
        say_done(line)
    return int(status.value)
