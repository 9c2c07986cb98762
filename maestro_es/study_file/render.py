"""Renders a template for one instance: the commands that it runs, and its names on disk.

Placeholders are replaced in Maestro's order. In every string, these are the study directory, then labels, values and
names of the parameters. In ``cmd`` and ``restart``, workspaces follow. The adapter replaces ``$(LAUNCHER)``. Unknown
placeholders are left to the shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.core.model import Param
from maestro_es.core.step_keys import substitute
from maestro_es.files import replaced_by

#: The placeholder of the study's own directory. It stays in the log.
OUTPUT_PATH = "$(OUTPUT_PATH)"

#: The characters that Maestro removes from paths.
_UNSAFE = re.compile(r"[^-_.() A-Za-z0-9]")

#: A name that can be a directory, unchanged.
_PLAIN = re.compile(r"(?!\.{1,2}\Z)[-_.()A-Za-z0-9]+")

#: The longest name of a script consists of the instance's name, this suffix, and an extension. File systems allow 255
#: bytes. At least eight bytes are reserved for the extension, so that the scheduler of a study can change.
_RESTART = ".restart."
_EXTENSION = 8
_LONGEST_NAME = 255


class RenderedStep(msgspec.Struct, frozen=True):
    """The description and the ``run`` block of one instance. Only ``$(LAUNCHER)`` is not yet replaced."""

    description: str
    run: dict[str, Any]


def render(
    description: str,
    run: Mapping[str, Any],
    params: Sequence[Param],
    workspace: str,
    workspaces: Mapping[str, str],
    root: str,
) -> RenderedStep:
    """Return the description and the ``run`` block of an instance. `root` is the study's absolute directory.

    `params`, `workspace` and `workspaces` come from its `StepRecord`. Workspaces are relative to `root`, or absolute
    if they are outside.
    """

    def change(text: str) -> str:
        return substitute(text.replace(OUTPUT_PATH, root), params)

    rendered = {key: map_strings(value, change) for key, value in run.items()}
    for key in ("cmd", "restart"):
        if isinstance(rendered.get(key), str):
            for name, directory in workspaces.items():
                rendered[key] = rendered[key].replace(f"$({name}.workspace)", _place(root, directory))
            rendered[key] = rendered[key].replace("$(WORKSPACE)", _place(root, workspace))
    return RenderedStep(change(description), rendered)


def _place(root: str, directory: str) -> str:
    return directory if directory.startswith("/") else f"{root}/{directory}"


def map_strings(item: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever a step holds
    """Return `item` with every string changed, including those in lists and in the values of mappings.

    This is recursive, because `document` limits the depth of a study file.
    """
    if isinstance(item, str):
        return change(item)
    if isinstance(item, list):
        return [map_strings(part, change) for part in item]
    if isinstance(item, dict):
        return {key: map_strings(value, change) for key, value in item.items()}
    return item


def safe(name: str) -> str:
    """Return `name` as Maestro writes it in a path: without unsafe characters, and with ``_`` for each space."""
    return _UNSAFE.sub("", name).replace(" ", "_")


def is_plain(name: str) -> bool:
    """Return whether `name` can be a directory, and Maestro writes it in a path unchanged."""
    return _PLAIN.fullmatch(name) is not None


def workspace(*parts: str) -> str:
    """Return the directory of a step or of one of its instances, relative to the study directory."""
    return "/".join(safe(part) for part in parts)


def nickname(step: str, index: int, count: int) -> str:
    """Return the short name of one of the `count` instances of a step. With ``--hashws``, it replaces the labels."""
    return f"{step}_instance_{index:0{len(str(count - 1))}d}"


def objection(directory: str, stem: str, taken: Sequence[str], extension: str = "") -> str | None:
    """Return why a workspace with scripts of this `stem` and `extension` is not possible (None: it is possible)."""
    parts = directory.split("/")
    if parts[0] in taken or replaced_by(parts[0]) in taken:
        return f"its directory '{parts[0]}' is taken by a file of the study"
    if any(part in {"", ".", ".."} for part in parts):
        return f"its directory would be '{directory}', which is not a name"
    script = len(stem + _RESTART) + max(_EXTENSION, len(extension))
    longest = max(script, *map(len, parts))
    if longest > _LONGEST_NAME:
        return f"its names would be {longest} characters long; at most {_LONGEST_NAME} are allowed"
    return None
