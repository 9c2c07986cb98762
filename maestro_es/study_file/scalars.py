"""Warnings about unquoted values whose text YAML 1.1 changes: ``007`` is 7, ``on`` is True, ``5:30`` is 330.

Maestro puts the changed text into scripts, and so do we. If the text stays the same, there is no warning: ``1e3`` is a
text in YAML 1.1, and ``2.5`` stays as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.study_file.document import Document, Written
from maestro_es.study_file.findings import Findings

_NUMBERS = ("int", "float")

#: Parts of a file whose values become text in scripts. In the others only numbers do.
_TEXTS = (("env", "variables"), ("env", "labels"), ("global.parameters",))
_NUMBERS_ONLY = (("batch",), ("study",))

#: Keys of the batch block whose values become text in scripts.
_NAMES = ("type", "shell", "host", "bank", "queue", "reservation", "qos")

#: Keys of steps whose values are compared as numbers, so that their text does not matter.
_BY_VALUE = ("priority",)


def warn_of_scalars(document: Document, findings: Findings) -> None:
    """Warn of each scalar whose value has another text than the file."""
    for path in _TEXTS:
        for place, found in document.written(*path):
            if place != path:  # an empty section is none
                _warn(found, findings)
    for path in _NUMBERS_ONLY:
        for place, found in document.written(*path):
            if _becomes_text(place, found):
                _warn(found, findings)


def _becomes_text(place: Sequence[str | int], found: Written) -> bool:
    """Whether the text of a value of a step or of the batch block matters; for true and false it seldom does."""
    if found.kind in _NUMBERS:
        return place[-1] not in _BY_VALUE
    return found.kind == "bool" and place in {("batch", name) for name in _NAMES}


def _warn(found: Written, findings: Findings) -> None:
    comes_out = str(found.value)
    if comes_out == found.text:
        return
    if not found.text:
        findings.warn(found.line, f"An empty value is {comes_out} to YAML", 'Write "" if an empty text is meant.')
        return
    kind = "the number " if found.kind in _NUMBERS else "the date " if found.kind == "timestamp" else ""
    message = f"{found.text} without quotes is {kind}{comes_out} to YAML"
    why = "a time is meant" if found.kind in _NUMBERS and ":" in found.text else "this text is meant"
    findings.warn(found.line, message, f'Write "{found.text}" if {why}.')
