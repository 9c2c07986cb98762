"""The adapter for Slurm. This module decides which options a job has, and writes its script.

The header equals that of Maestro 1.2.1, line by line. It consists of `directives`, which ``sbatch`` also accepts on
its command line. Up to the first command of a script, lines that begin with ``#SBATCH`` contain options (sbatch(1)).
Slurm splits them into words much as a shell does, with quotes and backslashes. Comments may appear between these
lines. If an option appears twice, the last one counts.

`maestro_es.adapters.slurm.client` runs Slurm's commands, and `maestro_es.adapters.slurm.output` reads their output.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.array_map import can_hold
from maestro_es.adapters.base import Array, Job, Submitting, SubmittingArray, noting, stop_if
from maestro_es.adapters.host import Host
from maestro_es.adapters.launcher import Resources, fill_in
from maestro_es.adapters.script import (
    Directive,
    arguments,
    comment_of,
    embedded,
    exclusive,
    header,
    names_beaten,
    option,
    passed_through,
    refusals,
    resources,
    shebang,
)
from maestro_es.adapters.slurm import arrays
from maestro_es.adapters.slurm.client import SlurmJobs, or_without, slurm_environment
from maestro_es.adapters.slurm.options import cpus, launch, without_value
from maestro_es.adapters.slurm.output import forgets_within, has_accounts
from maestro_es.adapters.slurm.placed import SlurmPlaced
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.model import ArrayUse, Micros, is_scheduled
from maestro_es.core.scheduler_facts import COMMON_KEYS, Remark, SchedulerFacts
from maestro_es.core.submission import Outcome
from maestro_es.core.usage import Usage

#: Keys that a step inherits from the batch block if it does not set them itself.
_INHERITED = ("nodes", "procs", "queue", "bank", "reservation", "qos")

#: The options of sbatch(1) with the same meaning as a key of a step.
_SAID_BY = {
    "nodes": ("nodes", "N"),
    "procs": ("ntasks", "n"),
    "cores per task": ("cpus-per-task", "c"),
    "walltime": ("time", "t"),
    "queue": ("partition", "p"),
    "bank": ("account", "A"),
    "reservation": ("reservation",),
    "qos": ("qos", "q"),
    "gpus": ("gres", "gpus", "G", "gpus-per-node", "gpus-per-task", "gpus-per-socket"),
    "exclusive": ("exclusive",),
    "memory": ("mem", "mem-per-cpu", "mem-per-gpu"),
}

#: Options of sbatch(1) that users can't set, because maestro-es decides what runs, where, how often, and under which
#: name.
_REFUSED = frozenset({
    "array", "a", "chdir", "D", "clusters", "M", "help", "h", "job-name", "J", "parsable", "quiet", "Q", "requeue",
    "no-requeue", "test-only", "usage", "version", "V", "wait", "W", "wrap", "uid", "gid",
})  # fmt: skip


#: The subset of these options that may appear in a script. maestro-es overrides them, or they only change the job's
#: name, which does not identify the job.
_HARMLESS = frozenset({"job-name", "J", "parsable", "quiet", "Q", "requeue", "no-requeue"})

#: Words that stand alone on an #SBATCH line, between the options for the parts of a heterogeneous job.
_SEPARATORS = ("hetjob", "packjob")
#: Options that name a file, in the same word or in the next one. If the name contains a backslash, Slurm does not
#: replace patterns in it.
_OF_FILES = re.compile(r"(--output|--error|--input|-[oei])(=?)([^\\]*)")
#: A size that sbatch accepts (22.05): "4GB", but not "4.5G" or "4 G". A space before it is allowed.
_SIZE = re.compile(r"\s*\+?[0-9]+(?:[kmgt]b?)?", re.IGNORECASE)

#: A walltime that Slurm accepts, according to time_str2secs and _is_valid_timespec in its parse_time.c.
_WALLTIME = r"(?i:infinite|unlimited)|-1|[0-9]+(:[0-9]+){0,2}|-[0-9]+|[0-9]+-|[0-9]+-[0-9]+(:[0-9]+){0,2}"


def walltime_remedy(walltime: object) -> str:
    """Return the remedy for a walltime that Slurm can't read. The walltime is passed unchanged, including spaces."""
    text = str(walltime or "")
    if not text or re.fullmatch(_WALLTIME, text):
        return ""
    return "Write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED."


def review(batch: Mapping[str, Any], _runs: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Remark]:
    """Find a value in the batch block that is not valid."""
    if batch.get("array") not in (None, *(use.value for use in ArrayUse)):
        yield Remark(("batch", "array"), "Write auto, always or never.", fatal=True)
    if not re.fullmatch(r"[\w.-]*", str(batch.get("clusters") or "")):
        yield Remark(("batch", "clusters"), "Write the name of one cluster.", fatal=True)


