"""``maestro-es example``: copies an example study from the package."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

import click

from maestro_es import files
from maestro_es.cli.common import example
from maestro_es.cli.output import say_done, write_lines
from maestro_es.errors import RequestRefused
from maestro_es.report.table import columns

_HEADER = ("Name", "Description")


@example("maestro-es example hello_world", "maestro-es example monte_carlo_pi -o pi_study")
@click.command()
@click.argument("name", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The directory to create.  [default: NAME]")
def command(name: str | None, out: Path | None) -> None:
    """Copy the example study NAME into a new directory. Without NAME, list the examples."""
    folder = Path(str(resources.files("maestro_es.examples")))
    examples = {path.parent.name: path.parent for path in folder.glob("*/*.yaml")}
    if name is None:
        write_lines(columns(_HEADER, [[key, _description(examples[key])] for key in sorted(examples)]))
        return
    if name not in examples:
        raise RequestRefused(f"{name}: there is no such example; there are {', '.join(sorted(examples))}")
    target = out or Path(name)
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise RequestRefused(f"{target} exists; name another directory with -o") from None
    for file in examples[name].iterdir():
        if file.is_file():
            files.write(target / file.name, file.read_bytes())
    run = shlex.join(["maestro-es", "run", "--wait", str(target / f"{name}.yaml")])
    say_done(f"Copied to {target}; run it with: {run}")


def _description(folder: Path) -> str:
    """Return the first line of the comment with which the study file begins."""
    with (folder / f"{folder.name}.yaml").open() as file:
        return file.readline().strip("# \n")
