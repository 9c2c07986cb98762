"""``maestro-es import-log``: a study directory from an export."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example
from maestro_es.cli.output import say
from maestro_es.creation.import_log import import_log
from maestro_es.store.log_export import ExportReader
from maestro_es.study.invocation import Runtime


@example("maestro-es import-log pi.jsonl ./pi-again")
@click.command("import-log")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--upto-damage", is_flag=True, help="Take what stands before the first damaged line.")
@click.option("--repair", is_flag=True, help="Correct events that no reader can decode, as 'rebuild --repair' does.")
def command(file: Path, directory: Path, *, upto_damage: bool, repair: bool) -> None:
    """Make the new study directory DIRECTORY with the event log that FILE, made by 'export', holds.

    Every line is checked as by 'verify'; the log is there whole or not at all, and its head is that of the exported
    one. The study is not registered: cron lets it alone. A tick there goes on with it as if it had been moved, unless
    its own directory still has its log. A study that has gone on since the export is brought back by 'recover'.
    """
    if repair and upto_damage:
        raise click.UsageError("Give one of --repair and --upto-damage.")
    export = ExportReader(file, upto_damage=upto_damage)
    imported = import_log(export, directory, Runtime(), repair=repair)
    if export.damage:
        say(f"maestro-es: {export.damage}; all before it was taken", err=True)
    was = f" of the study in {imported.was}" if imported.was != str(imported.root) else ""
    say(f"{imported.root}: {imported.head.seq} events{was}; head {imported.head.digest.hex()}")
