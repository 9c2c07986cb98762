"""``maestro-es import``: take over a study that Maestro began."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example
from maestro_es.cli.output import say, warn, write_lines
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.core.resubmission_limits import RESTART_LIMIT, SUBMISSION_ATTEMPTS
from maestro_es.creation.import_maestro import Import, Wanted, carry_out, plan_import
from maestro_es.drivers.crontab import how_ticks_come
from maestro_es.report.table import columns
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session

_COUNT = click.IntRange(min=0)
_HEADER = ("Step", "Maestro", "Job", "Here", "Why")


@example("maestro-es import --dry ./lulesh_20260131-143000")
@click.command()
@click.argument("study_dir", type=click.Path(readable=False, path_type=Path), metavar="STUDY_DIR")
@click.option("--dry", is_flag=True, help="Show what would become of each step, and change nothing.")
@click.option(
    "-a",
    "--attempts",
    type=click.IntRange(min=1),
    default=SUBMISSION_ATTEMPTS,
    help="As it was given to 'maestro run'.",
)
@click.option(
    "-r", "--rlimit", type=_COUNT, default=RESTART_LIMIT, help="As it was given to 'maestro run'; 0: no limit."
)
@click.option("-t", "--throttle", type=_COUNT, default=0, help="As it was given to 'maestro run'; 0: no limit.")
@click.option("--pargs", multiple=True, metavar="KEY:VALUE", help="As they were given to 'maestro run'.")
@click.option("--specroot", type=click.Path(path_type=Path), help="The directory that the study file was in.")
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
    """Take over the study in STUDY_DIR, which Maestro began and whose conductor is dead.

    Steps that have ended stay as they are, jobs that the scheduler still knows are adopted, and all others are left to
    run. Maestro keeps its flags in a pickle, which is not read: say them again. Only processes of this host are
    looked at: make sure that no conductor works on the study from another one.
    """
    runtime = Runtime()
    settings = Settings(submission_attempts=attempts, restart_limit=rlimit, submission_throttle=throttle)
    study = plan_import(study_dir, Wanted(settings, pargs, specroot and specroot.absolute()), runtime)
    warn(study.plan.warnings)
    write_lines(columns(_HEADER, _rows(study)))
    if dry:
        say("Nothing was changed.")
        return
    root = carry_out(study, runtime).root
    say(f"Study taken over in {root}")
    with Session(root, runtime) as opened:
        if opened.status is StudyStatus.RUNNING:
            say(how_ticks_come(runtime))


def _rows(study: Import) -> list[list[str]]:
    return [
        [decision.step.name, decision.row.state.name, decision.row.job_id or "--", decision.becomes, decision.why]
        for decision in study.decisions
    ]