FACTS = SchedulerFacts(
    name="slurm",
    extension="slurm.sh",
    needed_keys=("host", "bank", "queue"),
    keys=(*COMMON_KEYS, "procs", "reservation", "qos", "gpus", "array", "clusters"),
    passes_options=True,
    directive="#SBATCH",
    jobs=schedulers.WITH_ADAPTER["slurm"],
    walltime_remedy=walltime_remedy,
    review=review,
    forgets_within=lambda info, seconds: (
        f"Slurm forgets a job within {seconds} s of its end (MinJobAge) and keeps no accounting records"
        if forgets_within(info, seconds)
        else ""
    ),
)


def directives(
    batch: Mapping[str, Any],
    job_name: str,
    description: str,
    run: Mapping[str, Any],
    *,
    environment: Collection[str] = (),
    with_cpus: bool = True,
) -> list[Directive]:
    """Return the options of a step's job: first those of Maestro, in its order, then those that Maestro leaves out.

    `environment` holds the names of the variables that the step starts with. `with_cpus` adds the CPUs that the
    launchers need. ValueError names the values that no option can express.
    """
    asked = resources(batch, _INHERITED, run)
    wrong: list[str] = []
    maestro: list[Directive] = []
    memory: list[Directive] = []
    passed: list[Directive] = []
    with noting(wrong):
        maestro = _maestro_s(batch, job_name, description, run, asked)
    with noting(wrong):
        memory = _memory(asked.get("memory"))
    with noting(wrong):
        passed = passed_through((batch.get("args"), run.get("args")), _REFUSED, beaten=names_beaten(_SAID_BY, run))
    stop_if(wrong)
    counted = next((directive.value for directive in maestro if directive.option == "--ntasks"), None)
    added = cpus(asked, Resources.by(run), counted, passed, environment) if with_cpus else []
    return [*maestro, *added, *memory, *passed]


def _maestro_s(
    batch: Mapping[str, Any], job_name: str, description: str, run: Mapping[str, Any], asked: Mapping[str, Any]
) -> list[Directive]:
    return [
        *option("--nodes", asked.get("nodes")),
        *option("--partition", asked.get("queue")),
        *option("--account", asked.get("bank")),
        *option("--time", asked.get("walltime")),
        Directive("--job-name", job_name, quoted=True),
        Directive("--output", f"{job_name}.out", quoted=True),
        Directive("--error", f"{job_name}.err", quoted=True),
        Directive("--comment", comment_of(description), quoted=True, gap=" "),
        *option("--reservation", asked.get("reservation"), quoted=True),
        *option("--gres", f"gpu:{asked['gpus']}" if "gpus" in asked else ""),
        *option("--ntasks", asked.get("procs") if batch.get("procs") or "nodes" not in asked else ""),
        *([Directive("--exclusive")] if exclusive(run.get("exclusive"), "allocation") else []),
        *option("--qos", asked.get("qos")),
    ]


def _memory(asked: object) -> list[Directive]:
    directives = option("--mem", asked, added=True)
    if directives and not _SIZE.fullmatch(str(asked)):
        raise ValueError(f"memory is {str(asked)!r}; write a whole number of megabytes, or one with K, M, G or T")
    return directives


def options_in(command: str) -> list[str]:
    """Return the options before the first command of a text. ValueError names those that can't be used there."""
    return embedded(command, FACTS.directive, _faults)


def _faults(options: Sequence[str]) -> Iterator[str]:
    """Yield a message for each option on a line that can't be used there."""
    yield from refusals(options, _REFUSED - _HARMLESS)
    yield from (f"{word} has no value" for word in without_value(options))
    yield from (f"{word} makes several jobs of one step" for word in options if word in _SEPARATORS)


def anchored(options: Iterable[str], folder: str) -> list[str]:
    """Return the options, with the paths of the job's files made absolute if the directory contains a %.

    Slurm puts the directory before a relative name, and then replaces patterns in both: %j becomes the job's id. The
    resulting directory usually does not exist, so the job can't be launched. In the absolute path, %% stands for a %.
    """
    if "%" not in folder:
        return list(options)
    result = list(options)
    for index, word in enumerate(result):
        option = _OF_FILES.fullmatch(word)
        if not option:
            continue
        apart = not option[3]  # the name is the next word
        name = result[index + 1] if apart and index + 1 < len(result) else option[3]
        if not name.startswith("/") and name.lower() not in {"", "none"} and "\\" not in name:
            whole = f"{folder.replace('%', '%%')}/{name}"
            result[index + apart] = whole if apart else f"{option[1]}{option[2]}{whole}"
    return result


