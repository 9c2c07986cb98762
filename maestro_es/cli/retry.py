"""``maestro-es retry``: run steps again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from maestro_es.cli.asking import ask_of_steps
from maestro_es.cli.common import example, from_scratch_option, reason_option
from maestro_es.core import repair
from maestro_es.core.events import Draft
from maestro_es.core.graph import Graph
from maestro_es.poller.open_study import OpenStudy


@example("maestro-es retry ./pi --failed --rlimit 5 --reason 'the walltime was too short'")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [STEP]...")
@click.option("--failed", is_flag=True, help="Only what has failed or timed out; without STEP, all such steps.")
@click.option("--descendants", is_flag=True, help="Also all that waits for these steps, whatever became of it.")
@from_scratch_option
@click.option("--keep-script", is_flag=True, help="Run a script that you have edited in its workspace as it stands.")
@click.option("--lost", is_flag=True, help="What runs on a host or in a container that is gone for good; see above.")
@click.option("--doubted", is_flag=True, help="What finished just before its host went down, and all after it.")
@click.option("--rlimit", type=int, help="Restarts of a step after a timeout, for the whole study; 0: no limit.")
@click.option("--hardware-limit", type=int, help="Resubmissions after hardware failures, likewise.")
@reason_option
def command(
    arguments: tuple[str, ...],
    *,
    rlimit: int | None,
    hardware_limit: int | None,
    reason: str,
    **flags: bool,
) -> None:
    """Run steps of STUDY again, in the workspaces that they have.

    STEP is a name or a pattern. A pattern takes the steps that have failed or were cancelled. One that has finished
    runs again if it is named in full, with all that ran after it: say --descendants. What ended because of a step goes
    with it. A study that has ended goes on with the next tick.

    A step that had started and has a restart script goes on with that, from its checkpoint. With --from-scratch it
    runs its cmd, also if it waits to go on. A step that has finished runs its cmd, and so does what rests on it.

    A script that was edited in its workspace is never lost. With --keep-script it runs as it stands: its #SBATCH lines
    count, and its digest is recorded. Without, it is kept beside the script that is written again.

    A step of another host, or of a container of its own, is waited for until that says what became of it. If it never
    will, --lost takes your word for it. Should the step run there all the same, it runs twice.

    When the power of a host is cut, what a step wrote in its last half minute may be lost, though it has finished. A
    tick after the reboot records which steps that may be, 'status' shows them, and --doubted runs them again.
    """
    given = {"rlimit": rlimit, "hardware-limit": hardware_limit}
    limits = {name: value for name, value in given.items() if value is not None}
    alone = sum(flags.values()) == 1 and not limits
    if flags["doubted"]:
        if not alone:
            raise click.UsageError("--doubted stands alone, or with the steps that are meant.")
        ask_of_steps(arguments, lambda graph, patterns, _: repair.retry_doubted(graph, patterns, reason))
        return
    if flags["lost"]:
        if not alone:
            raise click.UsageError("--lost stands alone: name the steps that are gone.")
        ask_of_steps(arguments, lambda graph, patterns, study: _give_up(study, graph, patterns, reason))
        return
    which = {name: flags[name] for name in ("failed", "descendants")}
    how = repair.How(from_scratch=flags["from_scratch"], keep_script=flags["keep_script"])
    ask_of_steps(
        arguments,
        lambda graph, patterns, _: repair.retry(graph, patterns, **which, how=how, limits=limits, reason=reason),
    )


def _give_up(study: OpenStudy, graph: Graph, patterns: Sequence[str], reason: str) -> list[Draft]:
    """Take the word of who asks; what this host can tell of a step itself, it does."""
    by, at = study.log.identity.actor, study.context.now()
    return repair.give_up(graph, patterns, lambda step: bool(study.ask_host(step)), by, at, reason)
