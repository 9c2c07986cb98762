"""``maestro-es drive``: runs ticks of existing studies in the foreground until they have ended, also in batch jobs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maestro_es.adapters.job_clock import clock
from maestro_es.adapters.schedulers import job_around
from maestro_es.cli.common import SECONDS, example, open_graph, study_path
from maestro_es.cli.driving import drive_to_end
from maestro_es.cli.output import say, say_done
from maestro_es.core.model import StudyStatus
from maestro_es.drivers import batch_job
from maestro_es.drivers.children import Children, exit_code
from maestro_es.errors import EXIT_TRY_AGAIN, Unreachable
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.study.invocation import Driver, Runtime


@example("maestro-es drive ./pi ./heat", "maestro-es drive --resubmit ~/drive.sh ./pi   # the last line of drive.sh")
@click.command()
@click.argument("studies", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[STUDY]...")
@click.option(
    "--stop-before",
    type=SECONDS,
    default=60,
    metavar="SECONDS",
    help="In a batch job, stop this many seconds before its walltime is over.",
)
@click.option(
    "--resubmit",
    "script",
    type=click.Path(path_type=Path),
    metavar="SCRIPT",
    help="First submit SCRIPT again, to run after this batch job.",
)
def command(studies: tuple[Path, ...], stop_before: float, script: Path | None) -> None:
    """Run ticks for each STUDY until all of them have ended.

    You can stop this command at any time and start it again, because everything is in the log of the study. Cron may
    run ticks of the same studies at the same time.

    In a batch job, the command stops before the job reaches its walltime, and the exit code is 75. It ends the local
    steps that it has started, because they belong to the job. The next driver of the study runs them again, and this
    does not count as a failure. Jobs that were submitted to the scheduler keep running. With --resubmit, the command
    first submits a follow-up job, and cancels it when all studies have ended.

    The exit code is 75 if a study has not ended. Otherwise it is the same as for 'run --wait': 0 if the study
    finished, 3 if a step was cancelled, and 2 if a step failed and none was cancelled. With several studies, the exit
    code is the lowest nonzero code of any study, or 0 if all studies finished.
    """
    roots = [*dict.fromkeys(study_path(study).absolute() for study in (studies or (None,)))]
    running = [*filter(_is_running, roots)]
    following = ""
    if script is not None:
        batch_job.check_script(script)
        following = _submit(script) if running else ""
    children = Children()
    for root in roots:
        if children.start(root):
            sys.exit(_drive(root, children, str(root) if len(roots) > 1 else ""))
    over = children.wait(clock(stop_before).is_over)
    code = _finish(children, following, over=over)
    if code == EXIT_TRY_AGAIN and script is not None and not following:
        _submit(script)
    sys.exit(code)


def _submit(script: Path) -> str:
    """Submit the follow-up job. Returns its id (empty: there was no answer; a message is printed)."""
    try:
        job_id = batch_job.resubmit(script)
    except Unreachable as error:
        say(f"maestro-es: {script} can't be submitted: {error}", err=True)
        return ""
    say_done(f"Job {job_id} continues after this one")
    return job_id


def _is_running(root: Path) -> bool:
    """Return whether a study has not ended. If the file system does not answer, it may be running."""
    try:
        with open_graph(AuditableGraph, root) as graph:
            return graph.summary().status == StudyStatus.RUNNING.name
    except (Unreachable, OSError):
        return True


def _drive(root: Path, children: Children, name: str) -> int:
    """Drive one study in a process of its own. Returns its exit code."""
    with ExecutionGraph.open_ours(root, Runtime(driver=Driver.DRIVE)) as graph:
        return drive_to_end(graph, must_stop=children.must_stop, name=name)


def _finish(children: Children, following: str, *, over: bool) -> int:
    """Say why not all studies have ended, or cancel the follow-up job. Returns the exit code."""
    code = exit_code(children.codes)
    if code == EXIT_TRY_AGAIN:
        say(f"maestro-es: {_why(children.codes, over=over, stopping=children.stopping)}", err=True)
        return code
    if following:
        try:
            batch_job.withdraw(following)
        except Unreachable as error:
            say(f"maestro-es: all studies have ended, but job {following} is not cancelled: {error}", err=True)
    return code


def _why(codes: dict[Path, int], *, over: bool, stopping: bool) -> str:
    left = [str(root) for root, code in codes.items() if code < 0 or code == EXIT_TRY_AGAIN]
    reason = (
        f"the job {job_around()} is about to end" if over else "told to stop" if stopping else "no answer, or killed"
    )
    return f"{reason}; not ended: {', '.join(left)}; 'maestro-es drive' continues"
