"""`Conductor`: Maestro's class that runs a study to its end, and stores a study for a later process.

It is not a daemon. ``maestro-es tick`` can tick the same study at any time. `maestro_es.core.decide` decides what a
tick does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maestro_es import files
from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import SCHEDULERS, make_adapter
from maestro_es.compat.study import Study
from maestro_es.core import arguments
from maestro_es.core.file_names import BATCH_INFO, CANCEL, STATUS_CSV, UPDATE
from maestro_es.core.model import StudyStatus
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.study_file.checks import check_meaning
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.pgen_tools import csvtable_to_dict
from maestro_es.study_file.reading import read_data, study_text
from maestro_es.study_file.render import safe

#: The longest time between two ticks, in seconds.
_SLEEP_TIME = 60

_STORED = ".study.pkl"

PathText = str | os.PathLike[str]


class Conductor:
    """Runs one study. `initialize` creates the study, and `monitor_study` runs ticks until it has ended."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._graph: ExecutionGraph | None = None
        self._sleep_time = _SLEEP_TIME

    @property
    def output_path(self) -> str:
        """The study's directory."""
        return self._study.output_path

    @property
    def study_name(self) -> str:
        """The study's name."""
        return self._study.name

    @property
    def sleep_time(self) -> int:
        """The longest time between two ticks, in seconds."""
        return self._sleep_time

    @sleep_time.setter
    def sleep_time(self, new_sleep_time: int) -> None:
        self._sleep_time = new_sleep_time
        if self._graph is not None:
            self._graph.update(sleep_seconds=new_sleep_time)

    def initialize(self, batch_info: Mapping[str, Any], sleeptime: int = _SLEEP_TIME) -> None:
        """Create the study, or continue the same study in its directory. `batch_info` is a batch block.

        TypeError, UnknownAdapter or SpecError if an argument is wrong. In that case, no study is created.
        """
        if batch_info is None:
            raise TypeError("batch_info must be a dictionary, not None")
        batch = arguments.mapping("batch_info", batch_info)
        make_adapter(batch, this_host())
        _check_batch(batch)
        sleep_time = arguments.count("sleeptime", sleeptime)
        _, self._graph = self._study.stage()
        self._graph.set_adapter(batch)
        self.sleep_time = sleep_time
        self._study.store_metadata()
        self._graph.write_status(self.output_path)

    def monitor_study(self) -> StudyStatus:
        """Run ticks until the study has ended. Returns its final status. RequestRefused before `initialize`."""
        return self._staged("monitor_study").run_until_ended()

    def cleanup(self) -> None:
        """Remove the scripts in the temporary directory."""
        self._staged("cleanup").cleanup()

    def _staged(self, what: str) -> ExecutionGraph:
        if self._graph is None:
            raise RequestRefused(f"study {self.study_name}: call initialize before {what}")
        return self._graph

    @classmethod
    def store_study(cls, study: Study) -> None:
        """Store a study in its directory, for `load_study`."""
        study.pickle(Path(study.output_path) / safe(f"{study.name}{_STORED}"))

    @classmethod
    def load_study(cls, out_path: PathText) -> Study:
        """Return the study that is stored in a directory. RequestRefused if there is none, or more than one."""
        pointers = sorted(Path(out_path).glob(f"*{_STORED}"))
        if len(pointers) != 1:
            raise RequestRefused(
                f"{os.fspath(out_path)}: there must be one file *{_STORED}, but there are {len(pointers)}"
            )
        return Study.unpickle(pointers[0])

    @classmethod
    def store_batch(cls, out_path: PathText, batch: Mapping[str, Any]) -> None:
        """Store a batch block in a directory."""
        files.write(Path(out_path) / BATCH_INFO, study_text(batch).encode())

    @classmethod
    def load_batch(cls, out_path: PathText) -> dict[str, Any]:
        """Return the batch block that is stored in a directory. RequestRefused if there is none."""
        path = Path(out_path) / BATCH_INFO
        batch = _read(path)
        if batch is None:
            raise RequestRefused(f"{path}: there is no such file; run the study with maestro-es")
        return batch

    @classmethod
    def get_status(cls, output_path: PathText) -> dict[str, list[str]]:
        """Return the columns of the status table by title (empty: there is no table)."""
        try:
            with (Path(output_path) / STATUS_CSV).open(encoding="utf-8") as table:
                return csvtable_to_dict(table)
        except FileNotFoundError:
            return {}

    @classmethod
    def mark_cancelled(cls, output_path: PathText) -> None:
        """Request that a study be cancelled. The next tick cancels it."""
        (Path(output_path) / CANCEL).touch()

    @classmethod
    def update_study_exec(cls, output_path: PathText, updated_config: Mapping[str, Any]) -> None:
        """Request other values of rlimit, throttle and sleep. The next tick applies them."""
        files.write(Path(output_path) / UPDATE, study_text(updated_config).encode())

    @classmethod
    def load_updated_study_exec(cls, output_path: PathText) -> dict[str, Any]:
        """Return the values that `update_study_exec` has requested, and withdraw the request.

        Empty if there is none.
        """
        path = Path(output_path) / UPDATE
        data = _read(path)
        if data is None:
            return {}
        path.unlink(missing_ok=True)
        return data


def _check_batch(batch: dict[str, Any]) -> None:
    """Raise a SpecError with all problems of a batch block."""
    findings = Findings("batch_info")
    check_meaning(Document({"batch": batch}), SCHEDULERS, findings)
    findings.stop_if_problems()


def _read(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a YAML file (None: there is no such file)."""
    try:
        return read_data(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return None
