"""Functions of ``maestrowf.utils`` for programs: logs, versions, nested mappings, processes and parameter generators.

`maestro_es.study_file.pgen_tools` has the functions that parameter generators use.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

#: The numbers of a version by semver.org, before the optional suffixes.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?(\+[\dA-Za-z-]+(\.[\dA-Za-z-]+)*)?"
)


class LoggerUtility:
    """Sets up a logger. A level is 1 (debug) to 5 (critical)."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def configure(self, log_format: str, log_lvl: int = 2, colors: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - Maestro's signature; colours are not used
        """Set up the root logger."""
        logging.basicConfig(level=self.map_level(log_lvl), format=log_format)

    def add_stream_handler(self, log_format: str, log_lvl: int = 2) -> None:
        """Also write messages to standard error."""
        self._add(logging.StreamHandler(), log_format, log_lvl)

    def add_file_handler(self, log_path: str, log_format: str, log_lvl: int = 2) -> None:
        """Also write messages to a file."""
        self._add(logging.FileHandler(log_path), log_format, log_lvl)

    def _add(self, handler: logging.Handler, log_format: str, log_lvl: int) -> None:
        handler.setLevel(self.map_level(log_lvl))
        handler.setFormatter(logging.Formatter(log_format))
        self._logger.addHandler(handler)

    @staticmethod
    def map_level(log_lvl: int) -> int:
        """Return Python's level for one of Maestro's."""
        return log_lvl * logging.DEBUG if 1 <= log_lvl <= logging.CRITICAL // logging.DEBUG else logging.CRITICAL


def ping_url(url: str) -> None:
    """Load a page. URLError if that fails."""
    with urllib.request.urlopen(url) as response:  # noqa: S310 - the program's own address
        response.read()


def parse_version(version_string: str) -> Any:  # noqa: ANN401 - a Version of the package `packaging`
    """Return a version by PEP 440, or the numbers of a version by semver.org. InvalidVersion if it is neither."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - maestro-es itself needs no such package

    try:
        return Version(version_string)
    except InvalidVersion:
        match = _SEMVER.fullmatch(version_string)
        if not match:
            raise
        return Version(".".join(match.groups()[:3]))


def dict_to_dot_strings(
    dictionary: Mapping[str, Any],
    prefix: str = "",
    result: list[str] | None = None,
    print_none: bool = True,  # noqa: FBT001, FBT002 - Maestro's signature
) -> list[str]:
    """Return strings ``key.key=value`` for nested mappings. Without `print_none`, None gives only ``key.key``."""
    strings = [] if result is None else result
    for path, value in iter_dotpath_items(dictionary, prefix=prefix):
        strings.append(path if value is None and not print_none else f"{path}={value}")
    return strings


def iter_dotpath_items(mapping: Any, sep: str = ".", prefix: str | None = None) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - checked below
    """Yield the path and the value of each item in nested mappings. TypeError if `mapping` is not a mapping."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"this must be a mapping, not {type(mapping).__name__}")
    for key, value in mapping.items():
        path = f"{prefix}{sep}{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from iter_dotpath_items(value, sep, path)
        else:
            yield path, value


def unflatten_dotpath_tuples(dotpaths: Iterable[tuple[str, Any]], sep: str = ".") -> dict[str, Any]:
    """Return nested mappings for pairs of a path and a value.

    If a longer path goes through a value, the value is replaced.
    """
    root: dict[str, Any] = {}
    for path, value in dotpaths:
        *above, last = str(path).split(sep)
        branch = root
        for part in above:
            if not isinstance(branch.get(part), dict):
                branch[part] = {}
            branch = branch[part]
        branch[last] = value
    return root


def unflatten_dotpath_dict(dotpath_dict: Mapping[str, Any], sep: str = ".") -> dict[str, Any]:
    """Return nested mappings for a mapping of paths to values."""
    return unflatten_dotpath_tuples(dotpath_dict.items(), sep)


def coerce_dict_values(obj_to_transform: Any, transform: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - of any kind
    """Return nested mappings with a function applied to each value."""
    if isinstance(obj_to_transform, Mapping):
        return {key: coerce_dict_values(value, transform) for key, value in obj_to_transform.items()}
    return transform(obj_to_transform)


def update_recursive(base_dict: dict[str, Any], update_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Update nested mappings in place. Returns `base_dict`."""
    for key, value in update_dict.items():
        if isinstance(base_dict.get(key), dict) and isinstance(value, dict):
            update_recursive(base_dict[key], value)
        else:
            base_dict[key] = value
    return base_dict


def start_process(
    cmd: str | Sequence[str],
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    shell: bool = True,  # noqa: FBT001, FBT002 - Maestro's signature
) -> subprocess.Popen[str]:
    """Start a command. A text runs in a shell, and a list without one. The output goes to pipes, as text."""
    options: dict[str, Any] = {} if cwd is None else {"cwd": cwd}
    options |= {} if env is None else {"env": env}
    by_shell = shell and not isinstance(cmd, (list, tuple))
    return subprocess.Popen(  # noqa: S603 - the program's own command
        cmd, shell=by_shell, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


#: The module name of an imported generator.
_NAME = "custom_gen"


def load_parameter_generator(path: str | os.PathLike[str], env: Any, kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the file makes
    """Run a user's file, call its function ``get_custom_generator``, and return the result.

    An error in the file is raised unchanged. ImportError if the file does not exist.
    """
    spec = importlib.util.spec_from_file_location(_NAME, os.path.abspath(path))  # noqa: PTH100 - as tracebacks name it
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.fspath(path)} is not a Python file", name=_NAME)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_custom_generator(env, **kwargs)


def run_to_end(argv: Sequence[str]) -> int:
    """Run a command on this terminal. Returns its exit code."""
    return subprocess.call(argv)  # noqa: S603 - our own arguments
