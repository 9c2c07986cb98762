"""`load_parameter_generator` by Maestro's name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

_NAME = "custom_gen"


def load_parameter_generator(path: str | os.PathLike[str], env: Any, kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the file makes
    """Run a file of the user's and return what its function ``get_custom_generator`` makes.

    An error of the file is raised as it is. ImportError if there is no such file.
    """
    spec = importlib.util.spec_from_file_location(_NAME, os.path.abspath(path))  # noqa: PTH100 - as tracebacks name it
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.fspath(path)} is no Python file", name=_NAME)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_custom_generator(env, **kwargs)
