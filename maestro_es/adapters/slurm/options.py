"""Slurm: the options of its commands that a script may depend on. Pure.

`cpus` decides which CPUs a job asks for so that its launchers can start; `without_value` finds options of sbatch that
lack their value. Which options a script has at all is decided in `maestro_es.adapters.slurm.adapter`.

Maestro asks for no CPUs, so its job may be accepted where a job with such a line is refused. A launcher that does
not need these CPUs, as far as its text shows, adds no line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from maestro_es.adapters.launcher import Resources, launchers, whole_number
from maestro_es.adapters.script import Directive, option

#: What lets ``srun`` start more tasks than there are CPUs: its variable, which sbatch sets if it has the option, and
#: sbatch's own variable. Any value counts.
OVERCOMMIT = ("SLURM_OVERCOMMIT", "SBATCH_OVERCOMMIT")

_OVERCOMMITS = re.compile(r"SLURM_OVERCOMMIT|^#SBATCH\s(?:.*\s)?(?:--overcommit|-O)(?!\S)", re.MULTILINE)

#: A word of a shell command, with its quotes; and what ends the command.
_WORD = re.compile(r"""\s*((?:[^\s"';|&]|'[^']*'|"(?:\\.|[^"\\])*")+)""")

#: Options of srun(1) that give its tasks and their CPUs another number than ours.
_OWN_SHORT, _OWN_LONG = "nOc", ("ntasks", "overcommit", "cpus-per-task")

#: Options of srun(1) without a value, and those whose value can't be a word of its own.
_FLAGS, _ATTACHED = "EHhlQsuvVXZ", "IKk"
_LONG_FLAGS = frozenset({
    "preserve-env", "hold", "immediate", "no-kill", "kill-on-bad-exit", "label", "quiet", "oversubscribe", "share",
    "unbuffered", "verbose", "disable-status", "no-allocate", "pty", "overlap", "exact", "exclusive", "multi-prog",
    "contiguous", "spread-job", "use-min-nodes", "whole", "interactive", "propagate", "compress", "send-libs", "x11",
    "reboot",
})  # fmt: skip


def cpus(
    asked: Mapping[str, Any],
    step: Resources,
    counted: str | None,
    passed: Iterable[Directive],
    environment: Collection[str],
) -> list[Directive]:
    """Return the CPUs that a script's launchers take, if Slurm would give the job fewer: one a node, or one a task.

    `counted` is the number of tasks in the header. Where there is none, the CPUs of a node are asked for, and no
    tasks: an ``srun`` of the user's own starts as many as in Maestro's job. A script without a launcher gets no line,
    nor does one whose numbers are none, as in ``--nodes=2-4``. Nor does one whose tasks may share CPUs: by an option
    that is `passed` through, or by a name in the `environment`.
    """
    command = str(asked.get("cmd") or "")
    shared = any(directive.option in {"--overcommit", "-O"} for directive in passed)
    if shared or _OVERCOMMITS.search(command) or any(name in environment for name in OVERCOMMIT):
        return []
    resources = launchers(command, step, counts=lambda rest: not has_own_size(rest))
    try:
        cores, tasks = whole_number(str(asked.get("cores per task") or 1), ""), whole_number(counted or "1", "")
        needed = [(one.nodes or asked.get("nodes") or 1, one.procs or counted or one.nodes) for one in resources]
        numbers = [(whole_number(str(nodes), ""), whole_number(str(procs), "")) for nodes, procs in needed]
    except ValueError:
        return []
    if counted is None:
        most = max((-(-procs // nodes) * cores for nodes, procs in numbers), default=0)
        return option("--mincpus", most if most > 1 else "", added=True)
    most = max((procs * cores for _, procs in numbers), default=0)
    return option("--cpus-per-task", -(-most // tasks) if most > tasks else "", added=True)


def has_own_size(rest: str) -> bool:
    """Whether what follows a launcher begins with options of srun that say how many tasks and CPUs there are.

    The options end at the first word that is neither one nor the value of one: the program, whose options are its own.
    """
    value_follows = False
    for word in _words(rest):
        if value_follows:
            value_follows = False
        elif word == "--" or not word.startswith("-"):
            return False
        elif word.startswith("--"):
            name, equals, _ = word[2:].partition("=")
            if any(own.startswith(name) or name.startswith(own) for own in _OWN_LONG):
                return True
            value_follows = not equals and name not in _LONG_FLAGS
        else:
            end = next((index for index, letter in enumerate(word) if index and letter not in _FLAGS), None)
            if end is not None and word[end] in _OWN_SHORT:
                return True
            value_follows = end == len(word) - 1 and word[end] not in _ATTACHED
    return False


def _words(rest: str) -> Iterable[str]:
    position = 0
    while match := _WORD.match(rest, position):
        yield match[1]
        position = match.end()


#: Options of sbatch 20.02 to 24.11 that need a value. Others may have no value, or one that only "=" can give.
_VALUE_LONG = frozenset({
    "account", "acctg-freq", "array", "batch", "bb", "bbf", "begin", "chdir", "cluster-constraint", "clusters",
    "comment", "constraint", "container", "core-spec", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "cpus-per-task",
    "deadline", "delay-boot", "dependency", "distribution", "error", "exclude", "export", "export-file",
    "extra-node-info", "gpu-bind", "gpu-freq", "gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres",
    "gres-flags", "hint", "input", "job-name", "licenses", "mail-type", "mail-user", "mcs-label", "mem", "mem-bind",
    "mem-per-cpu", "mem-per-gpu", "mincpus", "network", "nodefile", "nodelist", "nodes", "ntasks", "ntasks-per-core",
    "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket", "open-mode", "output", "partition", "power", "prefer",
    "priority", "profile", "qos", "reservation", "signal", "sockets-per-node", "switches", "thread-spec",
    "threads-per-core", "time", "time-min", "tmp", "tres-per-task", "wait-all-nodes", "wckey", "wrap",
})  # fmt: skip
_VALUE_SHORT = "aAbBcCdDeFGiJLMmnNopqStwx"


def without_value(options: Sequence[str]) -> Iterator[str]:
    """Yield the options on one line that need a value and have none."""
    expected = ""
    for word in options:
        if expected and word.startswith("--"):
            yield expected
        elif expected:
            expected = ""
            continue
        expected = word if _needs_next(word) else ""
    if expected:
        yield expected


def _needs_next(word: str) -> bool:
    """Whether the next word is the value of this option."""
    if word.startswith("--"):
        return word[2:] in _VALUE_LONG
    return len(word) == 2 and word[0] == "-" and word[1] in _VALUE_SHORT  # noqa: PLR2004 - a dash and a letter
