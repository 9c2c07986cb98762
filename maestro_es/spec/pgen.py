"""Custom parameter generators: a Python file of the user's that makes the parameters of a study.

Such files say ``from maestrowf.datastructures.core import ParameterGenerator``. Where Maestro is installed they get
its class, elsewhere ours, under that name and only while they run. What they return is read by public attributes.
"""

from __future__ import annotations

import importlib.util
import os.path
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from maestro_es.core.model import Param, Scalar
from maestro_es.errors import SpecError
from maestro_es.import_path import path_of_user
from maestro_es.spec.findings import Findings, did_you_mean
from maestro_es.spec.parameters import ParameterGenerator, Parameters, combine

_ENTRY = "get_custom_generator"

_STANDING_IN = (
    "maestrowf",
    "maestrowf.datastructures",
    "maestrowf.datastructures.core",
    "maestrowf.datastructures.core.parameters",
    "maestrowf.datastructures.environment",
)


class Variable(str):
    """A value of the environment. Generators ask for ``.value``; it is a text too, since some take it for one."""

    __slots__ = ("name", "value")

    name: str
    value: Scalar

    def __new__(cls, name: str, value: Scalar) -> Variable:
        """Make the text `value` with its name."""
        self = super().__new__(cls, value)
        self.name, self.value = name, value
        return self


class StudyEnvironment:
    """What a generator sees of the study's environment, with all values resolved."""

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self._values = values

    def find(self, key: str) -> Variable | None:
        """Return the variable, label or dependency of that name, or None."""
        return Variable(key, self._values[key]) if key in self._values else None


def parse_pargs(pargs: Sequence[str], findings: Findings) -> dict[str, str]:
    """Return the arguments for a generator from texts ``key:value``."""
    arguments: dict[str, str] = {}
    for text in pargs:
        key, colon, value = text.partition(":")
        if colon and key.strip():
            arguments[key.strip()] = value.strip()
        else:
            findings.problem(1, f"The argument --pargs '{text}' has no ':'", "Write it as --pargs 'key:value'.")
    return arguments


def run_generator(file: Path, arguments: Mapping[str, str], values: Mapping[str, Scalar]) -> Parameters:
    """Return the parameters that the file makes. `values` is the environment, OUTPUT_PATH and SPECROOT included."""
    findings = Findings(str(file))
    given = {**arguments, "OUTPUT_PATH": values["OUTPUT_PATH"], "SPECROOT": Variable("SPECROOT", values["SPECROOT"])}
    path = os.path.abspath(file)  # noqa: PTH100 - as tracebacks name it
    parameters = Parameters()
    try:
        with _modules_of_user(), _maestro_at_hand():
            function = getattr(_load(path), _ENTRY)
            made = function(StudyEnvironment(values), **given)
            parameters = convert(made, findings)
    except SpecError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's code, and may raise anything
        _report(error, path, findings)
    findings.stop_if_problems()
    return parameters


def _load(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("custom_gen", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, _ENTRY):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise AttributeError(f"it has no function {_ENTRY}(env, **kwargs). {did_you_mean(_ENTRY, known)}".strip())
    return module


@contextmanager
def _modules_of_user() -> Iterator[None]:
    """Let the user's code import what it could without us, and nothing of ours take the place of what we import later.

    Whatever it does to the path ends with it, and so do the modules that it found where we do not look.
    """
    theirs = path_of_user()
    if not theirs:  # a program of the user's calls us
        yield
        return
    ours, loaded = sys.path[:], set(sys.modules)
    sys.path[:] = theirs
    try:
        yield
    finally:
        sys.path[:] = ours
        for name in set(sys.modules) - loaded:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and not origin.startswith(tuple(f"{place}/" for place in ours)):
                del sys.modules[name]


@contextmanager
def _maestro_at_hand() -> Iterator[None]:
    """Let ``import maestrowf`` work, and leave nothing behind: no modules, and no compiled files."""
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    absent = "maestrowf" not in sys.modules and importlib.util.find_spec("maestrowf") is None
    if absent:
        sys.modules.update(_stand_in())
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        for name in _STANDING_IN if absent else ():
            sys.modules.pop(name, None)


def _stand_in() -> dict[str, ModuleType]:
    modules = {name: ModuleType(name, "Stands in for Maestro while a generator runs.") for name in _STANDING_IN}
    for name, module in modules.items():
        parent, _, leaf = name.rpartition(".")
        module.__path__ = []
        if parent:
            setattr(modules[parent], leaf, module)
        if leaf in {"core", "parameters"}:
            vars(module).update(ParameterGenerator=ParameterGenerator, StudyEnvironment=StudyEnvironment)
        if leaf == "environment":
            vars(module).update(Variable=Variable)
    return modules


def _report(error: BaseException, file: str, findings: Findings) -> None:
    """Report what the user's code raised, with the last line of the file that was being run."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    message = f"The parameter generator failed: {type(error).__name__}: {error}"
    findings.problem(line or 1, message.rstrip(".: "), "Correct this file, or its arguments given with --pargs.")


def convert(made: Any, findings: Findings) -> Parameters:  # noqa: ANN401 - whatever the user's code returns
    """Return the parameters of our generator class, of Maestro's, or of one derived from either."""
    if not all(hasattr(made, name) for name in ("parameters", "labels", "names")):
        message = f"{_ENTRY} returned {type(made).__name__} and no ParameterGenerator"
        findings.problem(1, message, "Return the generator that it has filled.")
    elif made.parameters and not all(len(values) for values in made.parameters.values()):
        findings.problem(1, "The parameter generator made parameters without values", "Give each at least one value.")
    findings.stop_if_problems()
    if type(made).__name__ != "ParameterGenerator" and hasattr(made, "get_combinations"):
        return _ask_combinations(made)
    return combine(made.parameters, made.labels, made.names, getattr(made, "label_token", "%%"))


def _ask_combinations(made: Any) -> Parameters:  # noqa: ANN401 - a class derived from Maestro's
    """Return the combinations that a derived class makes itself, by what it would put in place of each token."""
    keys = tuple(map(str, made.parameters))
    combos = [
        {
            key: Param(key, combo.apply(f"$({key})"), combo.apply(f"$({key}.label)"), combo.apply(f"$({key}.name)"))
            for key in keys
        }
        for combo in made.get_combinations()
    ]
    return Parameters(keys, tuple(combos), {key: [combo[key].value for combo in combos] for key in keys})
