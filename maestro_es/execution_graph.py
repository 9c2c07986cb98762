"""`ExecutionGraph`: build a graph of steps in Python and run it, with everything that happens in an event log.

The interface is Maestro's; what event sourcing adds is `create`, `open`, `at`, `replay` and `history`. An object holds
no state of its own: its methods append events to the log in its directory or run a tick, so a second process that
opens the same path sees the same graph. ::

    from maestro_es import ExecutionGraph, StudyStatus, StudyStep

    graph = ExecutionGraph.create("./hello")
    graph.add_description("hello", "two steps in a row")
    graph.add_step("greet", StudyStep("greet", "says hello", {"cmd": "echo hello > hello.txt"}), "greet", 0)
    graph.add_step("count", StudyStep("count", "counts words", {"cmd": "wc -w ../greet/hello.txt"}), "count", 0)
    graph.add_connection("greet", "count")
    while graph.execute_ready_steps() is StudyStatus.RUNNING:
        time.sleep(0.1)
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from maestro_es.adapters.process import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.core import arguments, file_names, requests, rerun
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.evidence import judge
from maestro_es.core.file_names import TAKEN
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import (
    SOURCE,
    CancelCode,
    Driver,
    JobStatusCode,
    Micros,
    Param,
    Settings,
    State,
    StepRecord,
    StudyStatus,
)
from maestro_es.core.reconcile import state_after
from maestro_es.core.reducer import replay
from maestro_es.core.retry_limits import SUBMISSION_ATTEMPTS
from maestro_es.core.snapshot import Snapshot, read_only
from maestro_es.errors import RequestRefused
from maestro_es.poller import claims
from maestro_es.poller.create import OURS, create_log, keep_environment, make_directory, new_study_id
from maestro_es.poller.exclusive_creation import creating
from maestro_es.poller.lock import hold_tick_lock
from maestro_es.poller.observe import observe
from maestro_es.poller.open_study import OpenStudy, Runtime
from maestro_es.poller.scripts import written_digests
from maestro_es.poller.status_csv import maestro_text
from maestro_es.poller.tick import tick
from maestro_es.poller.tick_inputs import TickInputs
from maestro_es.poller.workspace import remove_temporary_folder, write_scripts
from maestro_es.store.projection import ProjectedGraph
from maestro_es.study_file.paths import objection

_logger = logging.getLogger(__name__)

#: The limits that `retry` takes, by the names of the options that `update` has for them.
_OPTIONS = {"restart_limit": "rlimit", "hardware_limit": "hardware-limit"}


class Step(Protocol):
    """What `add_step` takes: `StudyStep`, or Maestro's class of that name."""

    name: str
    description: str

    @property
    def run(self) -> Mapping[str, Any]:
        """Its ``run`` keys, as a study file has them."""


@dataclass
class StudyStep:
    """A step: its name, what it is for, and its ``run`` keys as a study file has them; ``cmd`` is the script."""

    name: str
    description: str
    run: Mapping[str, Any] = field(default_factory=dict)


