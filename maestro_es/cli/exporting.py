"""The option ``--export``, and warnings about the environment that the steps of a study will have."""

from __future__ import annotations

from collections.abc import Iterator

import click

from maestro_es.core.events import Draft, StepTemplateAdded
from maestro_es.core.export import Export, not_exported, read_export, remarks
from maestro_es.poller.surroundings import Surroundings


class ExportType(click.ParamType[Export]):
    """A choice of variables for the steps, in the syntax of sbatch."""

    name = "all|none|name,..."

    def convert(self, value: str | Export, param: click.Parameter | None, ctx: click.Context | None) -> Export:
        """Return it."""
        if isinstance(value, Export):
            return value
        try:
            return read_export(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


#: Which variables of this shell the steps of a study get.
export_option = click.option(
    "--export",
    type=ExportType(),
    default="ALL",
    metavar="ALL|NONE|NAME,NAME=VALUE,...",
    help="Variables of this shell that the steps get, as for sbatch. ALL omits those of one login or one job.",
)


def warnings_of(events: tuple[Draft, ...], around: Surroundings, environ: dict[str, str]) -> Iterator[str]:
    """Yield warnings about the environment of a study with these events."""
    yield from remarks(around.choice)
    for _, event in events:
        if not isinstance(event, StepTemplateAdded):
            continue
        commands = "\n".join(str(event.run.get(key) or "") for key in ("cmd", "restart"))
        for name in not_exported(commands, environ, around.choice.variables):
            yield (
                f"step {event.name!r} uses ${name}, which is set here but will not be set for the step; "
                + _remedy(around.export, name)
            )


def _remedy(export: Export, name: str) -> str:
    """Return how a variable is passed on besides what is exported now. Values that a user gave are not repeated."""
    if export.values:
        return f"add ',{name}' to the end of your --export to pass it on"
    before = str(export)
    return f"--export '{name if before == 'NONE' else f'{before},{name}'}' passes it on"
