"""``maestro-es retry``: runs steps again. `maestro_es.core.rerun` has the rules."""

from __future__ import annotations

from typing import Any

import click

from maestro_es.cli.common import example, from_scratch_option, reason_option
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.request_options import ask_of_steps
from maestro_es.core.arguments import settings_of


@example("maestro-es retry ./pi --failed --rlimit 5 --reason 'walltime too short'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY] [STEP]...")
@click.option("--failed", is_flag=True, help="Select only steps that failed or timed out; without STEP, all of them.")
@click.option(
    "--descendants", is_flag=True, help="Also select all steps that depend on the selected steps, in any state."
)
@from_scratch_option
@click.option("--keep-script", is_flag=True, help="Run the scripts that you edited in the workspaces.")
@click.option("--lost", is_flag=True, help="Select steps whose host or container is gone for good.")
@click.option(
    "--doubted",
    is_flag=True,
    help="Select steps that finished just before their host went down, and all steps that depend on them.",
)
@click.option(
    "--rlimit", type=int, help="Set the limit of restarts after time-outs, for the whole study; 0: no limit."
)
@click.option(
    "--hardware-limit",
    type=int,
    help="Set the limit of resubmissions after hardware failures, for the whole study; 0: no limit.",
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
    """Run steps of STUDY again, in their workspaces.

    STEP is a name or a pattern. A pattern selects only steps that failed, timed out or were cancelled. To run a
    finished step again, give its full name. If steps that depend on it have already run, add --descendants to run
    these again too. This command also runs the steps that were not run because a selected step had failed or been
    cancelled. If the study has ended, it continues with the next tick.

    If a selected step had started and has a restart script, it resumes from its checkpoint with that script. With
    --from-scratch it runs its cmd instead. A step that had finished runs its cmd, and so do the steps that depend on
    it.

    If you have edited the script of a step in its workspace, --keep-script runs your script, including its #SBATCH
    lines. Without --keep-script the script is written again, and your script is kept beside it.

    A tick can't see a local step that runs on another host or in another container. It waits until that host reports
    the end of the step. If the host or container is gone for good, use --lost to run the step again here. Make sure
    that the step is not running there any more. Otherwise it runs twice.

    A power cut may destroy the output that a step wrote in its last half minute, even if the step has finished. The
    first tick after the reboot marks such steps, and 'status' shows them. --doubted runs them again.
    """
    chosen = {"rlimit": rlimit, "hardware-limit": hardware_limit}
    limits = {name: value for name, value in chosen.items() if value is not None}
    alone = sum(flags.values()) == 1 and not limits
    if flags["doubted"]:
        if not alone:
            raise click.UsageError("--doubted can be combined with STEPs only.")
        ask_of_steps(arguments, lambda graph, patterns: graph.retry_doubted(*patterns, reason=reason))
        return
    if flags["lost"]:
        if not alone:
            raise click.UsageError("--lost can't be combined with other options: name the steps whose host is gone.")
        ask_of_steps(arguments, lambda graph, patterns: graph.retry_lost(*patterns, reason=reason))
        return
    how = {name: flags[name] for name in ("failed", "descendants", "from_scratch", "keep_script")}
    ask_of_steps(
        arguments, lambda graph, patterns: graph.retry(*patterns, **how, **_as_arguments(limits), reason=reason)
    )


def _as_arguments(limits: dict[str, int]) -> dict[str, Any]:
    """Return the limits as arguments. RequestRefused if one is out of range."""
    return {**settings_of(limits)}
