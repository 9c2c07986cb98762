"""``maestro-es import``: takes over a study that Maestro started. `maestro_es.creation.import_maestro` decides how."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, limit_options
from maestro_es.cli.output import say, say_done, warn, write_lines
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.creation.import_maestro import Import, ImportOptions, plan_import
from maestro_es.drivers.crontab import how_ticks_come
from maestro_es.execution_graph.creating import CreatableGraph
from maestro_es.report.table import columns
from maestro_es.study.invocation import Runtime

_HEADER = ("Step", "Maestro", "Job", "Here", "Why")


@example("maestro-es import --dry ./lulesh_20260131-143000")
@click.command()
@click.argument("study_dir", type=click.Path(readable=False, path_type=Path), metavar="STUDY_DIR")
@click.option("--dry", is_flag=True, help="Show the new state of each step, but change nothing.")
@limit_options(
    attempts="The value of -a in your 'maestro run'.",
    restarts="The value of -r in your 'maestro run'.",
    throttle="The value of -t in your 'maestro run'.",
)
@click.option("--pargs", multiple=True, metavar="KEY:VALUE", help="As in your 'maestro run'; may be repeated.")
@click.option("--specroot", type=click.Path(path_type=Path), help="The directory that contained the study file.")
def command(
    study_dir: Path,
    attempts: int,
    rlimit: int,
    throttle: int,
    pargs: tuple[str, ...],
    specroot: Path | None,
    *,
    dry: bool,
) -> None:
    """Take over the study in STUDY_DIR. Maestro has started this study, but its conductor is no longer running.

    Steps that have ended stay as they are. Ticks follow the jobs that the scheduler still lists. All other steps will
    run.

    Repeat the flags of your 'maestro run', because Maestro keeps them in a pickle, which this command does not read.
    Make sure that no conductor is running the study on another host. This command can see only the processes of this
    host.
    """
    runtime = Runtime()
    settings = Settings(submission_attempts=attempts, restart_limit=rlimit, submission_throttle=throttle)
    study = plan_import(study_dir, ImportOptions(settings, pargs, specroot and specroot.absolute()), runtime)
    warn(study.plan.warnings)
    write_lines(columns(_HEADER, _rows(study)))
    if dry:
        say("Nothing was changed.")
        return
    with CreatableGraph.take_over(study, runtime) as graph:
        say_done(f"Study taken over in {graph.path}")
        if graph.status is StudyStatus.RUNNING:
            say_done(how_ticks_come(runtime))


def _rows(plan: Import) -> list[list[str]]:
    return [
        [decision.step.name, decision.row.state.name, decision.row.job_id or "--", decision.becomes, decision.why]
        for decision in plan.decisions
    ]
