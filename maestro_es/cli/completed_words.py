"""The studies and steps with which a shell can complete a word of a command line."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from maestro_es.errors import MaestroError
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import find_study, has_log

#: The largest number of steps that are offered.
_STEPS = 1000


def studies_and_steps(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the studies and steps that begin with `word`.

    The steps come from the study that the line already names, or from the study that contains the current directory.
    """
    earlier = [str(value) for value in context.params.get(parameter.name or "") or ()]
    return [*studies(context, parameter, word), *map(CompletionItem, _steps(earlier, word))]


def studies(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:  # noqa: ARG001 - click
    """Return the registered studies whose name begins with `word`, and directories.

    The item for directories comes first, because click's script for bash discards all items before it.
    """
    names = {root.name for root in registry.registered().values()}
    matching = sorted(name for name in names if name.startswith(word))
    return [CompletionItem(word, type="dir"), *map(CompletionItem, matching)]


def _steps(earlier: list[str], word: str) -> list[str]:
    """Return the names of steps that begin with a word (empty: the study can't be read)."""
    from maestro_es.cli.common import located  # noqa: PLC0415 - it imports this module

    roots = [root for root in map(located, map(Path, earlier)) if has_log(root)] or [find_study(Path.cwd())]
    try:
        with AuditableGraph.open(roots[0], Runtime()) as graph:
            names = sorted(name for _, name, _ in graph.state.names() if name.startswith(word))
    except (MaestroError, OSError):
        return []
    return names[:_STEPS]
