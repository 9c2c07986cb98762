"""``maestro-es cancel``: cancels a study, or some of its steps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from maestro_es.cli.common import each, example, open_graph, reason_option, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import confirm, say_done
from maestro_es.core.model import Phase, State
from maestro_es.execution_graph.cancelling import CancellableGraph
from maestro_es.report.table import counted


@example("maestro-es cancel -y ./pi 'sample_*' --reason 'wrong seed'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY]... [STEP]...")
@click.option("-y", "--autoyes", is_flag=True, help="Don't ask for confirmation.")
@reason_option
def command(arguments: tuple[str, ...], *, autoyes: bool, reason: str) -> None:
    """Cancel each STUDY, or only the steps that match a STEP pattern.

    The command cancels the jobs of these steps. It also cancels all steps that depend on a cancelled step.

    The exit code is 75 if a scheduler did not answer. In this case jobs may still be running. The cancellation is
    recorded, and later ticks cancel these jobs.
    """
    roots, patterns = split_arguments(arguments)
    what = f"{', '.join(patterns)} of " if patterns else ""
    question = f"Cancel {what}{', '.join(map(str, roots))}?"
    if not autoyes and not confirm(question):
        return
    sys.exit(each(roots, lambda _, root: _cancel(root, patterns, reason)))


def _cancel(root: Path, patterns: Sequence[str], reason: str) -> None:
    with open_graph(CancellableGraph, root) as graph:
        graph.end_steps(*patterns, reason=reason)
        say_done(_summary(graph))


def _summary(graph: CancellableGraph) -> str:
    ended = graph.state.study.states.get(State.CANCELLED.name, 0)
    waiting = graph.steps_to_end()
    rest = (
        f"; cancellation requested for {counted(len(waiting), 'running job')}; the next ticks check" if waiting else ""
    )
    doubtful = sum(step.phase is Phase.REQUESTED for step in waiting)
    doubt = f"; it is not yet known whether {doubtful} of them were submitted" if doubtful else ""
    return f"{graph.path}: {counted(ended, 'step')} cancelled{rest}{doubt}"
