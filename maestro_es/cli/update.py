"""``maestro-es update``: changes settings of a study."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maestro_es.cli.common import ARRAY_HELP, each, example, open_graph, reason_option, study_path
from maestro_es.cli.output import say_done
from maestro_es.core.arguments import WORDS, settings_of
from maestro_es.core.events import SettingsChanged
from maestro_es.core.model import StudyStatus
from maestro_es.execution_graph.requesting import RequestableGraph
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.sharing import group_of

#: The settings that are used only when a step ends.
_LIMITS = ("rlimit", "hardware-limit")


@example("maestro-es update ./pi --throttle 20 --reason 'the queue is empty tonight'")
@click.command()
@click.argument("studies", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[STUDY]...")
@click.option(
    "--throttle", type=int, multiple=True, help="How many jobs may be in flight at the same time; 0: no limit."
)
@click.option(
    "--rlimit", type=int, multiple=True, help="How many times a step is restarted after a time-out; 0: no limit."
)
@click.option(
    "--hardware-limit",
    type=int,
    multiple=True,
    help="How many times a step is resubmitted after hardware failures; 0: no limit.",
)
@click.option("--sleep", type=int, multiple=True, help="Seconds between the ticks of 'run --wait'.")
@click.option("--array", type=click.Choice(WORDS), multiple=True, help=ARRAY_HELP)
@click.option(
    "--group-read/--no-group-read",
    default=None,
    help="Let the group that owns the files use all read-only commands, or withdraw this permission.",
)
@reason_option
def command(
    studies: tuple[Path, ...], reason: str, *, group_read: bool | None, **settings: tuple[int | str, ...]
) -> None:
    """Change the settings of each STUDY. They take effect with the next tick.

    If you give an option once, it applies to all studies. To give each STUDY its own value, repeat the option in the
    order of the studies.
    """
    roots = [*map(study_path, studies or (None,))]
    new_values = {name.replace("_", "-"): values for name, values in settings.items() if values}
    if not new_values and group_read is None:
        raise click.UsageError(
            "say what to change: --throttle, --rlimit, --hardware-limit, --sleep, --array or --group-read"
        )
    for name, values in new_values.items():
        if len(values) not in {1, len(roots)}:
            raise click.UsageError(f"--{name} is given {len(values)} times for {len(roots)} studies")

    def update(index: int, root: Path) -> None:
        if group_read is not None:
            _share(root, allowed=group_read)
        if new_values:
            _update(
                root, {name: chosen[index if len(chosen) > 1 else 0] for name, chosen in new_values.items()}, reason
            )

    sys.exit(each(roots, update))


def _share(root: Path, *, allowed: bool) -> None:
    with RequestableGraph.open_ours(root, Runtime()) as graph:
        changed = graph.share(group_reads=allowed)
    if allowed:
        effect = "can read the log now" if changed else "can already read the log"
    else:
        effect = "can no longer read the log" if changed else "could not read the log before either"
    say_done(f"{root}: the group {group_of(StudyDir(root))} {effect}")


def _update(root: Path, values: dict[str, int | str], reason: str) -> None:
    with open_graph(RequestableGraph, root) as graph:
        recorded = graph.update(**settings_of(values), reason=reason)
        for one in recorded:
            if isinstance(one.event, SettingsChanged):
                say_done(f"{root}: {one.event.what} is {one.event.after} now, was {one.event.before}")
        if not recorded:
            say_done(f"{root}: nothing to change")
        if graph.status is not StudyStatus.RUNNING and not values.keys().isdisjoint(_LIMITS):
            ended = f"the study has ended ({graph.status.name})"
            say_done(f"{root}: {ended}: use 'maestro-es retry --failed' to run its steps again")
