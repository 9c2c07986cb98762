"""Runs Flux's commands that submit, query and cancel jobs.

The commands find an instance of Flux by FLUX_URI. Its value comes from the batch block or from the shell in which
`run` was called. Without FLUX_URI, the commands find the system's instance. So cron needs no other settings.

A command of Flux waits for ever if its broker does not answer, so maestro-es limits the time of each command. If a
command was killed after it had sent its only request, it has submitted a job without printing the id. Such a job is
found by the token in its name.

Several jobs are sent with one process (`send_jobs`), because starting a process for each job would take most of the
time. ``flux bulksubmit`` can't do this. It makes descriptions itself, from options that can't request one task on all
resources, and it prints ids, but does not say to which job each id belongs.

If the broker crashes, it forgets all jobs since its last checkpoint, although their processes may still be running. So
the id of the instance, which changes at each start, is recorded with each job. If the id has changed, a missing job
may still be running.

Facts about Flux refer to flux-core 0.88. `maestro_es.adapters.flux.output` decides what an answer means.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from maestro_es.adapters.base import Job, JobInfo, QueueEntry, Submitting, SubmittingArray
from maestro_es.adapters.batch import FACTS_TIMEOUT, BatchJobs, command_environment, completed, not_called
from maestro_es.adapters.command import Command, Completed
from maestro_es.adapters.flux.jobspec import Request, fill, full_name, keywords, read_refusal, request
from maestro_es.adapters.flux.output import (
    CANCEL_NOTE,
    ENDING,
    FluxEntry,
    adopted,
    has_ended,
    has_queues,
    is_down,
    is_instance,
    judge_cancel,
    lacks_command,
    plain_id,
    read_answers,
    read_instance,
    read_list,
    read_submission,
    read_table,
)
from maestro_es.adapters.queue_entries import believed
from maestro_es.core.attempt_token import is_imported
from maestro_es.core.environment import Environment, for_node, for_runner, umask_for_node
from maestro_es.core.model import JobState, Phase, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, Outcome, ScriptFailed
from maestro_es.errors import Unreachable

_URI = "FLUX_URI"

#: The prefixes of variables that would change the behaviour of Flux's commands.
_OURS = ("FLUX_",)

#: The program that submits many jobs. Flux's own Python runs it.
_PROGRAM = os.path.join(os.path.dirname(__file__), "send_jobs.py")

#: The address of the system's instance, which the commands use without FLUX_URI.
_SYSTEM = "local:///run/flux/local"


def flux_environment(ours: Mapping[str, str], recorded: Mapping[str, str], uri: str) -> dict[str, str]:
    """Return the environment for Flux's commands."""
    environment = command_environment(ours, recorded, _OURS, (_URI,))
    return {**environment, _URI: uri} if uri else environment


class Described(NamedTuple):
    """A job with its description, and the options of its submission."""

    job: Job
    spec: bytes
    options: tuple[str, ...]


