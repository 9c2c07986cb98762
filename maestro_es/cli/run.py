"""``maestro-es run``: creates a study from a YAML file and starts it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from maestro_es.adapters.base import RunsInside
from maestro_es.adapters.registry import SCHEDULERS, find_facts
from maestro_es.adapters.schedulers import job_around, nodes_around
from maestro_es.cli.common import ARRAY_HELP, COUNT, POSITIVE, SECONDS, example, limit_options
from maestro_es.cli.creating import CreationProgress, Reservation, removing_if_ended
from maestro_es.cli.driving import continue_study, stay
from maestro_es.cli.exporting import export_option, warn_of_variables
from maestro_es.cli.notify import check_target
from maestro_es.cli.output import confirm, say, say_done, warn
from maestro_es.core import file_names
from maestro_es.core.arguments import WORDS
from maestro_es.core.exported_variables import ExportChoice, remarks
from maestro_es.core.model import ArrayUse, Settings, StudyStatus
from maestro_es.creation.exclusive_creation import creating
from maestro_es.creation.overwrite import check_overwritable, overwriting
from maestro_es.creation.preflight import check_scripts
from maestro_es.drivers.batch_job import outer_settings
from maestro_es.drivers.cron_tick import in_doubt
from maestro_es.drivers.crontab import how_ticks_come, what_is_forgotten
from maestro_es.errors import EXIT_OK, RequestRefused, Unreachable
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.study.invocation import Driver, Runtime
from maestro_es.study.surroundings import Surroundings, surroundings
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.plan import StudyPlan, plan_study

_PREVIOUS = f"{file_names.STATE_DIR}/{file_names.PREVIOUS}"


@example("maestro-es run -y -o ./pi examples/monte_carlo_pi/monte_carlo_pi.yaml", "maestro-es run --wait ./pi")
@click.command()
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
@limit_options(
    attempts="A step fails if the scheduler has refused it this many times.",
    restarts="How many times a step is restarted after a time-out; 0: no limit.",
    throttle="How many jobs may be in flight at the same time; 0: no limit.",
)
@click.option("-s", "--sleeptime", type=POSITIVE, default=60, help="With --wait: seconds between ticks.")
@click.option(
    "--array",
    type=click.Choice(WORDS),
    help=f"{ARRAY_HELP} Default: the value of 'array' in the batch block, or auto.",
)
@click.option(
    "--local-slots", type=COUNT, default=0, help="How many local steps may run at the same time; 0: one per core."
)
@click.option("--dry", is_flag=True, help="Write directories and scripts, but run nothing.")
@click.option("-p", "--pgen", type=click.Path(path_type=Path), help="A Python file that generates the parameters.")
@click.option("--pargs", multiple=True, metavar="KEY:VALUE", help="An argument for --pgen; may be repeated.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="The study directory. The files of an earlier study there are moved, not deleted.",
)
@click.option(
    "-fg", "--wait", "wait", is_flag=True, help="Stay in the foreground, and run ticks until the study has ended."
)
@click.option(
    "--in-allocation", is_flag=True, help="In a batch job: stay in the foreground, and run all steps inside this job."
)
@click.option(
    "--stop-before",
    type=SECONDS,
    default=60,
    metavar="SECONDS",
    help="With --in-allocation: stop this many seconds before the walltime of the job is over.",
)
@click.option("--hashws", is_flag=True, help="Use short names (hashes) for the workspaces of parameterised steps.")
@click.option("--usetmp", is_flag=True, help="Keep the scripts of local steps in a temporary directory.")
@export_option
@click.option("--group-read", is_flag=True, help="Let the group that owns the files use all read-only commands.")
@click.option(
    "--notify",
    default="",
    show_default=False,
    metavar="COMMAND|ADDRESS",
    help="Where to send notifications; see 'notify'.",
)
@click.option("-n", "--autono", is_flag=True, help="Answer no to every question.")
@click.option("-y", "--autoyes", is_flag=True, help="Answer yes to every question.")
def command(  # noqa: PLR0913, PLR0917 - Maestro's flags
    spec: Path,
    attempts: int,
    rlimit: int,
    throttle: int,
    sleeptime: int,
    array: str | None,
    local_slots: int,
    pgen: Path | None,
    pargs: tuple[str, ...],
    out: Path | None,
    export: ExportChoice,
    notify: str,
    *,
    dry: bool,
    wait: bool,
    in_allocation: bool,
    stop_before: float,
    hashws: bool,
    usetmp: bool,
    group_read: bool,
    autono: bool,
    autoyes: bool,
) -> None:
    """Create a study from the Maestro YAML file SPEC and start it.

    After this command, ticks advance the study. 'maestro-es cron install' makes cron run them. With --wait, this
    command runs them itself. In a batch job, --in-allocation does the same, and also runs all steps inside the job.
    With either option, the exit code is 0 if the study finished, 3 if a step was cancelled, and 2 if a step failed and
    none was cancelled. If SPEC is the directory of a study, --wait and --in-allocation continue that study. To run
    ticks for several studies, or from a batch job, use 'maestro-es drive'.

    Every step runs in the environment of this command: variables, exported functions, umask, soft limits and niceness.
    'maestro-es env' shows and changes this environment.
    """
    answers = _answers(autoyes=autoyes, autono=autono, dry=dry)
    inside, wait = _margin(stop_before) if in_allocation else None, wait or in_allocation
    if wait and spec.is_dir():
        sys.exit(continue_study(spec, inside))
    progress = CreationProgress()
    runtime = Runtime(
        tell=lambda line: say(f"maestro-es: {line}", err=True),
        driver=Driver.INSIDE if in_allocation else Driver.WAIT if wait else Driver.PERSON,
        on_progress=progress.show,
    )
    around = surroundings(export, None if inside is None else {**os.environ, **outer_settings()})
    settings = Settings(
        submission_attempts=attempts,
        submission_throttle=throttle,
        restart_limit=rlimit,
        local_slots=local_slots,
        sleep_seconds=sleeptime,
        array=ArrayUse(array) if array else None,
        use_tmp=usetmp,
        hash_workspaces=hashws,
        dry_run=dry,
        notify=check_target(notify) if notify else "",
    )
    with contextlib.ExitStack() as creation:  # until the first tick is done, no other process can create a study here
        creation.enter_context(removing_if_ended())
        reserved = Reservation(creation, spec, pgen)
        warn(remarks(around.choice if inside is None else around.choice._replace(job=())))
        plan = plan_study(
            spec,
            SCHEDULERS,
            output=out,
            timestamp="",
            pgen=pgen,
            pargs=pargs,
            hash_workspaces=hashws,
            restart_limit=rlimit,
            check=functools.partial(_check, settings=settings, runtime=runtime, around=around, inside=inside),
            reserve=reserved.reserve,
        )
        warn(plan.warnings)
        site = reserved.site or creation.enter_context(creating(plan.output))
        replaces = check_overwritable(site)
        if not _is_wanted(plan, answers, replaces=replaces):
            say("Study launch aborted.")
            return
        previous = creation.enter_context(overwriting(site, runtime)) if replaces else None
        creation.callback(progress.clear)
        with ExecutionGraph.from_plan(plan, settings, runtime, site, around) as graph:
            progress.clear()
            _complete(graph, previous, group_read=group_read)
            sys.exit(_stay(graph, creation.close, inside) if wait else _launch(graph, creation.close, dry=dry))


def _margin(stop_before: float) -> float:
    """Return how long a driver stops before the end of the job that contains this process.

    RequestRefused without a job.
    """
    if not job_around():
        raise RequestRefused("--in-allocation runs steps inside a batch job, but this process is not in a job")
    return stop_before


def _check(
    plan: StudyPlan,
    findings: Findings,
    settings: Settings,
    runtime: Runtime,
    around: Surroundings,
    inside: float | None,
) -> None:
    """Check that all scripts can be submitted, and warn of variables that the steps will not have."""
    check_scripts(plan, findings, settings, runtime)
    scheduler = runtime.adapters(plan.batch, runtime.host).scheduler
    if inside is not None and not isinstance(scheduler, RunsInside):
        message = f"--in-allocation can't run the steps of a study for {scheduler.name}"
        findings.problem(plan.line("", "type", ""), message, "Use --wait.")
    elif inside is not None and isinstance(scheduler, RunsInside):
        scheduler.enter(lambda: None, lambda: False)
        kind, nodes = job_around().partition(":")[0], nodes_around()
        if scheduler.name != kind and nodes > 1:
            message = f"The local steps run on this node only, but the job has {nodes} nodes"
            findings.warn(
                plan.line("", "type", ""), message, f"With a batch block of type {kind}, steps use all of them."
            )
    warn_of_variables(plan, findings, around, dict(os.environ))


@dataclass(frozen=True)
class Answers:
    """Answers questions: with the option -y or -n, or by asking the user."""

    yes: bool
    no: bool

    def ask(self, question: str) -> bool:
        """Return the answer to a yes-or-no question."""
        if self.yes or self.no:
            return self.yes
        return confirm(question)


def _answers(*, autoyes: bool, autono: bool, dry: bool) -> Answers:
    if autono and autoyes:
        raise click.UsageError("-n and -y can't be combined")
    return Answers(yes=autoyes or dry, no=autono)


def _is_wanted(plan: StudyPlan, answers: Answers, *, replaces: bool) -> bool:
    """Ask whether to launch the study, and whether it may replace an earlier one."""
    if replaces and not answers.ask(f"{plan.output} exists. Replace it? Its files move to {_PREVIOUS} in it"):
        return False
    return answers.ask(f"{plan.name}: {plan.expansion.size} steps in {plan.output}. Launch the study?")


def _complete(graph: ExecutionGraph, earlier: Path | None, *, group_read: bool) -> None:
    """Let the group read a new study if requested, and print where the files of an earlier study are."""
    if group_read:
        graph.share(group_reads=True)
    if earlier:
        say_done(f"The earlier files of {graph.path} are in {earlier}")


def _stay(graph: ExecutionGraph, launched: Callable[[], None], inside: float | None) -> int:
    """Run ticks until the study has ended. Each tick calls `launched`."""
    say_done(f"Study launched in {graph.path}")
    return stay(graph, launched, inside)


def _launch(graph: ExecutionGraph, launched: Callable[[], None], *, dry: bool) -> int:
    """Run the first tick, call `launched`, and print how later ticks will be started."""
    last_error = ""
    try:
        graph.tick()
    except Unreachable as error:
        last_error = f"{graph.path}: {error}"
    launched()
    root, status = graph.path, graph.status
    for doubt in filter(None, (last_error, *in_doubt(graph).split("\n"))):
        say(f"maestro-es: {doubt}", err=True)
    if dry:
        say_done(f"Workspaces and scripts are in {root}; nothing was run.")
        return status.value
    say_done(f"Study launched in {root}")
    if status is StudyStatus.RUNNING:
        say_done(how_ticks_come(graph.runtime))
    elif status is not StudyStatus.FINISHED:
        say_done(f"It has ended already: {status.name}; 'maestro-es why {root}' says more")
    forgotten = what_is_forgotten(find_facts(str(graph.state.study.adapter["type"])), graph.scheduler_facts())
    if forgotten:
        say_done(forgotten)
    return EXIT_OK
