"""``maestro-es completion``: prints a script that completes command lines in a shell.

click makes the script. `maestro_es.cli.completed_words` completes studies and steps.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from maestro_es.cli.common import example
from maestro_es.cli.output import write_data
from maestro_es.errors import MaestroError

#: The environment variable with which a shell asks for completions.
VARIABLE = "_MAESTRO_ES_COMPLETE"


@example("maestro-es completion bash")
@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script that completes commands, options, studies and steps in bash, zsh or fish.

    \b
    Save the script as
      bash: ~/.local/share/bash-completion/completions/maestro-es
      zsh:  _maestro-es, in a directory of $fpath
      fish: ~/.config/fish/completions/maestro-es.fish
    """  # noqa: D301 - click keeps the lines below its mark as they are
    completion = get_completion_class(shell)
    if completion is None:
        raise MaestroError(f"this version of click completes nothing in {shell}; install click 8.1 or later")
    write_data(completion(click.Group("maestro-es"), {}, "maestro-es", VARIABLE).source())