class FluxJobs(BatchJobs):
    """The jobs of an instance of Flux."""

    scheduler = "flux"
    ending, is_down = ENDING, staticmethod(is_down)
    settings = (_URI,)

    def __init__(self, environment: Mapping[str, str], of_steps: Environment | None = None) -> None:
        super().__init__(environment, of_steps)
        #: Data for submissions, which is queried once: the id of the instance, whether it has named queues and a
        #: usable Python, and the templates of descriptions.
        self._instance: str | None = None
        self._has_queues: bool | None = None
        self._has_python = True
        self._templates: dict[tuple[str, ...], Completed] = {}

    @property
    def uri(self) -> str:
        """The address of the instance."""
        return self._environment.get(_URI, _SYSTEM)

    # -- submitting --------------------------------------------------------------------------------------------------

    def submission(self, job: Job, options: Sequence[str], *, nested: bool) -> list[str]:
        """Return a command that submits the same job, to show it to users."""
        runner = [str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]
        ours = [f"--job-name={full_name(job)}", f"--cwd={job.workspace}"]
        return ["flux", "batch" if nested else "submit", *options, *ours, *runner]

    def describe(self, job: Job, options: Sequence[str], *, nested: bool) -> Described | Outcome:
        """Return the description of a job, or the outcome of its submission if it can't be described."""
        try:
            if self._instance is None:
                self._instance = self._start_of_instance()
            asked = request(job, self._possible(options), nested=nested)
            template = self._template(asked, job)
        except Unreachable as error:
            return InDoubt(str(error), scheduler_down=True)
        except OSError as error:
            return not_called("flux", error)
        if template.code:
            return read_refusal(template)
        environment = for_runner(job.environment.variables) | for_node(job.environment)
        environment |= umask_for_node(job.environment)
        try:
            return Described(job, fill(template.out, job, options, environment), asked.submission)
        except ValueError as error:
            return ScriptFailed(str(error))

    def send(self, described: Described) -> Outcome | Submitting:
        """Begin to submit a description."""
        memory, path = _in_memory(described.spec)
        argv = ["flux", "job", "submit", *described.options, path]
        read, done = self._read_submission, lambda: os.close(memory)
        return self.begin(argv, described.job, read, more=self._address(), done=done)

    def send_together(self, described: Mapping[int, Described]) -> dict[int, Outcome] | SubmittingArray:
        """Begin to submit descriptions with one process.

        If Flux's Python can't run this process, there are no outcomes.
        """
        if not self._has_python:
            return {}
        lines = [line for one in described.values() for line in (keywords(one.options), one.spec)]
        memory, path = _in_memory(b"\n".join([*lines, b""]))
        environment = next(iter(described.values())).job.environment
        command = None
        try:
            command = self.start("flux", "python", _PROGRAM, path, of_job=environment, more=self._address())
        except Unreachable as error:
            return dict.fromkeys(described, InDoubt(str(error)))
        except OSError as error:
            return dict.fromkeys(described, not_called("flux", error))
        finally:
            if command is None:
                os.close(memory)
        return SubmittingArray(command, lambda: self._sent(command, memory, described))

    def _sent(self, command: Command, memory: int, described: Mapping[int, Described]) -> dict[int, Outcome]:
        """Return the outcomes of `send_together`. Jobs without an answer are in doubt, unless no job was sent."""
        try:
            answers = read_answers(completed(command), len(described))
        except Unreachable as error:
            return dict.fromkeys(described, InDoubt(str(error)))
        finally:
            os.close(memory)
        if answers is None:
            self._has_python = False
            return {}
        return {index: self._with_instance(answer) for index, answer in zip(described, answers, strict=True)}

    def _address(self) -> dict[str, str]:
        """Return the variable that leads to the instance, for commands in the environment of a job."""
        return {_URI: self.uri} if _URI in self._environment else {}

    def _read_submission(self, done: Completed) -> Outcome:
        return self._with_instance(read_submission(done))

    def _with_instance(self, outcome: Outcome) -> Outcome:
        return structs.replace(outcome, instance=self._instance) if isinstance(outcome, Accepted) else outcome

    def submit_script(self, path: str, folder: str) -> Outcome:
        """Submit a script without a token, and wait for the answer."""
        try:
            return read_submission(self.run("flux", "batch", f"--cwd={folder}", path))
        except Unreachable as error:
            return InDoubt(str(error))

    def _possible(self, options: Sequence[str]) -> list[str]:
        """Leave out the queue, as Maestro does, if the instance has no queues with names."""
        kept = list(options)
        if "-q" in kept and not self._knows_queues():
            index = kept.index("-q")
            del kept[index : index + 2]
        return kept

    def _knows_queues(self) -> bool:
        if self._has_queues is None:
            done = self.run("flux", "config", "get", "queues")
            if done.code and is_down(done.err):
                raise self.no_answer(done.err)
            self._has_queues = has_queues(done)
        return self._has_queues

    def _template(self, asked: Request, job: Job) -> Completed:
        """Return the template of a description, or Flux's refusal of the options. A tick prints each template once."""
        if asked.command in self._templates:
            return self._templates[asked.command]
        done = completed(self.start("flux", *asked.command, str(job.runner), of_job=job.environment))
        if done.code == 0:
            self._templates[asked.command] = done
        return done

    # -- querying ----------------------------------------------------------------------------------------------------

    def cluster_info(self) -> dict[str, str]:
        done = self.run("flux", "getattr", "version", timeout=FACTS_TIMEOUT)
        if done.code:
            raise self.no_answer(done.err)
        return {"ClusterName": self.uri, "FLUX_VERSION": done.out.strip()}

    def list_jobs(self) -> list[QueueEntry]:
        done, read = self.run("flux", "job", "list", "--all-user", "--count=0"), read_list
        if lacks_command(done):
            done, read = self.run("flux", "jobs", "-a", "--count=0", "--json"), read_table
        if done.code:
            raise self.no_answer(done.err)
        try:
            return read(done.out)
        except ValueError as error:
            raise Unreachable(f"flux job list: its answer can't be read: {error}") from None

    def query_queue(
        self, steps: Sequence[StepRecord], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Return the jobs of these attempts. A job that the instance does not list is GONE.

        The id of the instance is queried too. If a job may be adopted, the id is queried before the list, so that the
        id is not too recent. If a job is missing or was cancelled, the id is queried after the list, so that the id is
        not too old.
        """
        steps = [structs.replace(step, job_id=plain_id(step.job_id) or step.job_id) for step in steps]
        before = self._start_of_instance() if any(step.phase is Phase.REQUESTED for step in steps) else ""
        seen = super().query_queue(steps, None if before else listed)
        unclear = any(info.state in (JobState.CANCELLED_ON_NODE, JobState.GONE) for info in seen.values())
        after = self._start_of_instance() if unclear else ""
        for step in steps:
            info = _judged(step, seen[step.token], after)
            seen[step.token] = adopted(info, before) if step.phase is Phase.REQUESTED else info
        return seen

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        """Return all jobs in the studies of these runners, by token. This takes one query for the jobs."""
        studies = tuple(f"{os.path.dirname(os.path.dirname(runner))}/" for runner in runners)
        start = self._start_of_instance()
        rows: dict[str, list[QueueEntry]] = {}
        for row in self.list_jobs():
            if isinstance(row, FluxEntry) and f"{row.folder}/".startswith(studies):
                rows.setdefault(row.token, []).append(row)
        return {token: adopted(believed(entries, ""), start) for token, entries in rows.items()}

    def _start_of_instance(self) -> str:
        """Return the id of the instance, which changes at each start."""
        done = self.run("flux", "ping", "--count=1", "0")
        if done.code:
            raise self.no_answer(done.err or f"flux ping ended with {done.code} and said nothing")
        return read_instance(done.out)

    def no_answer(self, message: str) -> Unreachable:
        """Return the error for a message. If the instance does not exist, the error says so and gives the remedy."""
        text = " ".join(message.split())
        if not has_ended(text) or self.uri == _SYSTEM:
            return Unreachable(text)
        return Unreachable(
            f"there is no Flux instance at {self.uri} ({text}); if it was started inside a job, it has ended, and so "
            "have its jobs; to continue the study in another instance, call 'maestro-es env STUDY --refresh' there"
        )

    # -- cancelling --------------------------------------------------------------------------------------------------

    def cancel_ids(self, ids: Sequence[str]) -> list[str]:
        return ["flux", "cancel", f"--message={CANCEL_NOTE}", *ids]


def _in_memory(text: bytes) -> tuple[int, str]:
    """Return an open file in memory, and its path. The text contains the environment, so it must not be on disk."""
    memory = os.memfd_create("jobspec")
    os.write(memory, text)
    return memory, f"/proc/{os.getpid()}/fd/{memory}"


def _judged(step: StepRecord, info: JobInfo, start: str) -> JobInfo:
    """Return the state of a cancelled or missing job, from the present id of the instance.

    Flux removes only jobs that have ended. So a missing job has ended, unless the broker may have forgotten it.
    """
    is_known = is_instance(step.job_instance)
    restarted = is_known and step.job_instance != start
    if info.state is JobState.CANCELLED_ON_NODE:
        return judge_cancel(info, time.time_ns() // 1000, restarted=restarted)
    if info.state is not JobState.GONE or not step.job_id or is_imported(step.token):
        return info
    if is_known and not restarted:
        return info
    return JobInfo(JobState.UNSUPERVISED, "the Flux broker was restarted, and has forgotten the job")