class ExecutionGraph:
    """A graph of steps over an event log.

    `path` is the study's directory, which is created; without it, one among the temporary files.
    `submission_attempts` (at least 1) is how often a refused submission is tried, `submission_throttle` (0: no limit)
    how many jobs may be in flight, `use_tmp` keeps scripts among the temporary files, `dry_run` writes scripts and
    runs nothing.
    """

    def __init__(
        self,
        submission_attempts: int = SUBMISSION_ATTEMPTS,
        submission_throttle: int = 0,
        use_tmp: bool = False,  # noqa: FBT001, FBT002 - Maestro's signature
        dry_run: bool = False,  # noqa: FBT001, FBT002 - Maestro's signature
        *,
        path: str | os.PathLike[str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        settings = Settings(
            submission_attempts=arguments.count("submission_attempts", submission_attempts, least=1),
            submission_throttle=arguments.count("submission_throttle", submission_throttle),
            use_tmp=arguments.flag("use_tmp", use_tmp),
            dry_run=arguments.flag("dry_run", dry_run),
        )
        given = None if path is None else arguments.path("path", path)
        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        root = Path(tempfile.mkdtemp(prefix="maestro-es-") if given is None else given)
        with creating(root) as site, contextlib.ExitStack() as stack:
            stack.callback(site.remove, OURS)
            created = e.StudyCreated(
                study_id=new_study_id(),
                root=str(site.study.root),
                adapter={"type": "local"},
                settings=settings,
            )
            study = make_directory(root)
            create_log(study, [(None, created), *keep_environment(study)], runtime)
        self._study = OpenStudy(root, runtime)

    @classmethod
    def create(cls, path: str | os.PathLike[str], **settings: Any) -> ExecutionGraph:  # noqa: ANN401 - as __init__
        """Create a study in the directory `path`. RequestRefused if there is one."""
        return cls(**settings, path=path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> ExecutionGraph:
        """Open the study in the directory `path`. NotAStudy if there is none."""
        graph = cls.__new__(cls)
        graph._study = OpenStudy(Path(arguments.path("path", path)), runtime or Runtime(driver=Driver.PROGRAM))  # noqa: SLF001 - one of our own
        return graph

    def close(self) -> None:
        """Close the log; the graph can be opened again."""
        self._study.log.close()

    def __enter__(self) -> ExecutionGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Append what is added inside all together, which is much faster for many steps; an error undoes it all.

        RequestRefused inside another batch; neither can a tick run in one. Only the thread and the process that began
        a batch can add to it or end it.
        """
        self._commits_alone()
        self._study.log.refresh()
        with self._study.log.transaction():
            yield

    # -- building ---------------------------------------------------------------------------------------------------

    def add_step(
        self,
        name: str,
        step: Step,
        workspace: str | os.PathLike[str],
        restart_limit: int,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a step under a name of its own. `workspace` is a directory, relative to the study or absolute.

        `restart_limit` counts restarts after a timeout (0: no limit); `params` are shown in the status table.
        """
        name = arguments.name("name", name)
        if not (hasattr(step, "run") and hasattr(step, "description")):
            raise TypeError(f"step must be a StudyStep, not {type(step).__name__}")
        run = requests.run_of(name, step.run)
        description = arguments.text("step.description", step.description) or name
        pairs = arguments.texts("params", params)
        given = tuple(Param(key, value, f"{key}.{value}", key) for key, value in pairs.items())
        place = self._place(name, arguments.path("workspace", workspace))
        limit = arguments.count("restart_limit", restart_limit)
        template = e.StepTemplateAdded(name=name, description=description, run=run)
        self._request(lambda graph: requests.add_step(graph, template, place, limit, given))

    def _place(self, step: str, workspace: str) -> str:
        """Return the path of a workspace, relative to the study's. RequestRefused if no step can have it."""
        place = os.path.relpath(self._study.dir.path(workspace), self._study.dir.root)
        inside = not place.startswith("../")
        wrong = objection(place if inside else place.lstrip("./"), step, TAKEN if inside else ())
        if wrong:
            raise RequestRefused(f"step {step!r} can't have the workspace {workspace!r}: {wrong}; choose another")
        return place

    def add_connection(self, parent: str, step: str) -> None:
        """Let `step` wait for `parent`. KeyError if there is no such step, ValueError if it would wait for itself."""
        first, second = arguments.name("parent", parent), arguments.name("step", step)
        if first != SOURCE:
            self._request(lambda graph: requests.connect(graph, first, second))

    def set_adapter(self, adapter: dict[str, Any]) -> None:
        """Choose the scheduler: a batch block as study files have it. TypeError if it is none or its type unknown."""
        if adapter is None:
            raise TypeError("adapter must be a dictionary, not None")
        batch = arguments.mapping("adapter", adapter)
        make_adapter(batch, this_host())
        self._set("adapter", batch)
        vars(self._study).pop("adapters", None)

    def add_description(self, name: str, description: str, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Maestro's
        """Name and describe the study; other keys are taken and ignored, as Maestro does."""
        values = {"name": arguments.name("name", name), "description": arguments.text("description", description)}
        for what, value in values.items():
            self._set(what, value)

    def _set(self, what: str, value: object) -> None:
        def change(graph: ProjectedGraph) -> list[NewEvent]:
            before = getattr(graph.study, what)
            return [] if before == value else [(None, e.SettingsChanged(what=what, before=before, after=value))]

        self._request(change)

    def _commits_alone(self) -> None:
        """Refuse to run inside a batch."""
        if self._study.log.in_transaction:
            raise RequestRefused("a batch is open: neither a tick nor another batch can run inside it; end it first")

    def _request(self, rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[NewEvent]:
        if self._study.log.in_transaction:
            new_events = rule(self._study.graph)
            self._study.record(new_events)
            return new_events
        self._study.log.refresh()
        return self._study.request(rule)

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The study's directory."""
        return self._study.dir.root

    @property
    def name(self) -> str:
        """The study's name."""
        return self._fresh().study.name

    @property
    def description(self) -> str:
        """What the study is for."""
        return self._fresh().study.description

    @property
    def status(self) -> StudyStatus:
        """The state of the study as a whole, as it was recorded last."""
        return self._fresh().study.status

    @property
    def steps(self) -> dict[str, StepRecord]:
        """All steps by name, as they were recorded last: copies, which reject assignment."""
        return {step.name: read_only(step) for step in self._fresh().steps()}

    @property
    def status_subtree(self) -> list[str]:
        """The names of all steps, in the order of the status table."""
        return [step.name for step in sorted(self._fresh().steps(), key=lambda step: (step.row, step.number))]

    def log_description(self) -> None:
        """Log name and description."""
        _logger.info("name: %s, description: %s", self.name, self.description)

    def _fresh(self) -> ProjectedGraph:
        if not self._study.log.in_transaction:
            self._study.log.refresh()
        return self._study.graph

    # -- running ----------------------------------------------------------------------------------------------------

    def execute_ready_steps(self) -> StudyStatus:
        """Run one tick; returns how the study stands. Unreachable if a scheduler did not answer.

        RequestRefused inside a `batch`, of which a tick would commit the first half.
        """
        self._commits_alone()
        self._study.log.check_place()
        with hold_tick_lock(self._study.dir, -1):
            return tick(self._study)

    def check_study_status(self) -> tuple[JobStatusCode, dict[str, State]]:
        """Ask the schedulers for the steps in flight and return what they say, by name; nothing is changed."""
        runtime = self._study.runtime
        graph = self._fresh()
        inputs = TickInputs(runtime.now(), runtime.host, "")
        observations = observe(graph, self._study.dir, self._study.adapters, inputs, claims.read_claim).observations
        seen = observations.attempts
        steps = {step.name: state_after(step, judge(seen[step.token]).conclusion) for step in graph.in_flight()}
        if observations.unreachable:
            return JobStatusCode.ERROR, steps
        return (JobStatusCode.OK if steps else JobStatusCode.NOJOBS), steps

    def cancel_study(self, reason: str = "") -> CancelCode:
        """Ask that everything ends, and tick once: jobs end by the ticks that follow.

        Unreachable if a scheduler did not answer: the cancel is recorded all the same.
        """
        self._commits_alone()
        why = arguments.text("reason", reason)
        self._request(lambda graph: requests.cancel(graph, (), why))
        self.execute_ready_steps()
        return CancelCode.OK

    def retry(
        self,
        *steps: str,
        failed: bool = False,
        descendants: bool = False,
        from_scratch: bool = False,
        keep_script: bool = False,
        restart_limit: int | None = None,
        hardware_limit: int | None = None,
        reason: str = "",
    ) -> list[str]:
        """Let steps run again, by names or patterns, and return the names of all that will; a tick submits them.

        A pattern takes steps that have failed or were cancelled, with `failed` only the former; a step that has
        finished is to be named in full. `failed` alone: all that have failed. What ended because of a step goes with
        it; with `descendants`, all that waits for it. The limits are those of the whole study. A study that has ended
        goes on. A step that had begun goes on with its restart script, if it has one and is not to begin
        `from_scratch`. With `keep_script` a script that was edited in its workspace runs as it stands. RequestRefused
        says what stands against it, and nothing was changed.
        """
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        only, all_after = arguments.flag("failed", failed), arguments.flag("descendants", descendants)
        scratch, kept = arguments.flag("from_scratch", from_scratch), arguments.flag("keep_script", keep_script)
        given = {"restart_limit": restart_limit, "hardware_limit": hardware_limit}
        limits = {
            _OPTIONS[argument]: arguments.count(argument, value)
            for argument, value in given.items()
            if value is not None
        }
        return self._ask(
            e.StepReset,
            lambda graph: rerun.retry(
                graph,
                patterns,
                failed=only,
                descendants=all_after,
                how=rerun.How(from_scratch=scratch, keep_script=kept),
                limits=limits,
                reason=why,
            ),
        )

    def retry_doubted(self, *steps: str, reason: str = "") -> list[str]:
        """Let the steps run again whose output a reboot has put in doubt, and all that waits for them.

        `steps` are names or patterns of such; without them, all are meant. Returns the names of all that will run.
        RequestRefused if there are none.
        """
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._ask(e.StepReset, lambda graph: rerun.retry_doubted(graph, patterns, why))

    def skip(self, *steps: str, reason: str = "") -> list[str]:
        """Take steps as finished that have failed, were cancelled or have not run; returns their names.

        What waits for them may run; what ended because of them waits again. RequestRefused for steps in flight.
        """
        actor = self._study.log.identity.actor
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._ask(e.StepSkipped, lambda graph: rerun.skip(graph, patterns, actor, why))

    def hold(self, *steps: str, reason: str = "") -> list[str]:
        """Don't submit steps until they are released; jobs in flight go on. Returns their names."""
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._ask(e.StepHeld, lambda graph: requests.hold(graph, patterns, why))

    def release(self, *steps: str, reason: str = "") -> list[str]:
        """Let held steps be submitted again; returns their names."""
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._ask(e.StepReleased, lambda graph: requests.release(graph, patterns, why))

    def reopen(self, reason: str = "", *, from_scratch: bool = False) -> list[str]:
        """Let a cancelled study go on; returns the names of the steps that were cancelled and run after all.

        They go on with their restart scripts, as by `retry`.
        """
        why, scratch = arguments.text("reason", reason), arguments.flag("from_scratch", from_scratch)
        return self._ask(e.StepReset, lambda graph: rerun.reopen(graph, why, rerun.How(from_scratch=scratch)))

    def _ask(self, kind: type[e.Event], rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[str]:
        """Make a request and return the names of the steps that it has made an event of that kind for."""
        new_events = self._request(rule)
        numbers = sorted(number for number, event in new_events if number and isinstance(event, kind))
        return [self._study.graph.step(number).name for number in numbers]

    def generate_scripts(self) -> None:
        """Write the workspace and scripts of every step, without running any."""
        adapters = self._study.adapters
        for step in list(self._fresh().steps()):
            ours = functools.partial(written_digests, self._study.log.events_of(step.number))
            write_scripts(self._study.graph, step, self._study.dir, adapters.of(step), adapters.scheduler, ours=ours)

    def cleanup(self) -> None:
        """Remove the scripts that `use_tmp` keeps among the temporary files."""
        remove_temporary_folder(self._fresh().study.study_id)

    def write_status(self, path: str | os.PathLike[str]) -> None:
        """Write ``status.csv`` into a directory."""
        folder = Path(arguments.path("path", path))
        text = maestro_text(self._fresh().steps(), self._study.runtime.now())
        (folder / file_names.STATUS_CSV).write_text(text, encoding="utf-8")

    # -- the past ---------------------------------------------------------------------------------------------------

    @staticmethod
    def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
        """Return the graph that these events add up to. It is to be read, and rejects assignment."""
        return Snapshot(replay(events))

    def at(self, *, seq: int | None = None, time: Micros | None = None) -> MemoryGraph:
        """Return the graph as it was after event `seq`, or at a `time` in microseconds UTC. It rejects assignment."""
        if (seq is None) is (time is None):
            raise ValueError("give either seq or time")
        if seq is not None:
            upto = arguments.count("seq", seq)
        else:
            upto = self._study.log.seq_at(arguments.count("time", time))
        return Snapshot(self._study.log.replay(upto=upto))

    def history(self, step: str | None = None, after: int = 0) -> list[e.Recorded]:
        """Return the events with a seq greater than `after`, all or those of one step."""
        first = arguments.count("after", after)
        name = None if step is None else arguments.name("step", step)
        graph = self._fresh()
        if name is None:
            return list(self._study.log.events(first))
        events = self._study.log.events_of(graph.number_of(name) or 0)
        return [recorded for recorded in events if recorded.seq > first]


def _patterns(steps: Sequence[object]) -> list[str]:
    return [arguments.name("steps", step) for step in steps]