class SlurmAdapter(SlurmPlaced):
    """Writes scripts for ``sbatch``, submits jobs, and queries them."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        self._batch = dict(batch)
        self._names = frozenset(host.environment.variables)
        environment = slurm_environment(os.environ, host.environment.variables)
        super().__init__(SlurmJobs(environment, host.environment, str(batch.get("clusters") or "")))

    def directives(
        self, job_name: str, description: str, run: Mapping[str, Any], *, with_cpus: bool = True
    ) -> list[Directive]:
        """Return the options of a step's job, for its script and for the submit command."""
        return directives(self._batch, job_name, description, run, environment=self._names, with_cpus=with_cpus)

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self._header(job_name, description, run, with_cpus=True)

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        """Return the header without the CPUs that the launchers need."""
        return self._header(job_name, description, run, with_cpus=False)

    def _header(self, job_name: str, description: str, run: Mapping[str, Any], *, with_cpus: bool) -> str:
        first = [shebang(self._batch.get("shell"))]
        directives: list[Directive] = []
        wrong: list[str] = []
        if is_scheduled(run):
            with noting(wrong):
                directives = self.directives(job_name, description, run, with_cpus=with_cpus)
            for key in ("cmd", "restart"):
                with noting(wrong):
                    options_in(str(run.get(key) or ""))
        stop_if(wrong)
        return header(first, "#SBATCH", directives)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        limits = Resources.by(resources(self._batch, ("nodes", "procs"), run))
        return fill_in(text, Resources.by(run), limits, lambda asked: launch(asked, run, inside=bool(self._inside)))

    def submit_script(self, path: str, folder: str, environment: Mapping[str, str]) -> Outcome:
        """Submit a script as Maestro does. Its header has the options of the job."""
        return SlurmJobs(environment, name=str(self._batch.get("clusters") or "")).submit_script(path, folder)

    def submission(self, job: Job) -> list[str]:
        """Return the ``sbatch`` command for the runner, with the options in the step's script."""
        return self._jobs.submission(job, self._options(job))

    def submit(self, job: Job) -> Outcome | Submitting:
        """Begin to submit a job with the CPUs that its launchers need.

        If Slurm refuses the job, submit it without these CPUs. A refusal proves that nothing was queued, so the second
        try belongs to the same submission and has the same token. Before the second try, the script is written
        again, so that it shows the options that are used last.
        """
        if placement_of(job.token):
            return self.start_inside(job)
        options, maestro_s = self._options(job), self._options(job, with_cpus=False)
        begun = self._jobs.submit(job, options)
        if options == maestro_s or not isinstance(begun, Submitting):
            return begun
        left_out = tuple(option for option in options if option not in maestro_s)
        again = functools.partial(self._jobs.submit, job, maestro_s)
        return Submitting(begun.command, lambda: or_without(begun.outcome(), {0: job}, again, left_out)[0])

    # -- job arrays --------------------------------------------------------------------------------------------------

    def largest_array(self, cluster_info: Mapping[str, str]) -> int:
        return arrays.largest_array(cluster_info)

    def elements_fail_alone(self, cluster_info: Mapping[str, str]) -> bool:
        return arrays.elements_fail_alone(cluster_info)

    def array_key(self, job: Job) -> tuple[str, ...] | None:
        """Return the options of a job apart from its name and its files. A job with its own files has no key."""
        directed = [] if job.edited else self.directives(job.name, job.description, job.run)
        shared = (*arguments(one for one in directed if one.option not in arrays.OWN), *options_in(job.command))
        has_usual_files = sum(one.option in arrays.OWN for one in directed) == len(arrays.OWN)
        can_be_listed = all(map(can_hold, (str(job.workspace), job.script, job.name)))
        return shared if has_usual_files and can_be_listed and arrays.can_be_shared(shared) else None

    def array_submission(self, array: Array) -> list[str]:
        """Return the ``sbatch`` command for the runner, with the options that all jobs of the array have."""
        return self._jobs.array_submission(array, self._shared_options(array))

    def submit_array(self, array: Array) -> dict[int, Outcome] | SubmittingArray:
        """Begin to submit an array, as `submit` does for a job."""
        options, maestro_s = self._shared_options(array), self._shared_options(array, with_cpus=False)
        begun = self._jobs.submit_array(array, options)
        if not isinstance(begun, Submitting):
            return dict.fromkeys(array.jobs, begun)
        left_out = tuple(option for option in options if option not in maestro_s)
        again = functools.partial(self._jobs.submit_array, array, maestro_s)

        def outcomes() -> dict[int, Outcome]:
            first = arrays.without_limit(begun.outcome())
            by_index = or_without(first, array.jobs, again, left_out) if left_out else dict.fromkeys(array.jobs, first)
            return {index: arrays.of_element(outcome, index) for index, outcome in by_index.items()}

        return SubmittingArray(begun.command, outcomes)

    def query_usage(self, jobs: Mapping[str, str], since: Micros, cluster_info: Mapping[str, str]) -> dict[str, Usage]:
        return self._jobs.query_usage(jobs, since) if has_accounts(cluster_info) else {}

    def _shared_options(self, array: Array, *, with_cpus: bool = True) -> list[str]:
        job = array.first
        directed = self.directives(job.name, job.description, job.run, with_cpus=with_cpus)
        return [*arguments(one for one in directed if one.option not in arrays.OWN), *options_in(job.command)]

    def _options(self, job: Job, *, with_cpus: bool = True) -> list[str]:
        directed = []
        if not job.edited:
            directed = arguments(self.directives(job.name, job.description, job.run, with_cpus=with_cpus))
        options = directed + options_in(job.edited or job.command)
        return anchored(options, str(job.workspace))


ADAPTER = SlurmAdapter
