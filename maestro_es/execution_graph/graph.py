"""The public class `ExecutionGraph`. This module only creates it. The other modules of this package have its parts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from maestro_es.core import arguments
from maestro_es.core.model import Settings
from maestro_es.core.resubmission_limits import SUBMISSION_ATTEMPTS
from maestro_es.execution_graph.creating import CreatableGraph
from maestro_es.execution_graph.display import ShownGraph
from maestro_es.execution_graph.pickling import PicklableGraph
from maestro_es.execution_graph.requesting import RequestableGraph
from maestro_es.execution_graph.running import RunnableGraph
from maestro_es.execution_graph.upkeep import MaintainableGraph
from maestro_es.execution_graph.walking import WalkableGraph
from maestro_es.study.invocation import Driver, Runtime
from maestro_es.study.session import Session


class ExecutionGraph(
    WalkableGraph, RunnableGraph, RequestableGraph, MaintainableGraph, CreatableGraph, PicklableGraph, ShownGraph
):
    """A graph of steps. An event log records all changes of it.

    `path` is the study's directory, which is created (default: a new temporary directory). `submission_attempts` (at
    least 1) is how many times a submission is tried if the scheduler refuses it. `submission_throttle` is how many
    jobs may be in flight (0: no limit). With `use_tmp`, scripts are kept in a temporary directory. With `dry_run`,
    scripts are written and nothing runs.
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
        path_text = None if path is None else arguments.path("path", path)
        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        root = Path(tempfile.mkdtemp(prefix="maestro-es-") if path_text is None else path_text)
        from maestro_es.creation.create import create_empty_study  # noqa: PLC0415 - most commands do without it

        create_empty_study(root, settings, runtime)
        self._study = Session(root, runtime)

    @classmethod
    def create(cls, path: str | os.PathLike[str] | None, **settings: Any) -> ExecutionGraph:  # noqa: ANN401 - as __init__
        """Create a study in the directory `path` (None: a new temporary directory), with settings as for the class.

        RequestRefused if the directory has a study already.
        """
        return cls(**settings, path=path)
