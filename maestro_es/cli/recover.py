"""``maestro-es recover``: rebuilds a lost log from an export and from what the jobs left behind.

`maestro_es.creation.recovery_rules` decides which state a step gets.
"""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.output import json_option, say, say_done, warn, write_json, write_lines
from maestro_es.creation.recover import RecoveryPlan
from maestro_es.execution_graph.creating import CreatableGraph
from maestro_es.report.table import columns
from maestro_es.store.log_export import ExportReader
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir

_HEADER = ("Step", "Becomes", "How it is known")


@example("maestro-es recover ./pi --from pi.jsonl --dry")
@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that 'export' wrote.",
)
@click.option("--dry", is_flag=True, help="Show the new state of each step, but change nothing.")
@click.option("--upto-damage", is_flag=True, help="Use only the lines before the first damaged line.")
@reason_option
@json_option
def command(directory: Path, file: Path, reason: str, *, dry: bool, upto_damage: bool, as_json: bool) -> None:
    """Rebuild the lost event log of the study in DIRECTORY from an earlier export.

    The command finds out what has happened since the export. It reads status.csv, the claims in the workspaces and the
    reports in the inbox, and queries the schedulers. Steps that have finished do not run again, and ticks follow jobs
    in flight from then on. If a step has started and its end is unknown, the step is held. Look into its workspace.
    Then 'release' the step to run it again, or 'skip' it to mark it as finished.
    """
    export = ExportReader(file, upto_damage=upto_damage)
    plan = CreatableGraph.recover(export, directory, Runtime(), reason, dry=dry)
    warn([*([f"{export.damage}; only the lines before it were imported"] if export.damage else []), *plan.warnings])
    if as_json:
        write_json(map(dict, _data(plan)))
        return
    write_lines(
        columns(_HEADER, [[recovery.step.name, recovery.becomes, recovery.how] for recovery in plan.recoveries])
    )
    if dry:
        say("Nothing was changed.")
    else:
        say_done(
            f"Log rebuilt in {StudyDir(directory).root}, from the {plan.events} events of the export and later traces"
        )


def _data(plan: RecoveryPlan) -> list[dict[str, object]]:
    return [
        {
            "step": recovery.step.name,
            "becomes": recovery.becomes,
            "how": recovery.how,
            "token": recovery.adopted or None,
        }
        for recovery in plan.recoveries
    ]
