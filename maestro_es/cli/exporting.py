"""The option ``--export``, and warnings about variables that the steps of a study will not have.

`maestro_es.core.exported_variables` decides the meaning of this option.
"""

from __future__ import annotations

import click

from maestro_es.adapters import schedulers
from maestro_es.core.exported_variables import ExportChoice, not_exported, read_export
from maestro_es.study.surroundings import Surroundings
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.plan import StudyPlan


class ExportType(click.ParamType[ExportChoice]):
    """A choice of variables for the steps, in the syntax of sbatch."""

    name = "all|none|name,..."

    def convert(
        self, value: str | ExportChoice, param: click.Parameter | None, ctx: click.Context | None
    ) -> ExportChoice:
        """Return the choice. Raise a usage error if the text is not one."""
        if isinstance(value, ExportChoice):
            return value
        try:
            return read_export(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


#: The option for the variables of this shell that the steps of a study get.
export_option = click.option(
    "--export",
    type=ExportType(),
    default="ALL",
    metavar="ALL|NONE|NAME,NAME=VALUE,...",
    help="Which variables of this shell the steps get, as with sbatch. ALL leaves out variables that are valid only "
    "for one login or one job.",
)


def warn_of_variables(plan: StudyPlan, findings: Findings, around: Surroundings, environ: dict[str, str]) -> None:
    """Warn of variables that are set here, if a step uses them but will not have them."""
    for template in plan.templates:
        texts = {key: str(template.run.get(key) or "") for key in ("cmd", "restart")}
        for name in not_exported("\n".join(texts.values()), environ, around.choice.variables, schedulers.ALL):
            part = "cmd" if f"{name}" in texts["cmd"] else "restart"
            message = f"In study step '{template.name}', ${name} is set here but will not be set for the step"
            findings.warn(plan.line(template.name, part, message), message, _remedy(around.export, name))


def _remedy(export: ExportChoice, name: str) -> str:
    """Return the option that also exports this variable. It does not repeat values that the user gave."""
    if export.values:
        return f"Add ',{name}' to the end of your --export to pass it on."
    before = str(export)
    return f"--export '{name if before == 'NONE' else f'{before},{name}'}' passes it on."
