"""``maestro-es import-log``: creates a study directory from an export of its log."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example
from maestro_es.cli.output import say, say_done
from maestro_es.execution_graph.creating import CreatableGraph
from maestro_es.store.log_export import ExportReader
from maestro_es.study.invocation import Runtime


@example("maestro-es import-log pi.jsonl ./pi-again")
@click.command("import-log")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--upto-damage", is_flag=True, help="Import only the lines before the first damaged line.")
@click.option("--repair", is_flag=True, help="Repair events that can't be decoded, as 'rebuild --repair' does.")
def command(file: Path, directory: Path, *, upto_damage: bool, repair: bool) -> None:
    """Create the study directory DIRECTORY, with the event log from FILE, which 'export' wrote.

    The command checks every line as 'verify' does. It imports the log completely or not at all. For the imported log,
    'verify' prints the same head as for the exported log.

    The new directory is not on the list of 'maestro-es studies', so cron does not tick it. If you tick it yourself,
    the study continues there, as if it had been moved. Ticks of the new directory are refused while the original
    directory still has its log. If the study has continued since the export, use 'recover' instead.
    """
    if repair and upto_damage:
        raise click.UsageError("Give one of --repair and --upto-damage.")
    export = ExportReader(file, upto_damage=upto_damage)
    imported = CreatableGraph.import_log(export, directory, Runtime(), repair=repair)
    if export.damage:
        say(f"maestro-es: {export.damage}; only the lines before it were imported", err=True)
    was = f" of the study in {imported.was}" if imported.was != str(imported.root) else ""
    say_done(f"{imported.root}: {imported.head.seq} events{was}; head {imported.head.digest.hex()}")
