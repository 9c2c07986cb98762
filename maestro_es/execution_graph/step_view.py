"""`StepView`: one step in the form of Maestro's step records. It reads the state of the log and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from maestro_es.core import events as e
from maestro_es.core.model import State, StepRecord
from maestro_es.core.snapshot import ReadOnlyDict, ReadOnlyList, frozen
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.execution_graph.base import refreshed
from maestro_es.execution_graph.display import table
from maestro_es.execution_graph.pickling import view_pickle
from maestro_es.study.session import Session
from maestro_es.study.status_csv import elapsed_time, local_time, run_time
from maestro_es.study.workspace import script_paths
from maestro_es.study_file.render import render
from maestro_es.study_file.study_environment import Variable

#: The keys in the ``run`` block of every step in Maestro. The value of a key that the study file lacks is empty.
RUN_KEYS = (
    "cmd", "depends", "pre", "post", "restart", "nodes", "procs", "gpus", "cores per task", "walltime", "reservation",
)  # fmt: skip

#: The events that name a job.
_WITH_JOB = (e.JobSubmitted, e.StepImported, e.StepRecovered)


class StepDefinition:
    """The definition of a step, with all placeholders filled in except ``$(LAUNCHER)``.

    `run` has all keys of Maestro's steps. The value of a key that the study file lacks is empty. The attributes have
    the same names as in Maestro's steps, because programs read them with `vars`.
    """

    def __init__(self, name: str, description: str, run: Mapping[str, Any]) -> None:
        self._name = name
        self.nickname = ""
        self.description = description
        self.run = run

    @property
    def name(self) -> str:
        """The name of the step, with its parameters."""
        return self._name

    @property
    def real_name(self) -> str:
        """The name of the step. Maestro has this attribute for steps with hashed workspaces."""
        return self._name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StepDefinition) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # like every mutable object that is compared by value

    def __repr__(self) -> str:
        return f"<StepDefinition {self._name!r}>"


#: The attributes of a step that a notebook shows.
_SHOWN = (
    "name", "status", "jobid", "workspace", "script", "time_submitted", "time_start", "time_end", "run_time",
    "restarts", "params",
)  # fmt: skip


def _refusing(name: str) -> Callable[..., NoReturn]:
    """Return a method that always raises RequestRefused. It has the name of a method of Maestro's."""

    def method(self: StepView, *_: object, **__: object) -> NoReturn:
        raise RequestRefused(f"{name}: only a tick changes step {self.name!r}; call execute_ready_steps of its graph")

    method.__name__, method.__qualname__ = name, f"StepView.{name}"
    method.__doc__ = f"Refuse: RequestRefused, because only a tick {_DOES[name]}."
    return method


#: The methods with which Maestro's graph changes a record, and the effect of each.
_DOES = {
    "setup_workspace": "makes workspaces",
    "generate_script": "writes scripts, or `ExecutionGraph.generate_scripts`",
    "execute": "submits steps",
    "restart": "restarts steps",
    "mark_submitted": "records that a step was submitted",
    "mark_running": "records that a step runs",
    "mark_end": "records that a step has ended",
    "mark_restart": "records that a step is restarted",
    "add_params": "may depend on parameters; give them to `ExecutionGraph.add_step`",
}


