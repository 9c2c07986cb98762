"""Runs a custom parameter generator: a user's Python file that creates the parameters of a study.

Such files contain ``from maestrowf.datastructures.core import ParameterGenerator``. If Maestro is installed, they get
its class. Otherwise they get the class of maestro-es under that name, but only while they run (`maestro_at_hand`). The
returned object is read through public attributes.

`pgen_environment` decides how a generator's changes to the environment are applied.
"""

from __future__ import annotations

import importlib
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
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings, did_you_mean
from maestro_es.study_file.parameters import Parameters, combine
from maestro_es.study_file.pgen_environment import GeneratorEnvironment

#: The import hook. It belongs to a higher layer, and only generators need it.
_HOOK = "maestro_es.compat.hook"

ROOT = "maestrowf"
VERSION = "1.2.1"

_ENTRY = "get_custom_generator"

#: Modules whose packages have another name.
_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "PyYAML"}


def parse_pargs(pargs: Sequence[str], pgen: Path | None, findings: Findings) -> dict[str, str]:
    """Return the arguments for a generator from strings ``key:value``."""
    if pargs and pgen is None:
        findings.problem(1, "Cannot use the 'pargs' parameter without specifying a 'pgen'", "Add --pgen FILE.")
    arguments: dict[str, str] = {}
    for text in pargs:
        key, colon, value = text.partition(":")
        if colon and key.strip():
            arguments[key.strip()] = value.strip()
        else:
            findings.problem(1, f"The argument --pargs '{text}' has no ':'", "Write it as --pargs 'key:value'.")
    return arguments


def run_generator(
    file: Path, arguments: Mapping[str, str], document: Document, values: Mapping[str, Scalar]
) -> tuple[Parameters, dict[str, Any] | None]:
    """Return the parameters that the file creates, and the ``env`` of the study if the file has changed it.

    `values` is the resolved environment, including OUTPUT_PATH and SPECROOT.
    """
    findings = Findings(str(file))
    if not file.exists():
        raise SpecError([f"{file}: The parameter generator does not exist. Name an existing file with --pgen."])
    environment = GeneratorEnvironment(document, values)
    all_arguments = {**arguments, "OUTPUT_PATH": values["OUTPUT_PATH"], "SPECROOT": environment.find("SPECROOT")}
    path = os.path.abspath(file)  # noqa: PTH100 - as tracebacks name it
    parameters = Parameters()
    changed = None
    load_counterparts()  # before the module search path is changed to the user's
    try:
        with _modules_of_user(), maestro_at_hand():
            function = getattr(_load(path), _ENTRY)
            parameters = convert(function(environment, **all_arguments), findings)
            changed = environment.changed()
    except SpecError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's code may raise any error
        _report(error, path, findings)
    findings.stop_if_problems()
    return parameters, changed


def _load(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("custom_gen", file)
    if spec is None or spec.loader is None or (Path(file).exists() and not Path(file).is_file()):
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, _ENTRY):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise AttributeError(f"it has no function {_ENTRY}(env, **kwargs). {did_you_mean(_ENTRY, known)}".strip())
    return module


@contextmanager
def _modules_of_user() -> Iterator[None]:
    """Let the user's code import the modules that it could import without maestro-es.

    Afterwards the module search path is restored, and modules from other directories are removed. So they can't
    replace a module that maestro-es imports later.
    """
    theirs = path_of_user()
    if not theirs:  # a user's program has imported maestro-es
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
            if origin and not origin.startswith(tuple(f"{directory}/" for directory in ours)):
                del sys.modules[name]


def _report(error: BaseException, file: str, findings: Findings) -> None:
    """Report an error of the user's code, with the line of the file that was being executed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = (frames[-1].lineno if frames else getattr(error, "lineno", None)) or 1
    missing = error.name if isinstance(error, ImportError) and error.name else ""
    if missing and (isinstance(error, ModuleNotFoundError) or missing.partition(".")[0] == ROOT):
        _report_missing(missing, error, file, line, findings)
        return
    message = f"The parameter generator failed: {type(error).__name__}: {error}"
    findings.problem(line, message.rstrip(".: "), "Correct this file, or its arguments given with --pargs.")


def _report_missing(module: str, error: BaseException, file: str, line: int, findings: Findings) -> None:
    """Report a module that the Python of maestro-es lacks. The file itself may be right."""
    package = module.partition(".")[0]
    if package == ROOT:
        message = f"The parameter generator can't import a name of Maestro's: {error}"
        install = install_command(f"{ROOT}=={VERSION}")
        hint = f"If Maestro {VERSION} has it, install that beside maestro-es: '{install}'. If not, correct the import."
        findings.problem(line, message, hint)
    elif os.path.exists(os.path.join(os.path.dirname(file), f"{package}.py")):  # noqa: PTH110, PTH118, PTH120 - a string
        message = f"The parameter generator can't import {package}: its directory is not searched, as in Maestro"
        findings.problem(line, message, "Name the directory in PYTHONPATH.")
    else:
        message = f"The parameter generator needs {module}, which the Python that runs maestro-es lacks"
        findings.problem(line, message, f"Install it there: '{install_command(_PACKAGES.get(package, package))}'.")


def convert(made: Any, findings: Findings) -> Parameters:  # noqa: ANN401 - whatever the user's code returns
    """Return the parameters of a generator object.

    Its class comes from maestro-es or Maestro, or is derived from such a class.
    """
    if not all(hasattr(made, name) for name in ("parameters", "labels", "names")):
        message = f"{_ENTRY} returned {type(made).__name__}, not a ParameterGenerator"
        findings.problem(1, message, "Return the generator that it has filled.")
    elif made.parameters and not all(len(values) for values in made.parameters.values()):
        findings.problem(1, "The parameter generator made parameters without values", "Give each at least one value.")
    findings.stop_if_problems()
    if type(made).__name__ != "ParameterGenerator" and hasattr(made, "get_combinations"):
        return _ask_combinations(made, findings)
    return combine(made.parameters, made.labels, made.names, getattr(made, "label_token", "%%"))


def _ask_combinations(made: Any, findings: Findings) -> Parameters:  # noqa: ANN401 - a class derived from Maestro's
    """Return the combinations of a derived class.

    The values are the texts that it substitutes for the placeholders.
    """
    keys = tuple(map(str, made.parameters))
    combos = list(made.get_combinations())
    if keys and not combos:
        findings.problem(1, "The parameter generator made no combinations", "Make at least one.")
        findings.stop_if_problems()
    columns = {
        key: [
            Param(key, combo.apply(f"$({key})"), combo.apply(f"$({key}.label)"), combo.apply(f"$({key}.name)"))
            for combo in combos
        ]
        for key in keys
    }
    return Parameters(keys, columns, {key: [param.value for param in column] for key, column in columns.items()})


def install_command(package: str) -> str:
    """Return the command that installs a package for the Python of maestro-es."""
    return f"{sys.executable} -m pip install {package}"


def load_counterparts() -> None:
    """Load the counterparts of Maestro's classes early. Later, the search path may lead to the user's modules."""
    _hook().load_counterparts()


def _hook() -> ModuleType:
    return importlib.import_module(_HOOK)


@contextmanager
def maestro_at_hand() -> Iterator[None]:
    """Let ``import maestrowf`` work in this context. Afterwards, no modules and no compiled files remain."""
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    absent = ROOT not in sys.modules and importlib.util.find_spec(ROOT) is None
    if absent:
        _hook().install()
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        if absent:
            _hook().uninstall()
