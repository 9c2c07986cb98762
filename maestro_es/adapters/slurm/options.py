"""Rules for the options of Slurm's commands.

`cpus` decides which CPUs a job requests so that its launchers can start. `without_value` finds options of sbatch that
lack their value, and `launch` makes the command of a launcher. `maestro_es.adapters.slurm.adapter` decides which other
options a job has.

Maestro requests no CPUs, so Slurm may accept Maestro's job but refuse ours. If the text of a launcher shows that the
launcher does not need CPUs, none are requested.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from maestro_es.adapters.launcher import Resources, launchers, whole_number
from maestro_es.adapters.script import Directive, option

#: Variables that let ``srun`` start more tasks than there are CPUs. srun reads the first variable, and sbatch sets it
#: if it gets the option. sbatch reads the second variable. Any value has this effect.
OVERCOMMIT = ("SLURM_OVERCOMMIT", "SBATCH_OVERCOMMIT")

_OVERCOMMITS = re.compile(r"SLURM_OVERCOMMIT|^#SBATCH\s(?:.*\s)?(?:--overcommit|-O)(?!\S)", re.MULTILINE)

#: A word of a shell command, with its quotes. It ends before a character that ends the command.
_WORD = re.compile(r"""\s*((?:[^\s"';|&]|'[^']*'|"(?:\\.|[^"\\])*")+)""")

#: Options of srun(1) that set the number of its tasks or of their CPUs.
_OWN_SHORT, _OWN_LONG = "nOc", ("ntasks", "overcommit", "cpus-per-task")

#: Options of srun(1) without a value, and those whose value can't be a separate word.
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
    """Return the option for the CPUs that a script's launchers need, if Slurm would otherwise give the job fewer.

    By default, Slurm gives a job one CPU for each node or for each task. `counted` is the number of tasks in the
    header. If it is None, CPUs for each node are requested, but no tasks, so that a user's own ``srun`` starts as many
    tasks as in Maestro's job.

    The result is empty for a script without a launcher, or with numbers that can't be read, as in ``--nodes=2-4``. It
    is also empty if an option that is `passed` through, or a variable in the `environment`, lets tasks share CPUs.
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


def launch(asked: Resources, run: Mapping[str, Any], *, inside: bool = False) -> str:
    """Return the ``srun`` command for these resources. Inside an allocation, the agent provides more options."""
    parts = [("-n", asked.procs), ("-N", asked.nodes), ("-c", run.get("cores per task"))]
    return " ".join(
        ["srun", *["$MAESTRO_ES_LAUNCHER"] * inside, *(f"{flag} {value}" for flag, value in parts if value)]
    )


def has_own_size(rest: str) -> bool:
    """Return whether options of srun after a launcher set the number of tasks or CPUs.

    The options end at the first word that is neither an option nor its value. That word is the program.
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


#: Options of sbatch 20.02 to 24.11 that need a value. Others have no value, or take an optional one after "=".
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
    """Yield the options on one line that lack a required value."""
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
    """Return whether the next word is the value of this option."""
    if word.startswith("--"):
        return word[2:] in _VALUE_LONG
    return len(word) == 2 and word[0] == "-" and word[1] in _VALUE_SHORT  # noqa: PLR2004 - a dash and a letter
