"""The functions of Maestro's commands, for programs that call them. The counterpart of ``maestrowf.maestro``.

`run_study` calls ``maestro-es run``. The other functions leave a request in the study's directory or read its status
table. A tick carries the requests out.
"""

from __future__ import annotations

import itertools
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maestro_es.compat.conductor import Conductor
from maestro_es.compat.status import status_renderer_factory
from maestro_es.compat.tools import run_to_end
from maestro_es.errors import EXIT_ERROR, EXIT_OK
from maestro_es.import_path import own_command
from maestro_es.study_file.pgen import VERSION

_YES = ("y", "yes")
_SETTINGS = ("rlimit", "throttle", "sleep")

#: The options of ``run`` with a value, and those without one, by their names in a parsed command line.
_WITH_VALUE = {
    "attempts": "--attempts",
    "rlimit": "--rlimit",
    "throttle": "--throttle",
    "sleeptime": "--sleeptime",
    "pgen": "--pgen",
    "out": "--out",
}
_FLAGS = {
    "dry": "--dry",
    "fg": "-fg",
    "hashws": "--hashws",
    "usetmp": "--usetmp",
    "autono": "--autono",
    "autoyes": "--autoyes",
}


def run_study(args: Namespace) -> int:
    """Call ``maestro-es run``. Returns its exit code."""
    options = vars(args)
    argv = [f"{option}={options[name]}" for name, option in _WITH_VALUE.items() if options.get(name) is not None]
    argv += [option for name, option in _FLAGS.items() if options.get(name)]
    argv += [f"--pargs={text}" for text in options.get("pargs") or ()]
    return run_to_end([*own_command(), "run", *argv, args.specification])


def status_study(args: Namespace) -> int:
    """Print the status tables of studies."""
    for directory in args.directory:
        path = os.path.abspath(directory)  # noqa: PTH100 - as Maestro names it
        status = Conductor.get_status(path)
        if not status:
            _say(f"{path}: there is no status table; this is not a study, or none of its steps has run")
            continue
        renderer = status_renderer_factory.get_renderer(args.layout, args.disable_theme, args.disable_pager)
        renderer.layout(status_data=status, study_title=path)
        renderer.render()
    return EXIT_OK


def cancel_study(args: Namespace) -> int:
    """Ask for confirmation, and request that studies are cancelled. Returns 1 if a directory does not exist."""
    there, missing = _directories(args.directory)
    if there and (args.autoyes or input(f"Cancel {', '.join(there)}? [y|[n]]: ").lower() in _YES):
        for directory in there:
            Conductor.mark_cancelled(directory)
    return EXIT_ERROR if missing else EXIT_OK


def validate_update_args(args: Namespace, directory_list: Sequence[str]) -> bool:
    """Return whether each setting has one value, or one for each directory."""
    wrong = [name for name in _SETTINGS if len(getattr(args, name) or ()) not in {0, 1, len(directory_list)}]
    for name in wrong:
        _say(f"--{name} needs one value for all directories, or one for each of them")
    return not wrong


def expand_update_args(args: Namespace, directory_list: Sequence[str]) -> list[dict[str, int | None]]:
    """Return the settings for each directory (None: the setting does not change)."""
    values = {name: getattr(args, name) or [None] for name in _SETTINGS}
    rows = {name: column if len(column) > 1 else itertools.repeat(column[0]) for name, column in values.items()}
    columns = zip(directory_list, *rows.values(), strict=False)
    return [dict(zip(_SETTINGS, row[1:], strict=True)) for row in columns]


def update_study_exec(args: Namespace) -> int:
    """Request other settings for studies. Returns 1 if this fails."""
    _, missing = _directories(args.directory)
    if missing or not validate_update_args(args, args.directory):
        return EXIT_ERROR
    updates: list[Mapping[str, Any]] = list(expand_update_args(args, args.directory))
    if all(value is None for settings in updates for value in settings.values()):
        _say("there is nothing to change: give --rlimit, --throttle or --sleep")
        return EXIT_ERROR
    for directory, settings in zip(args.directory, updates, strict=True):
        Conductor.update_study_exec(directory, settings)
    return EXIT_OK


def _directories(directories: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the directories that exist, and those that don't. Print a line for each of the latter."""
    missing = [directory for directory in directories if not Path(directory).is_dir()]
    for directory in missing:
        _say(f"{directory}: there is no such directory")
    return [directory for directory in directories if directory not in missing], missing


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def setup_argparser() -> ArgumentParser:
    """Return a parser of Maestro's command lines. In its result, `func` is the function of the command."""
    parser = ArgumentParser(prog="maestro", description="Maestro's commands, for studies of maestro-es.")
    parser.add_argument("-v", "--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument("-l", "--logpath")
    parser.add_argument("-d", "--debug_lvl", type=int, default=2)
    parser.add_argument("-c", "--logstdout", action="store_true", default=True)
    commands = parser.add_subparsers(dest="subparser")
    cancel = commands.add_parser("cancel", help="cancel studies")
    cancel.add_argument("-y", "--autoyes", action="store_true")
    update = commands.add_parser("update", help="change settings of studies")
    for name in _SETTINGS:
        update.add_argument(f"--{name}", action="append", type=int, default=[])
    status = commands.add_parser("status", help="print the status of studies")
    status.add_argument("--layout", choices=status_renderer_factory.get_layouts(), default="flat")
    status.add_argument("--disable-theme", action="store_true")
    status.add_argument("--disable-pager", action="store_true")
    for command, function in ((cancel, cancel_study), (update, update_study_exec), (status, status_study)):
        command.add_argument("directory", nargs="+")
        command.set_defaults(func=function)
    _add_run(commands.add_parser("run", help="run a study"))
    return parser


def _add_run(run: ArgumentParser) -> None:
    run.add_argument("specification")
    for short, name, default in (("-a", "attempts", 1), ("-r", "rlimit", 1), ("-t", "throttle", 0)):
        run.add_argument(short, f"--{name}", type=int, default=default)
    run.add_argument("-s", "--sleeptime", type=int, default=60)
    run.add_argument("-p", "--pgen")
    run.add_argument("--pargs", action="append", default=[])
    run.add_argument("-o", "--out")
    run.add_argument("-fg", action="store_true")
    for name in ("dry", "hashws", "usetmp"):
        run.add_argument(f"--{name}", action="store_true")
    answers = run.add_mutually_exclusive_group()
    answers.add_argument("-n", "--autono", action="store_true")
    answers.add_argument("-y", "--autoyes", action="store_true")
    run.set_defaults(func=run_study)


def main() -> None:
    """Run the command line of this process like Maestro."""
    parser = setup_argparser()
    args = parser.parse_args()
    if args.subparser is None:
        parser.print_help()
        raise SystemExit(EXIT_OK)
    raise SystemExit(args.func(args))
