"""`Study`: Maestro's class that builds a study in Python. It writes a study file and creates the study from it.

`maestro_es.compat.staging` decides how steps become the data of a study file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maestro_es import files
from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.compat.environment import StudyEnvironment
from maestro_es.compat.pickles import PickleInterface
from maestro_es.compat.staging import (
    AddedStep,
    Books,
    books,
    check_run,
    declaration,
    funneled,
    parents,
    real_name,
    study_data,
)
from maestro_es.core import arguments
from maestro_es.core.events import StepAdded, StepTemplateAdded
from maestro_es.core.model import SOURCE, Settings
from maestro_es.core.resubmission_limits import RESTART_LIMIT, SUBMISSION_ATTEMPTS
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph import ExecutionGraph, Step
from maestro_es.execution_graph.dag import DAG
from maestro_es.study.layout import has_log
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.metadata import read_metadata
from maestro_es.study_file.parameters import ParameterGenerator, Parameters
from maestro_es.study_file.pgen import convert
from maestro_es.study_file.plan import StudyPlan, plan_study
from maestro_es.study_file.reading import StudyContext, study_text
from maestro_es.study_file.render import safe
from maestro_es.study_file.study_environment import StudyEnvironment as Declarations
from maestro_es.study_file.study_environment import Variable

_logger = logging.getLogger(__name__)


class Study(DAG, PickleInterface):
    """A study that is built in Python. `description` is a string or a mapping with a name and a description.

    As a graph, it has the declared steps below the node ``_source``. An edge that the program adds is a dependency,
    too.
    """

    workspaces: dict[str, str]
    depends: dict[str, set[str]]
    hub_depends: dict[str, set[str]]
    used_params: dict[str, set[str]]
    step_combos: dict[str, set[str]]

    def __init__(
        self,
        name: str,
        description: str | Mapping[str, Any],
        studyenv: Declarations | None = None,
        parameters: ParameterGenerator | None = None,
        steps: Iterable[Step] | None = None,
        out_path: str | os.PathLike[str] = "./",
    ) -> None:
        super().__init__()
        self.name = arguments.name("name", name)
        self.description = (
            description if isinstance(description, Mapping) else arguments.text("description", description)
        )
        self.environment = studyenv if studyenv is not None else StudyEnvironment()
        if not isinstance(self.environment, Declarations):
            raise TypeError(f"studyenv must be a StudyEnvironment, not {type(studyenv).__name__}")
        self.parameters = parameters if parameters is not None else ParameterGenerator()
        if not all(hasattr(self.parameters, each) for each in ("parameters", "labels", "names", "label_token")):
            raise TypeError(f"parameters must be a ParameterGenerator, not {type(parameters).__name__}")
        self.is_configured = False
        self._out_path = arguments.path("out_path", out_path)
        self._configured: dict[str, Any] = {}
        self._written: dict[str, AddedStep] = {}
        self._twice: list[Step] = []
        self._awaited: dict[str, list[str]] = {}
        self._keep(books(self._out_path))
        self.add_node(SOURCE, None)
        for step in steps or ():
            self.add_step(step)

    @property
    def output_path(self) -> str:
        """The study's directory, as the program gave it."""
        return self._out_path

    def add_step(self, step: Step) -> None:
        """Add a step, with the environment filled in. The steps on which it depends may be added later.

        ValueError if the step would close a cycle, and TypeError or ValueError if a study file can't hold its ``run``
        keys. In these cases the step is not added.
        """
        if not all(hasattr(step, name) for name in ("name", "description", "run", "__dict__")):
            raise TypeError(f"step must be a StudyStep, not {type(step).__name__}")
        name = real_name(step)
        if name in self.values:
            self._twice.append(step)  # `stage` reports it
            return
        check_run(name, step)
        self._check_cycle(name, step)
        self._written[name] = AddedStep(step, self.environment)
        self.add_node(name, step)
        waits_for = parents(step)
        for parent in waits_for:
            if parent in self.values:
                self.add_edge(parent, name)
            else:
                self._awaited.setdefault(parent, []).append(name)
        if not waits_for:
            self.add_edge(SOURCE, name)
        for child in self._awaited.pop(name, ()):
            self.add_edge(name, child)

    def _check_cycle(self, name: str, step: Step) -> None:
        waits_for = {funneled(parent) for parent in self.environment.apply_environment(parents(step))}
        for child in self._awaited.get(name, ()):
            if not waits_for.isdisjoint(self.bfs_subtree(child)[0]):
                raise ValueError(f"the edge from {name!r} to {child!r} would close a cycle")

    def walk_study(self, src: str = SOURCE) -> Iterator[tuple[str | None, str, Step | None]]:
        """Yield the parent, the name and the step of each node in depth-first order."""
        order, above = self.dfs_subtree(src)
        yield from ((above[node], node, self.values[node]) for node in order)

    def setup_workspace(self) -> bool | None:
        """Create the study's directory. As in Maestro, returns False if this fails.

        In that case `stage` fails, too.
        """
        try:
            Path(self._out_path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _logger.error("%s: the directory can't be made: %s", self._out_path, error.strerror)  # noqa: TRY400 - not a bug
            return False
        return None

    def configure_study(
        self,
        submission_attempts: int = SUBMISSION_ATTEMPTS,
        restart_limit: int = RESTART_LIMIT,
        throttle: int = 0,
        use_tmp: bool = False,  # noqa: FBT001, FBT002 - Maestro's signature
        hash_ws: bool = False,  # noqa: FBT001, FBT002 - likewise
        dry_run: bool = False,  # noqa: FBT001, FBT002 - likewise
    ) -> None:
        """Set the options of ``maestro-es run``. A flag may be None, which means False."""
        self._configured = {
            "submission_attempts": arguments.count("submission_attempts", submission_attempts, least=1),
            "restart_limit": arguments.count("restart_limit", restart_limit),
            "submission_throttle": arguments.count("throttle", throttle),
            "use_tmp": arguments.flag("use_tmp", use_tmp),
            "hash_workspaces": arguments.flag("hash_ws", hash_ws),
            "dry_run": arguments.flag("dry_run", dry_run),
        }
        self.is_configured = True

    def setup_environment(self) -> None:
        """Acquire the dependencies of the study. NotAcquired if this fails. The message names the dependency."""
        if isinstance(self.environment, StudyEnvironment) and self.environment.find("OUTPUT_PATH") is None:
            self.environment.acquire_with([Variable("OUTPUT_PATH", self._out_path)])
        else:
            self.environment.acquire_environment()

    def stage(self) -> tuple[str, ExecutionGraph]:
        """Create the study. Returns its directory and its graph. SpecError with all faults if the study is wrong.

        If this study exists in the directory already, it is continued.
        """
        if not Path(self._out_path).is_dir():
            raise RequestRefused(f"{self._out_path}: there is no such directory; call setup_workspace first")
        if not self.environment.is_set_up:
            raise RequestRefused(f"study {self.name}: its environment is not set up; call setup_environment first")
        plan = self._plan()
        graph = self._continued(plan) if has_log(Path(self._out_path)) else self._created(plan)
        self._keep(books(self._out_path, plan.events))
        return self._out_path, graph

    def store_metadata(self) -> None:
        """Write the files under ``meta``. `stage` writes them, too."""
        folder = Path(self._out_path) / "meta"
        folder.mkdir(parents=True, exist_ok=True)
        for name, parts in self._plan().metadata.items():
            files.write(folder / name, map(str.encode, parts))

    def load_metadata(self) -> None:
        """Read the files that `store_metadata` has written, if any."""
        with contextlib.suppress(FileNotFoundError):
            text = (Path(self._out_path) / "meta" / "metadata.yaml").read_text("utf-8")
            self._keep(Books(**read_metadata(text)))

    def _plan(self) -> StudyPlan:
        settings = Settings(**self._configured)
        file = Path(self._out_path) / safe(f"{self.name}.yaml")
        plan = plan_study(
            file,
            SCHEDULERS,
            output=Path(self._out_path),
            timestamp="",
            hash_workspaces=settings.hash_workspaces,
            restart_limit=settings.restart_limit,
            context=StudyContext(
                spec_root=self._spec_root(),
                acquired=bool(self.environment.dependencies),
                text=study_text(self._data()),
                parameters=self._parameters(file),
            ),
        )
        return dataclasses.replace(plan, git_dependencies=())  # `setup_environment` has cloned them

    def _data(self) -> dict[str, Any]:
        """Return the data of the study for a study file."""
        above: dict[str, list[str]] = {}
        for parent, children in self.adjacency_table.items():
            for child in children if parent != SOURCE else ():
                above.setdefault(child, []).append(parent)
        steps = [
            declaration(self._written[name].as_file(step) if name in self._written else step, above.get(name, ()))
            for name, step in self.values.items()
            if name != SOURCE
        ]
        steps += map(declaration, self._twice)
        return study_data(self.name, self.description, self.environment, steps, self.parameters, self._out_path)

    def _created(self, plan: StudyPlan) -> ExecutionGraph:
        return ExecutionGraph.from_plan(plan, Settings(**self._configured))

    def _continued(self, plan: StudyPlan) -> ExecutionGraph:
        """Return the graph of the study in the directory. RequestRefused if that study has other steps."""
        graph = ExecutionGraph.open(self._out_path)
        kinds = (StepTemplateAdded, StepAdded)
        there = [recorded.event for recorded in graph.history() if isinstance(recorded.event, kinds)]
        if there != [event for _, event in plan.events]:
            graph.close()
            raise RequestRefused(
                f"{self._out_path}: there is another study in this directory; choose another out_path"
            )
        return graph

    def _keep(self, staged: Books) -> None:
        """Store the facts about the steps in the attributes that Maestro's class has."""
        vars(self).update(vars(staged))

    def _spec_root(self) -> Path:
        known = self.environment.find("SPECROOT")
        return Path(str(known.value)) if known else Path.cwd()

    def _parameters(self, file: Path) -> Parameters:
        return convert(self.parameters, Findings(str(file))) if self.parameters else Parameters()
