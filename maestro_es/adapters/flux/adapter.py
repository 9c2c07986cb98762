"""The adapter for Flux. It writes the scripts of steps, and submits their jobs.

**Scripts** are the same as from Maestro's interface for flux-core 0.49 (`options`). Maestro asks the broker for two
things: its version, which it writes into a comment, and its queues, because it omits the queue if the broker has none.
Here, writing a script does not contact a broker. The queue is omitted when the job is submitted.

**Jobs.** A step runs in a separate Flux instance, as with ``flux batch``. With ``nested: false`` it is one task with
all resources, because ``flux submit`` would start the runner once for each process (`jobspec`). The name of a job
consists of the name of its step and the token of the attempt: STEP.TOKEN. One list of all jobs serves all studies
(`client`). It shows only the names and directories of jobs (`output`).

**Ends.** At the time limit, Flux sends SIGALRM, and SIGKILL five seconds later. ``flux cancel`` sends SIGTERM, and
SIGKILL five seconds later. A job of ``flux batch`` also gets SIGHUP. Processes in another session survive all this,
unless the site uses cgroups.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.allocated import InsideAdapter
from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting, SubmittingArray
from maestro_es.adapters.batch import UsageInList
from maestro_es.adapters.flux.client import Described, FluxJobs, flux_environment
from maestro_es.adapters.flux.options import DIRECTIVE, EXCLUSIVE, check, directives, is_nested, launch, options_in
from maestro_es.adapters.host import Host
from maestro_es.adapters.launcher import Resources, fill_in
from maestro_es.adapters.script import Directive, arguments, header, option, shebang
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.model import StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.scheduler_facts import COMMON_KEYS, Remark, SchedulerFacts
from maestro_es.core.submission import Outcome, ScriptFailed

if TYPE_CHECKING:
    from maestro_es.adapters.flux.allocation import Endings
    from maestro_es.adapters.inside import OwnJob

#: The only supported interface. Maestro's older interfaces write ``flux mini``, which flux-core has removed.
_INTERFACE = "0.49.0"

#: The groups of `allocation_args` that Maestro knows.
_ALLOCATION_ARGS = ("setopt", "o", "setattr", "S", "conf")


def review(batch: Mapping[str, Any], runs: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Remark]:
    """Yield remarks about values that Flux, or Maestro's interface to it, rejects or ignores."""
    if batch.get("version", _INTERFACE) != _INTERFACE:
        remedy = f"Scripts are written for {_INTERFACE}, which is Maestro's default: remove the key."
        yield Remark(("batch", "version"), remedy, fatal=True)
    for index, run in runs:
        if run.get("memory"):
            yield Remark(("study", index, "run", "memory"), "Flux does not allocate memory.", "is ignored")
        for key in ("qos", "reservation"):
            if run.get(key):
                yield Remark(("study", index, "run", key), "Flux has queues and banks instead.", "is ignored")
    groups = batch.get("allocation_args")
    for key in groups.keys() - set(_ALLOCATION_ARGS) if isinstance(groups, dict) else ():
        remedy = f"Put it in the args of the steps, or in {', '.join(_ALLOCATION_ARGS)}."
        if key in EXCLUSIVE:
            remedy = "Put 'exclusive: true' in the steps."
        yield Remark(("batch", "allocation_args", key), remedy, "is ignored, as in Maestro")


FACTS = SchedulerFacts(
    name="flux",
    extension="flux.sh",
    keys=(*COMMON_KEYS, "allocation_args", "launcher_args", "uri", "version"),
    directive=DIRECTIVE,
    jobs=schedulers.WITH_ADAPTER["flux"],
    review=review,
)


class FluxAdapter(InsideAdapter, UsageInList):
    """Writes scripts for ``flux batch``, submits jobs, and queries them."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds
    #: The shell of a job copies the output of the runner to its files, and dies with the broker.
    carries_output = True

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        recorded = host.environment.variables
        uri = str(batch.get("uri") or "")
        self._batch, self._host = dict(batch), host
        self._endings: Endings | None = None
        self._uri = uri or {**os.environ, **recorded}.get("FLUX_URI", "")
        self._flux = FluxJobs(flux_environment(os.environ, recorded, uri), host.environment)
        super().__init__(self._flux)

    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options of a step's job, for its script and for its submission."""
        return directives(self._batch, job_name, run)

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        """Return the header. As in Maestro, it is complete even for steps that Flux does not run."""
        first = [shebang(self._batch.get("shell")), f"#MAESTRO-INFO (flux adapter version) {_INTERFACE}"]
        first += [f"#MAESTRO-INFO {directive.text}" for directive in [*option("(flux_uri)", self._uri)]]
        return header([*first, "#"], DIRECTIVE, self.directives(job_name, run))

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        size, inside = Resources.by(run), bool(self._inside)
        return fill_in(text, size, size, lambda asked: launch(self._batch, asked, run, inside=inside))

    def submission(self, job: Job) -> list[str]:
        """Return a command that submits the job. ValueError if every Flux would refuse its resources."""
        if not job.edited:
            check(job.run)
        return self._flux.submission(job, self._options(job), nested=is_nested(job.run))

    def submit(self, job: Job) -> Outcome | Submitting:
        if placement_of(job.token):
            return self.start_inside(job)
        described = self._described(job)
        return self._flux.send(described) if isinstance(described, Described) else described

    def submit_together(self, jobs: Mapping[int, Job]) -> dict[int, Outcome] | SubmittingArray:
        """Begin to submit jobs with one command. The outcome of a job that can't be described is known at once."""
        described: dict[int, Described] = {}
        known: dict[int, Outcome] = {}
        for index, job in jobs.items():
            one = self._described(job)
            if isinstance(one, Described):
                described[index] = one
            else:
                known[index] = one
        begun = self._flux.send_together(described) if described else {}
        if isinstance(begun, SubmittingArray):
            return SubmittingArray(begun.command, lambda: known | begun.outcomes())
        return known | begun

    def own_job(self, job: str) -> OwnJob:
        from maestro_es.adapters.flux.allocation import FluxJob  # noqa: PLC0415 - only a driver in a job needs it

        return FluxJob(self._flux, job)

    def states_inside(
        self,
        steps: Sequence[StepRecord],
        claims: Mapping[str, Claim],
        listed: Sequence[QueueEntry] | None,  # noqa: ARG002 - such steps are not in it
    ) -> dict[str, JobInfo]:
        from maestro_es.adapters.flux.allocation import Endings, FluxJob  # noqa: PLC0415 - few ticks need it

        self._endings = self._endings or Endings(self._host)
        own = self._inside.own if self._inside else None
        return self._endings.states(steps, claims, own if isinstance(own, FluxJob) else None)

    def is_unknown(self, step: StepRecord) -> bool:
        from maestro_es.adapters.flux.allocation import Endings  # noqa: PLC0415 - only 'retry --lost' needs it

        placement = placement_of(step.token)
        return placement is not None and Endings(self._host).is_unknown(placement.job)

    def _described(self, job: Job) -> Described | Outcome:
        try:
            options = self._options(job)
        except ValueError as error:
            return ScriptFailed(str(error))
        return self._flux.describe(job, options, nested=is_nested(job.run))

    def submit_script(self, path: str, folder: str, environment: Mapping[str, str]) -> Outcome:
        """Submit a script as ``flux batch`` does. Its header has the options of the job."""
        return FluxJobs(environment).submit_script(path, folder)

    def _options(self, job: Job) -> list[str]:
        return options_in(job.edited) if job.edited else arguments(self.directives(job.name, job.run))


ADAPTER = FluxAdapter
