"""Warns of unquoted values whose text YAML 1.1 changes: ``007`` is 7, ``on`` is True, ``5:30`` is 330.

Maestro puts the changed text into scripts, and so does maestro-es. If the text stays the same, there is no warning.
For example, ``1e3`` is a string in YAML 1.1, and ``2.5`` does not change.

This module decides for which values there is a warning, by their position in the file. It changes no value. `document`
keeps the original text of each value.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.plain_yaml import WrittenScalar

#: The kinds of values that are numbers, as `document` names them.
_NUMBERS = ("int", "float")

#: Parts of a file whose values all become text in scripts, and parts in which only numbers do.
_TEXTS = (("env", "variables"), ("env", "labels"), ("global.parameters",))
_NUMBERS_ONLY = (("batch",), ("study",))

#: Keys of the batch block whose values become text in scripts.
_NAMES = ("type", "shell", "host", "bank", "queue", "reservation", "qos")

#: Keys of steps that are read as numbers, so their text does not matter.
_BY_VALUE = ("priority",)


def warn_of_scalars(document: Document, findings: Findings) -> None:
    """Warn of each scalar whose value, as text, differs from the text in the file."""
    for path in _TEXTS:
        for path_of, scalar in document.changed(*path):
            if path_of != path:  # if the paths are equal, the whole section is empty
                _warn(scalar, findings)
    for path in _NUMBERS_ONLY:
        for path_of, scalar in document.changed(*path):
            if _becomes_text(path_of, scalar):
                _warn(scalar, findings)


def _becomes_text(path: Sequence[str | int], scalar: WrittenScalar) -> bool:
    """Return whether a value in a step or in the batch block becomes text in scripts. True and false seldom do."""
    if scalar.kind in _NUMBERS:
        return path[-1] not in _BY_VALUE
    return scalar.kind == "bool" and path in {("batch", name) for name in _NAMES}


def _warn(scalar: WrittenScalar, findings: Findings) -> None:
    """Warn of a scalar, with the text that keeps it as it is in the file."""
    comes_out = str(scalar.value)
    if not scalar.text:
        findings.warn(scalar.line, f"An empty value is {comes_out} to YAML", 'Write "" if an empty string is meant.')
        return
    kind = "the number " if scalar.kind in _NUMBERS else "the date " if scalar.kind == "timestamp" else ""
    message = f"{scalar.text} without quotes is {kind}{comes_out} to YAML"
    why = "a time is meant" if scalar.kind in _NUMBERS and ":" in scalar.text else "this text is meant"
    findings.warn(scalar.line, message, f'Write "{scalar.text}" if {why}.')
