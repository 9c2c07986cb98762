"""From a template to what one instance runs: the last placeholders, in Maestro's order. Pure.

Study directory, then labels, values and names of the parameters in every string, then workspaces in ``cmd`` and
``restart``. ``$(LAUNCHER)`` is the adapter's, and unknown placeholders are the shell's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.core.model import Param

#: The study's own directory, as a placeholder that stays in the log.
OUTPUT_PATH = "$(OUTPUT_PATH)"


class RenderedStep(msgspec.Struct, frozen=True):
    """The description and the ``run`` block of one instance, with nothing left to replace but ``$(LAUNCHER)``."""

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
    """Return what an instance runs. `root` is the study's absolute directory.

    `params`, `workspace` and `workspaces` are those of its `StepRecord`. Workspaces are relative to `root`, or
    absolute if they lie elsewhere.
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
    """Return `item` with every string changed, in lists and in the values of mappings. YAML's nesting is shallow."""
    if isinstance(item, str):
        return change(item)
    if isinstance(item, list):
        return [map_strings(part, change) for part in item]
    if isinstance(item, dict):
        return {key: map_strings(value, change) for key, value in item.items()}
    return item


def substitute(text: str, params: Sequence[Param], sign: str = "$") -> str:
    """Replace the placeholders of parameters: labels, then values, then names. A value may hold one, too."""
    for param in params:
        text = text.replace(f"{sign}({param.key}.label)", param.label)
    for param in params:
        text = text.replace(f"{sign}({param.key})", param.value)
    for param in params:
        text = text.replace(f"{sign}({param.key}.name)", param.name)
    return text
