"""``maestro-es retry``: run steps again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from maestro_es.cli.common import example, from_scratch_option, reason_option
from maestro_es.cli.request_options import ask_of_steps
from maestro_es.core import rerun
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.study.session import Session


@example("maestro-es retry ./pi --failed --rlimit 5 --reason 'walltime too short'")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [STEP]...")
@click.option("--failed", is_flag=True, help="Only steps that failed or timed out; without STEP, all of them.")
@click.option("--descendants", is_flag=True, help="Also all steps after these, in whatever state they are.")
@from_scratch_option
@click.option("--keep-script", is_flag=True, help="Run scripts as you edited them in their workspaces.")
@click.option("--lost", is_flag=True, help="Steps on a host or in a container that is gone for good; see above.")
@click.option(
    "--doubted", is_flag=True, help="Steps that finished just before their host went down, and all steps after them."
)
@click.option("--rlimit", type=int, help="Restarts of a step after a timeout, for the whole study; 0: no limit.")
@click.option(
    "--hardware-limit",
    type=int,
    help="Resubmissions of a step after hardware failures, for the whole study; 0: no limit.",
)
@reason_option
def command(
    arguments: tuple[str, ...],
    *,
    rlimit: int | None,
    hardware_limit: int | None,
    reason: str,
    **flags: bool,
) -> None:
    """Run steps of STUDY again, in their present workspaces.

    STEP is a name or a pattern. A pattern selects steps that failed or were cancelled. To run a finished step again,
    give its full name; if steps after it have run, add --descendants to run them again too. Steps that ended because
    of a selected step run again with it. If the study has ended, it continues with the next tick.

    If a selected step had started and has a restart script, it resumes from its checkpoint with that script.
    --from-scratch makes it run its cmd instead, also if it already waits to resume. A step that had finished runs its
    cmd, and so do the steps after it.

    If you edited a script in its workspace, --keep-script runs it as it stands: its #SBATCH lines count, and its
    digest is recorded. Without --keep-script the script is written again, and your edit is kept beside it.

    A tick can't see a step of another host or of another container. It waits until that host reports the end of the
    step. If the host or container is gone for good, --lost lets the step run again here. If the step still runs there,
    it runs twice.

    A power cut may lose what a step wrote in its last half minute, even if the step has finished. A tick after the
    reboot marks the steps that may be affected, 'status' shows them, and --doubted runs them again.
    """
    given = {"rlimit": rlimit, "hardware-limit": hardware_limit}
    limits = {name: value for name, value in given.items() if value is not None}
    alone = sum(flags.values()) == 1 and not limits
    if flags["doubted"]:
        if not alone:
            raise click.UsageError("Give --doubted alone, or with STEPs only.")
        ask_of_steps(arguments, lambda graph, patterns, _: rerun.retry_doubted(graph, patterns, reason))
        return
    if flags["lost"]:
        if not alone:
            raise click.UsageError("--lost stands alone: name the steps that are gone.")
        ask_of_steps(arguments, lambda graph, patterns, study: _give_up(study, graph, patterns, reason))
        return
    which = {name: flags[name] for name in ("failed", "descendants")}
    how = rerun.How(from_scratch=flags["from_scratch"], keep_script=flags["keep_script"])
    ask_of_steps(
        arguments,
        lambda graph, patterns, _: rerun.retry(graph, patterns, **which, how=how, limits=limits, reason=reason),
    )


def _give_up(study: Session, graph: Graph, patterns: Sequence[str], reason: str) -> list[NewEvent]:
    """Take the word of who asks; what this host can tell of a step itself, it does."""
    by, at = study.log.identity.actor, study.runtime.now()
    return rerun.give_up(graph, patterns, lambda step: bool(study.ask_host(step)), by, at, reason)