class StepView:
    """A read-only view of one step. Each access to an attribute reads the present state of the log.

    Two views are equal if they show the same step of the same study. Studies are compared by their ids, not by their
    paths. Assigning an attribute raises AttributeError.
    """

    __slots__ = ("_number", "_study")

    _study: Session
    _number: int

    def __init__(self, study: Session, number: int) -> None:
        object.__setattr__(self, "_study", study)
        object.__setattr__(self, "_number", number)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} can't be set: only events change a step; call the methods of its ExecutionGraph")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name} can't be deleted: only events change a step")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StepView) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return view_pickle(StepView, self._study, self._number)

    def __repr__(self) -> str:
        try:
            step = self._record()
        except MaestroError as error:
            return f"<StepView of step {self._number}: {error}>"
        job = f", job {step.job_id}" if step.job_id else ""
        return f"<StepView {step.name}: {step.state.name}{job}>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        values = {name: str(getattr(self, name)) for name in _SHOWN}
        values.update(status=self.status.name, workspace=str(self.workspace.value), jobid=", ".join(self.jobid))
        values.update(params=", ".join(f"{key}={value}" for key, value in self.params.items()))
        return table(("attribute", "value"), list(values.items()))

    def _key(self) -> tuple[str, int]:
        return self._study.graph.study.study_id, self._number

    def _record(self) -> StepRecord:
        return refreshed(self._study).step(self._number)

    @property
    def name(self) -> str:
        """The name of the step, with its parameters."""
        return self._record().name

    @property
    def status(self) -> State:
        """The state of the step."""
        return self._record().state

    @property
    def jobid(self) -> list[str]:
        """The ids of all jobs of the step, oldest first. For a local step, these are the process ids of its runners.

        The list is read-only. It is empty until the step is submitted.
        """
        self._record()
        events = (recorded.event for recorded in self._study.log.events_of(self._number))
        return ReadOnlyList(event.job_id for event in events if isinstance(event, _WITH_JOB) and event.job_id)

    @property
    def step(self) -> StepDefinition:
        """The definition of the step: its name, description and ``run`` block, with all placeholders filled in."""
        graph = refreshed(self._study)
        step = graph.step(self._number)
        template = graph.template(step.template)
        where = (step.workspace, step.workspaces, str(self._study.dir.root))
        rendered = render(template.description, template.run, step.params, *where)
        run = {**dict.fromkeys(RUN_KEYS, ""), **rendered.run}
        return StepDefinition(step.name, rendered.description, frozen(run))

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the step: a read-only dictionary of values by name."""
        return ReadOnlyDict({param.key: param.value for param in self._record().params})

    @property
    def workspace(self) -> Variable:
        """The directory of the step, as a variable. Its `value` is the absolute path, as a string."""
        return Variable("WORKSPACE", str(self._study.dir.path(self._record().workspace)))

    @property
    def walltime(self) -> Any:  # noqa: ANN401 - as the study file has it
        """The walltime as in the study file. It is an empty string if the step has none."""
        return self.step.run["walltime"]

    @property
    def script(self) -> str:
        """The absolute path of the script, as a string. It is empty until the file exists."""
        return self._script("cmd")

    @property
    def restart_script(self) -> str:
        """The absolute path of the restart script, as a string. It is empty until the file exists."""
        return self._script("restart")

    def _script(self, key: str) -> str:
        graph = refreshed(self._study)
        extension = self._study.adapters.scheduler.extension
        path = script_paths(graph, graph.step(self._number), self._study.dir, extension).get(key)
        return str(path) if path is not None and path.exists() else ""

    @property
    def can_restart(self) -> bool:
        """Whether the step has a restart script. With this script it can continue after a timeout."""
        graph = refreshed(self._study)
        return bool(graph.template(graph.step(self._number).template).run.get("restart"))

    @property
    def restarts(self) -> int:
        """How many times the step was restarted after a timeout."""
        return self._record().restarts

    @property
    def restart_limit(self) -> int:
        """How many times the step may be restarted after a timeout (0: no limit)."""
        return self._record().restart_limit

    @property
    def to_be_scheduled(self) -> bool:
        """Whether the step runs on the study's scheduler."""
        return self._record().scheduled

    @property
    def is_local_step(self) -> bool:
        """Whether the step runs without a scheduler, on the host of the tick."""
        return not self._record().scheduled

    @property
    def time_submitted(self) -> str:
        """When the step was first submitted: ``YYYY-MM-DD HH:MM:SS`` in local time, or ``--``."""
        return local_time(self._record().submitted_at)

    @property
    def time_start(self) -> str:
        """When the step first started: ``YYYY-MM-DD HH:MM:SS`` in local time, or ``--``."""
        return local_time(self._record().started_at)

    @property
    def time_end(self) -> str:
        """When the step ended: ``YYYY-MM-DD HH:MM:SS`` in local time, or ``--``."""
        return local_time(self._record().ended_at)

    @property
    def run_time(self) -> str:
        """How long the step ran, or has been running: ``0d:00h:00m:03s``, or ``--:--:--`` if it has not started."""
        return run_time(self._record(), self._study.runtime.now())

    @property
    def elapsed_time(self) -> str:
        """The time from the submission of the step to its end: ``0d:00h:00m:03s``, or ``--:--:--`` while it waits."""
        return elapsed_time(self._record(), self._study.runtime.now())

    setup_workspace = _refusing("setup_workspace")
    generate_script = _refusing("generate_script")
    execute = _refusing("execute")
    restart = _refusing("restart")
    mark_submitted = _refusing("mark_submitted")
    mark_running = _refusing("mark_running")
    mark_end = _refusing("mark_end")
    mark_restart = _refusing("mark_restart")
    add_params = _refusing("add_params")
