"""Decides which environment variables the steps of a study get. Users choose them with ``run --export``.

The option works like ``sbatch --export``, with two differences. First, ALL leaves out the variables of one login or
one job, because their values are wrong after the login or the job has ended. Second, with NONE or a list, no node
loads a login environment, because the environments of two nodes may differ. The steps get the variables in `_ALWAYS`
instead.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from maestro_es.core.attempt_token import TOKEN_VARIABLE
from maestro_es.core.environment import is_name
from maestro_es.core.scheduler_facts import JobEnvironment

#: Variables of one process.
_OF_A_PROCESS = (
    "_", "PWD", "OLDPWD", TOKEN_VARIABLE, "MAESTRO_ES_BY_CRON", "MAESTRO_ES_FUNCTION_*", "MAESTRO_ES_KEPT*",
    "MAESTRO_ES_LIMITS", "MAESTRO_ES_NICE", "MAESTRO_ES_UMASK",
)  # fmt: skip

#: Variables of one login, terminal or service. Their values are wrong after the user has logged out.
LOGIN = (
    "SSH_*", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_SESSION_*", "XDG_RUNTIME_DIR", "XDG_SEAT*", "XDG_VTNR",
    "DBUS_SESSION_BUS_*", "SESSION_MANAGER", "GPG_TTY", "GPG_AGENT_INFO", "TMUX", "TMUX_PANE", "STY", "WINDOW",
    "WINDOWID", "*TERM_SESSION_ID", "KONSOLE_DBUS_*", "GNOME_TERMINAL_*", "VSCODE_*", "INVOCATION_ID",
    "JOURNAL_STREAM", "NOTIFY_SOCKET", "MAINPID", "LISTEN_FDS", "LISTEN_PID",
)  # fmt: skip

#: Variables of one task of a job, which launchers set.
LAUNCHER = ("PALS_*", "PMI_*", "PMIX_*", "OMPI_COMM_WORLD_*")

#: The variables that steps get even without ALL: the user's name and home, and the paths of programs.
_ALWAYS = ("HOME", "LOGNAME", "PATH", "SHELL", "USER", "MAESTRO_ES_HOME")

#: An exported function of bash.
_FUNCTION = re.compile(r"BASH_FUNC_[!-~]*(%%|\(\))")
_ITEM = re.compile(r"""((?:[^,'"]|'[^']*'|"[^"]*")*)(?:,|$)""")

#: ``$NAME`` and ``${NAME}`` in a command.
_USE = re.compile(r"(?<!\\)\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*))")


class ExportChoice(NamedTuple):
    """Which variables the steps get: `everything` (ALL), these `names`, and these `values`.

    `names` may hold ``*``, as in ``SLURM_*``.
    """

    everything: bool = True
    names: tuple[str, ...] = ()
    values: Mapping[str, str] = {}

    def __str__(self) -> str:
        """Return the text of the option, without the values."""
        return ",".join([*(["ALL"] if self.everything else []), *self.names, *self.values]) or "NONE"


def read_export(text: str) -> ExportChoice:
    """Parse ``--export``: ALL, NONE, or a list of NAME and NAME=VALUE, as in sbatch(1). ValueError if it is empty."""
    if text.upper() in {"NONE", "NIL"}:
        return ExportChoice(everything=False)
    everything, names, values = False, list[str](), dict[str, str]()
    for item in filter(None, _items(text)):
        name, sign, value = item.partition("=")
        if item.upper() == "ALL":
            everything = True
        elif not is_name(name if sign else name.replace("*", "x").replace("%", "x")):
            raise ValueError(f"{name!r} is not the name of a variable; write ALL, NONE, or NAME,NAME=VALUE,...")
        elif sign:
            values[name] = _unquoted(value)
        else:
            names.append(name)
    if not (everything or names or values):
        raise ValueError("write ALL, NONE, or NAME,NAME=VALUE,...")
    return ExportChoice(everything, tuple(names), values)


def _items(text: str) -> Iterator[str]:
    """Yield the items between the commas. A quoted comma belongs to a value."""
    position = 0
    while position < len(text):
        item = _ITEM.match(text, position)
        if not item or item.end() == position:
            raise ValueError(f"a quote is not closed in {text.partition('=')[0]}=...")
        yield item[1].strip()
        position = item.end()


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


class Choice(NamedTuple):
    """The `variables` of an environment, and the names that were left out, by reason.

    `job` holds the variables of the surrounding job. `protocol` holds variables that are in `JobEnvironment.protocol`.
    `odd` holds names that a shell can't pass on. `unset` holds names that were requested but are not set.
    """

    variables: dict[str, str]
    job: tuple[str, ...]
    protocol: tuple[str, ...]
    odd: tuple[str, ...]
    unset: tuple[str, ...]


def choose(environ: Mapping[str, str], export: ExportChoice, schedulers: Sequence[JobEnvironment]) -> Choice:
    """Return the environment of a study that is created in the environment `environ`."""
    is_named = _any_of(export.names)
    job, protocol, odd = list[str](), list[str](), list[str]()
    chosen: dict[str, str] = {}
    is_wanted = (
        (lambda _: True) if export.everything else _any_of([*_ALWAYS, *_all(schedulers, "always"), *export.names])
    )
    around = [scheduler for scheduler in schedulers if any(map(environ.get, scheduler.job_ids))]
    of_job = _any_of([*LAUNCHER, *_all(schedulers, "of_job"), *_all(around, "options")])
    of_login, of_process, settings = _any_of(LOGIN), _any_of(_OF_A_PROCESS), _any_of(_all(schedulers, "settings"))
    of_protocol = _all(schedulers, "protocol")
    for name, value in environ.items():
        named = is_named(name)
        if of_process(name) or not is_wanted(name):
            continue
        if name in of_protocol:
            protocol.append(name)
        elif not (is_name(name) or _FUNCTION.fullmatch(name)):
            odd.append(name)
        elif not named and value and of_job(name) and not settings(name):  # an empty variable belongs to no job
            job.append(name)
        elif named or not of_login(name):
            chosen[name] = value
    protocol += [name for name in export.values if name in of_protocol]
    chosen |= {name: value for name, value in export.values.items() if name not in of_protocol}
    unset = [name for name in export.names if "*" not in name and name not in environ]
    return Choice(chosen, *(tuple(sorted(names)) for names in (job, protocol, odd, unset)))


def _all(schedulers: Iterable[JobEnvironment], kind: str) -> list[str]:
    return [name for scheduler in schedulers for name in getattr(scheduler, kind)]


def _any_of(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name matches one of these patterns."""
    return _matcher(tuple(patterns))


@functools.cache
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    either = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
    return lambda name: either.match(name) is not None


def remarks(choice: Choice) -> list[str]:
    """Return warnings about variables that an environment leaves out."""
    lines = []
    if choice.job:
        lines.append(
            f"this shell is inside a job; the steps do not get its variables {_some(choice.job)}; "
            f"--export 'ALL,{','.join(_families(choice.job))}' passes them on"
        )
    if choice.protocol:
        lines.append(
            f"the steps do not get {', '.join(choice.protocol)}, because such variables would change how many times a "
            "step runs, where its job is queued, or which files it sees"
        )
    if choice.odd:
        lines.append(f"the steps do not get {_some(choice.odd)}: a shell can't pass such names on")
    if choice.unset:
        lines.append(f"--export lists variables that are not set: {', '.join(choice.unset)}")
    return lines


def _families(names: Iterable[str]) -> list[str]:
    """Group names by the part before their first ``_``, and return a pattern for each group."""
    return list(dict.fromkeys(f"{name.partition('_')[0]}_*" if "_" in name else name for name in names))


def _some(names: tuple[str, ...]) -> str:
    few = 6
    rest = len(names) - few
    return ", ".join(map(repr, names[:few])).replace("'", "") + (f" and {rest} more" if rest > 0 else "")


def is_of_a_process(name: str) -> bool:
    """Return whether a variable belongs to one process or to maestro-es."""
    return _any_of(_OF_A_PROCESS)(name)


def is_of_the_protocol(name: str, schedulers: Sequence[JobEnvironment]) -> bool:
    """Return whether a variable changes how many times a step runs, where its job is queued, or what files it sees."""
    return name in _all(schedulers, "protocol")


def not_exported(
    command: str, environ: Mapping[str, str], exported: Mapping[str, str], schedulers: Sequence[JobEnvironment]
) -> list[str]:
    """Return the variables that are set now, if a command uses them but its step will not have them.

    The result leaves out variables that the command or the scheduler sets, and variables of this process alone.
    """
    used = dict.fromkeys(name or braced for name, braced in _USE.findall(command))
    missing = [name for name in used if name in environ and name not in exported]
    of_process = _any_of(_OF_A_PROCESS if missing else ())
    return [name for name in missing if not of_process(name) and not _is_made(command, name, schedulers)]


def _is_made(command: str, name: str, schedulers: Sequence[JobEnvironment]) -> bool:
    """Return whether the command itself, or the scheduler of its job, sets a variable."""
    return (
        _any_of([*LAUNCHER, *_all(schedulers, "of_job")])(name)
        or re.search(rf"(?<![\w$]){name}\+?=|\b(read|for|select|getopts)\b[^\n;]*\b{name}\b", command) is not None
    )
