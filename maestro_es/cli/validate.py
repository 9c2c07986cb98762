"""``maestro-es validate``: checks a study file without running it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.cli.common import example
from maestro_es.cli.exporting import export_option, warn_of_variables
from maestro_es.cli.output import say, warn
from maestro_es.core.exported_variables import ExportChoice, remarks
from maestro_es.core.model import Settings
from maestro_es.creation.preflight import check_scripts, warn_of_scheduler
from maestro_es.report.table import counted
from maestro_es.study.invocation import Runtime
from maestro_es.study.surroundings import surroundings
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.plan import StudyPlan, plan_study


@example("maestro-es validate examples/monte_carlo_pi/monte_carlo_pi.yaml")
@click.command()
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
@click.option("-p", "--pgen", type=click.Path(path_type=Path), help="A Python file that generates the parameters.")
@click.option("--pargs", multiple=True, metavar="KEY:VALUE", help="An argument for --pgen; may be repeated.")
@click.option("--hashws", is_flag=True, help="Use short names (hashes) for the workspaces of parameterised steps.")
@export_option
def command(spec: Path, pgen: Path | None, pargs: tuple[str, ...], export: ExportChoice, *, hashws: bool) -> None:
    """Check the study file SPEC and report everything that is wrong with it.

    The check includes the script of every step. The command writes nothing and runs nothing.
    """
    runtime = Runtime()
    around = surroundings(export)

    def check(plan: StudyPlan, findings: Findings) -> None:
        check_scripts(plan, findings, Settings(hash_workspaces=hashws), runtime)
        warn_of_scheduler(plan, findings, runtime)
        warn_of_variables(plan, findings, around, dict(os.environ))

    warn(remarks(around.choice))
    plan = plan_study(
        spec, SCHEDULERS, output=None, timestamp="0", pgen=pgen, pargs=pargs, hash_workspaces=hashws, check=check
    )
    warn(plan.warnings)
    say(f"{spec}: valid; {counted(len(plan.templates), 'step')}, {counted(plan.expansion.size, 'instance')}")
