"""Reads a study directory of Maestro 1.2.1. It never loads a pickle.

::

    *.yaml, *.py          copies of the study file and of the parameter generator
    batch.info            the batch block
    meta/metadata.yaml    the instances of each step, and their workspaces
    meta/environment.yaml the environment of the launch, of which only PWD is read
    status.csv            the steps after the conductor's last pass
    logs/NAME.log         the ends of local steps since then, if the conductor ran in the background

Maestro writes ``status.csv`` after each pass. In a pass, it runs local steps to their end, one after another. So only
the log may show what the conductor did in its last hours.

`maestro_es.creation.import_rules` decides what happens to each step.

`read_update` reads the file that ``maestro update`` leaves for a conductor, such as
``{rlimit: 3, sleep: null, throttle: 20}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from maestro_es.core import file_names
from maestro_es.core.model import Micros, State
from maestro_es.errors import StudyError
from maestro_es.study_file.document import read_file
from maestro_es.study_file.maestro_status import Row, local_time, read_rows
from maestro_es.study_file.render import safe

#: The keys that ``maestro update`` writes, which are the names of its options. A value that was not given is null.
_KEYS = ("rlimit", "sleep", "throttle")

#: Suffixes of files that are never a copy of a study file.
_OTHER_FILES = (".pkl", ".csv", ".txt", ".py", ".info", ".db", ".imported")

#: The maximum size of a study file, in bytes.
_LARGEST = 10_000_000

#: With ``--hashws``, the name of a workspace is the name of the step and this part.
_HASHED = re.compile(r"_instance_\d+")

# Lines of a conductor's log: time, logger:function:line, level, message. The first one has no such prefix.
_STAGED = "Constructing parameter study '"
_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ - \S+ - "
_FINISHED = re.compile(_TIME + r"INFO - Local step (.+) executed with status OK\. Complete\.")
_FAILED = re.compile(_TIME + r"WARNING - '(.+)' failed to submit properly\. Step failed\.")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Ended(NamedTuple):
    """The end of a step in the conductor's log: its state and its time."""

    state: State
    at: Micros


@dataclass(frozen=True)
class MaestroDir:
    """The content of a Maestro study directory. `instances` holds the workspace of each instance by template and name.

    `ended` holds the steps that the conductor's log shows as ended. `launched_in` is the directory in which
    ``maestro run`` was called.
    """

    root: Path
    name: str
    spec: Path
    pgen: Path | None
    batch: Mapping[str, Any]
    instances: Mapping[str, Mapping[str, str]]
    rows: Mapping[str, Row]
    ended: Mapping[str, Ended]
    launched_in: Path | None

    @property
    def hash_workspaces(self) -> bool:
        """Whether the study was run with ``--hashws``."""
        return any(
            _HASHED.fullmatch(workspace.removeprefix(f"{safe(template)}/{safe(template)}"))
            for template, instances in self.instances.items()
            for workspace in instances.values()
        )


def read_maestro_dir(root: Path) -> MaestroDir:
    """Read a study directory of Maestro. StudyError if it is not one, or if files are missing."""
    metadata = _mapping(root / "meta" / "metadata.yaml")
    instances = metadata.get("step_combinations")
    if not isinstance(instances, dict):
        raise StudyError(f"{root}/meta/metadata.yaml: lists no steps; was the study ever started by Maestro?")
    instances = {name: workspaces for name, workspaces in instances.items() if isinstance(workspaces, dict)}
    names = [name for workspaces in instances.values() for name in workspaces]
    spec, name = _find_spec(root)
    return MaestroDir(
        root=root,
        name=name,
        spec=spec,
        pgen=_find_pgen(root),
        batch=_mapping(root / file_names.BATCH_INFO),
        instances=instances,
        rows=read_rows(root / file_names.STATUS_CSV, names),
        ended=read_log(_lines(root / "logs" / f"{name}.log")),
        launched_in=_launched_in(root),
    )


def _mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, loaded without creating Python objects."""
    try:
        data = yaml.load(read_file(path), Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise StudyError(
            f"{path}: {error.strerror}; a study that Maestro's conductor has started has this file"
        ) from None
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: is not readable as YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict):
        raise StudyError(f"{path}: does not contain a mapping")
    return data


def _find_spec(root: Path) -> tuple[Path, str]:
    """Return the copy of the study file, and the study's name."""
    candidates: dict[Path, str] = {}
    for path in sorted(root.iterdir()):
        name = _study_name(path)
        if name:
            candidates[path] = name
    if len(candidates) > 1:  # the name of Maestro's pickle contains the name of the study
        candidates = {
            path: name for path, name in candidates.items() if (root / safe(f"{name}.study.pkl")).exists()
        } or candidates
    if len(candidates) != 1:
        names = ", ".join(path.name for path in candidates) or "none"
        raise StudyError(f"{root}: there must be one study file in this directory, but there are: {names}")
    return candidates.popitem()


def _study_name(path: Path) -> str:
    """Return the name of the study that a file describes; empty if it is not a study file."""
    if path.name.startswith(".") or path.suffix in _OTHER_FILES or not path.is_file():
        return ""
    if path.stat().st_size > _LARGEST:
        return ""
    try:
        data = _mapping(path)
    except StudyError:
        return ""
    description = data.get("description")
    return str(description.get("name", "")) if "study" in data and isinstance(description, dict) else ""


def _find_pgen(root: Path) -> Path | None:
    generators = [path for path in sorted(root.glob("*.py")) if b"get_custom_generator" in read_file(path)]
    if len(generators) > 1:
        names = ", ".join(path.name for path in generators)
        raise StudyError(f"{root}: contains several parameter generators: {names}; keep only the one that was used")
    return generators[0] if generators else None


def _launched_in(root: Path) -> Path | None:
    try:
        folder = _mapping(root / "meta" / "environment.yaml").get("PWD")
    except StudyError:
        return None
    return Path(folder) if isinstance(folder, str) and folder.startswith("/") else None


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, if it exists."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield line.rstrip("\n")


def read_log(lines: Iterable[str]) -> dict[str, Ended]:
    """Return the local steps that, according to the log, have ended since the conductor's last start."""
    ended: dict[str, Ended] = {}
    for line in lines:
        if line.startswith(_STAGED):
            ended.clear()  # a restarted conductor runs all steps again
        for pattern, state in ((_FINISHED, State.FINISHED), (_FAILED, State.FAILED)):
            match = pattern.fullmatch(line)
            if match:
                ended[match[2]] = Ended(state, local_time(match[1]))
    return ended


def read_update(text: str) -> dict[str, int]:
    """Return the given values by the names of their options. ValueError says what is wrong with the text.

    0 is a value ("no limit"), although Maestro's conductor ignores it.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError(  # noqa: TRY004 - the text is wrong, not a type
            f"it does not contain a mapping of {', '.join(_KEYS)}"
        )
    for key, value in data.items():
        if key not in _KEYS:
            raise ValueError(f"it holds the key {key!r}; the possible keys are {', '.join(_KEYS)}")
        if value is not None and type(value) is not int:
            raise ValueError(f"the value of {key} is not a whole number: {value!r}")
    return {key: value for key, value in data.items() if value is not None}
