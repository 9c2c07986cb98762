"""Slurm: options of sbatch(1) that need a value. Pure.

Without one, sbatch takes the next word for it, which here may be the runner's path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Of sbatch 20.02 to 24.11. Others may have no value, or one that only "=" can give.
_LONG = frozenset({
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
_SHORT = "aAbBcCdDeFGiJLMmnNopqStwx"


def without_value(words: Sequence[str]) -> Iterator[str]:
    """Yield the options on one line that need a value and have none."""
    expected = ""
    for word in words:
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
        return word[2:] in _LONG
    return len(word) == 2 and word[0] == "-" and word[1] in _SHORT  # noqa: PLR2004 - a dash and a letter
