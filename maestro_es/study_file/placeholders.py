"""Warns of placeholders, ``$(...)``, that are not replaced although the user probably expects it.

To the shell, an unknown ``$(...)`` is a command. So there is a warning only if it resembles a known name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from maestro_es.core.model import is_scheduled
from maestro_es.study_file.env_block import EnvBlock
from maestro_es.study_file.findings import Findings, nearest
from maestro_es.study_file.parameters import Parameters, strings_in
from maestro_es.study_file.templates import Template

_PLACEHOLDER = re.compile(r"\$\((\w+)(?:\.(\w+))?\)")

#: Placeholders that every step has.
_BUILT_IN = ("WORKSPACE", "LAUNCHER", "OUTPUT_PATH")

#: From this similarity on, one name counts as a misspelling of the other.
_LIKENESS = 0.8


def warn_of_placeholders(
    templates: Iterable[Template],
    parameters: Parameters,
    environment: EnvBlock,
    *,
    declared: Iterable[str] = (),
    local: bool,
    findings: Findings,
) -> None:
    """Warn of misspelt placeholders, and of launchers in steps that no scheduler runs.

    `declared` holds all names that the file declares. A name with a faulty value is missing from the parameters and
    the environment, but it is not a misspelling.
    """
    names = {*parameters.keys, *environment.values, *declared, *_BUILT_IN}
    meant = functools.cache(lambda name: nearest(name, names, _LIKENESS))
    for template in templates:
        placeholders = dict.fromkeys(
            match for text in strings_in(dict(template.run)) for match in _PLACEHOLDER.findall(text)
        )
        for name, word in placeholders:
            if name in parameters.keys and word not in {"", "label", "name", "workspace"}:
                message = f"In study step '{template.name}', $({name}.{word}) stays as it is"
                findings.warn(
                    template.line, message, f"A parameter has $({name}), $({name}.label) and $({name}.name)."
                )
            elif name not in names and word != "workspace" and meant(name):
                message = f"In study step '{template.name}', $({name}) is left to the shell"
                findings.warn(template.line, message, f"Did you mean '$({meant(name)})'?")
        if ("LAUNCHER", "") in placeholders and (local or not is_scheduled(template.run)):
            message = f"Study step '{template.name}' uses $(LAUNCHER), but no scheduler runs it"
            remedy = (
                "Give the step nodes or procs, and choose a batch type such as slurm, or write the command itself."
            )
            findings.warn(template.line, message, remedy)


def warn_of_batch(batch: Mapping[str, Any], environment: EnvBlock, line: int, findings: Findings) -> None:
    """Warn of placeholders in ``batch``. As in Maestro, they are not replaced there."""
    for text in strings_in(dict(batch)):
        for name, _ in _PLACEHOLDER.findall(text):
            if name in environment.values:
                remedy = "Write its value: batch has no placeholders."
                findings.warn(line, f"In batch, $({name}) stays as it is", remedy)
