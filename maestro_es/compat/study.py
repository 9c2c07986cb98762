"""`Study` and `StudyStep` by Maestro's names: they make a study file of what they are given, and create the study."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core import arguments
from maestro_es.core.model import Driver, Settings
from maestro_es.core.retry_limits import RESTART_LIMIT, SUBMISSION_ATTEMPTS
from maestro_es.creation.create import create_study
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph import ExecutionGraph, Step
from maestro_es.study.invocation import Runtime
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.parameters import ParameterGenerator, Parameters
from maestro_es.study_file.paths import safe
from maestro_es.study_file.pgen import convert
from maestro_es.study_file.plan import plan_study
from maestro_es.study_file.reading import Given
from maestro_es.study_file.study_environment import StudyEnvironment
from maestro_es.study_file.study_text import study_text


class StudyStep:
    """A step; `run` has the keys of a study file, empty unless they are given a value."""

    def __init__(self) -> None:
        self.name = ""
        self.nickname = ""
        self.description = ""
        self.run: dict[str, Any] = dict.fromkeys(
            (
                "cmd", "depends", "pre", "post", "restart", "nodes", "procs", "gpus", "cores per task", "walltime",
                "reservation",
            ),
            "",
        )  # fmt: skip

    @property
    def real_name(self) -> str:
        """The name, whatever the nickname is."""
        return self.name


class Study:
    """A study that is made in Python. `description` is a text or, as Maestro wants it, a mapping that holds one."""

    def __init__(
        self,
        name: str,
        description: str | Mapping[str, Any],
        studyenv: StudyEnvironment | None = None,
        parameters: ParameterGenerator | None = None,
        steps: Iterable[Step] | None = None,
        out_path: str | os.PathLike[str] = "./",
    ) -> None:
        self.name = arguments.name("name", name)
        self.description = (
            description if isinstance(description, Mapping) else arguments.text("description", description)
        )
        self.environment = studyenv if studyenv is not None else StudyEnvironment()
        if not isinstance(self.environment, StudyEnvironment):
            raise TypeError(f"studyenv must be a StudyEnvironment, not {type(studyenv).__name__}")
        self.parameters = parameters if parameters is not None else ParameterGenerator()
        self.is_configured = False
        self._out_path = arguments.path("out_path", out_path)
        self._steps: list[Step] = []
        self._settings = Settings()
        for step in steps or ():
            self.add_step(step)

    @property
    def output_path(self) -> str:
        """The study's directory, as it was given."""
        return self._out_path

    def add_step(self, step: Step) -> None:
        """Add a step. Its dependencies may be added later."""
        if not all(hasattr(step, name) for name in ("name", "description", "run")):
            raise TypeError(f"step must be a StudyStep, not {type(step).__name__}")
        self._steps.append(step)

    def setup_workspace(self) -> None:
        """Make the study's directory."""
        Path(self._out_path).mkdir(parents=True, exist_ok=True)

    def configure_study(
        self,
        submission_attempts: int = SUBMISSION_ATTEMPTS,
        restart_limit: int = RESTART_LIMIT,
        throttle: int = 0,
        use_tmp: bool = False,  # noqa: FBT001, FBT002 - Maestro's signature
        hash_ws: bool = False,  # noqa: FBT001, FBT002 - likewise
        dry_run: bool = False,  # noqa: FBT001, FBT002 - likewise
    ) -> None:
        """Choose what the flags of ``maestro-es run`` choose. A flag may be None, which is False."""
        self._settings = Settings(
            submission_attempts=arguments.count("submission_attempts", submission_attempts, least=1),
            restart_limit=arguments.count("restart_limit", restart_limit),
            submission_throttle=arguments.count("throttle", throttle),
            use_tmp=arguments.flag("use_tmp", use_tmp),
            hash_workspaces=arguments.flag("hash_ws", hash_ws),
            dry_run=arguments.flag("dry_run", dry_run),
        )
        self.is_configured = True

    def setup_environment(self) -> None:
        """Say that the study's dependencies are wanted; `stage` acquires them."""
        self.environment.acquire_environment()

    def stage(self) -> tuple[str, ExecutionGraph]:
        """Create the study; returns its directory and its graph. SpecError has everything that is wrong with it."""
        if not Path(self._out_path).is_dir():
            raise RequestRefused(f"{self._out_path}: there is no such directory; call setup_workspace first")
        if not self.environment.is_set_up:
            raise RequestRefused(f"study {self.name}: its environment is not set up; call setup_environment first")
        settings = self._settings
        file = Path(self._out_path) / safe(f"{self.name}.yaml")
        plan = plan_study(
            file,
            SCHEDULERS,
            output=Path(self._out_path),
            timestamp="",
            hash_workspaces=settings.hash_workspaces,
            restart_limit=settings.restart_limit,
            given=Given(spec_root=self._spec_root(), text=study_text(self._data()), parameters=self._parameters(file)),
        )
        runtime = Runtime(driver=Driver.PROGRAM)
        return self._out_path, ExecutionGraph.open(create_study(plan, settings, runtime).root, runtime)

    def _data(self) -> dict[str, Any]:
        """Return the study as a file has it; without its parameters if a file can't hold them."""
        about = self.description if isinstance(self.description, Mapping) else {"description": self.description}
        found: dict[str, Any] = {
            "description": {**arguments.mapping("description", about), "name": self.name},
            "env": self._environment(),
            "study": [_declaration(step) for step in self._steps],
            "global.parameters": _declared(self.parameters),
        }
        return {key: value for key, value in found.items() if value}

    def _environment(self) -> dict[str, Any]:
        """Return the environment without OUTPUT_PATH and SPECROOT, which a launch makes what they are."""
        section = self.environment.section()
        section["variables"] = variables = dict(section.get("variables", {}))
        output = variables.pop("OUTPUT_PATH", self._out_path)
        if os.path.abspath(str(output)) != os.path.abspath(self._out_path):  # noqa: PTH100 - links stay
            raise ValueError(f"OUTPUT_PATH is {output!r} and the study's out_path {self._out_path!r}; make them one")
        variables.pop("SPECROOT", None)
        return {key: value for key, value in section.items() if value}

    def _spec_root(self) -> Path:
        known = self.environment.find("SPECROOT")
        return Path(str(known.value)) if known else Path.cwd()

    def _parameters(self, file: Path) -> Parameters:
        return convert(self.parameters, Findings(str(file))) if self.parameters else Parameters()


def _declared(made: ParameterGenerator) -> dict[str, Any]:
    """Return parameters as a study file has them; none if it can't hold their labels, names or values."""
    texts = all(isinstance(made.labels[key], str) and made.names[key] == key for key in made.parameters)
    values = [value for given in made.parameters.values() for value in given]
    if not texts or made.label_token != "%%" or {type(value) for value in values} - {str, int, float, bool}:  # noqa: S105 - no secret
        return {}
    return {key: {"values": list(given), "label": made.labels[key]} for key, given in made.parameters.items()}


def _declaration(step: Step) -> dict[str, Any]:
    """Return a step as a study file has it, without the keys that it leaves empty."""
    name = arguments.name("step.name", step.name)
    run = arguments.mapping(f"run of step {name!r}", step.run)
    return {
        "name": name,
        "description": arguments.text(f"description of step {name!r}", step.description) or name,
        "run": {key: value for key, value in run.items() if value not in ("", None, [])},
    }
