"""Makes and parses the token of an attempt, ``STUDY-STEP-ATTEMPT-SUFFIX``.

The token is the permanent name of the attempt in claims, reports and job commands. STUDY is the first eight digits of
the study's id, and STEP and ATTEMPT are numbers. Each tick has its own SUFFIX, so two attempts never share a token,
even if the log has lost one of them. Only this module and ``runner.sh`` parse tokens. The runner reads STUDY, and
refuses to run a job of a study that was replaced.

If several attempts are submitted as one job array, the SUFFIX of each ends with ``_FIRST_INDEX``: the number of the
first step in the array, and the index of the attempt. The name of the array, ``STUDY-array-SUFFIX_FIRST``, follows
from the token, so no token can belong to two arrays.

The suffix of an attempt that runs inside an allocation ends with its placement, ``jJOBnNODEkCOUNTgGPUS``: the id of
the job, the first of its nodes, the number of nodes, and a mask of GPUs in hexadecimal. If the job was requeued
before, ``+`` and the number of this start follow its id. The log needs no other record of the placement, because the
request of the submission contains the token.

`maestro_es.core.decide` decides when an attempt gets a new token. The claim of an attempt decides whether it may start
(`maestro_es.study.claims`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: The variable in which a step finds its token.
TOKEN_VARIABLE = "MAESTRO_ES_TOKEN"  # noqa: S105 - no secret

#: The suffix of an attempt that Maestro submitted. Its job carries no token and is identified by id and name.
_IMPORTED = "imported"

#: Replaces step and attempt in the name of an array.
_ARRAY = "array"

_STUDY_DIGITS = 8
_PARTS = 4

#: How many digits a number may have to fit in a column of the log.
_DIGITS = 18


def make_token(study_id: str, step: int, attempt: int, suffix: str) -> str:
    """Return the token of an attempt. Each tick has its own `suffix`."""
    return f"{study_part(study_id)}-{step}-{attempt}-{suffix}"


def element_suffix(suffix: str, first: int, index: int) -> str:
    """Return the suffix of an attempt that is one element of the array that begins with the step `first`."""
    return f"{suffix}_{first}_{index}"


def element_of(token: str) -> tuple[str, int] | None:
    """Return the name of an attempt's array, and the attempt's index in it; None if the attempt has its own job."""
    if "_" not in token:
        return None
    parts = token.split("-")
    suffix, separator, index = parts[-1].rpartition("_")
    if len(parts) != _PARTS or not separator or not is_number(index):
        return None
    return f"{parts[0]}-{_ARRAY}-{suffix}", int(index)


class Placement(NamedTuple):
    """Where an attempt runs inside an allocation: job, first node, number of nodes, and a mask of GPUs on each."""

    job: str
    node: int
    nodes: int = 1
    gpus: int = 0


_PLACEMENT = re.compile(r"j([0-9A-Za-z+]+)n([0-9]+)k([0-9]+)g([0-9a-f]+)$")


def placed_suffix(suffix: str, at: Placement) -> str:
    """Return the suffix of an attempt that runs inside an allocation."""
    return f"{suffix}j{at.job}n{at.node}k{at.nodes}g{at.gpus:x}"


def placement_of(token: str) -> Placement | None:
    """Return where inside an allocation an attempt runs; None if it does not run inside one."""
    match = _PLACEMENT.search(token) if "k" in token else None
    return Placement(match[1], int(match[2]), int(match[3]), int(match[4], 16)) if match else None


def without_start(job: str) -> str:
    """Return the name of a job without the number of its start, which may follow after a plus sign."""
    return job.partition("+")[0]


def is_array(name: str) -> bool:
    """Return whether a name is the name of an array, not a token."""
    return name.split("-")[1:2] == [_ARRAY]


def imported_token(study_id: str, step: int) -> str:
    """Return the token of an attempt that Maestro submitted. It is the first attempt of its step."""
    return make_token(study_id, step, 1, _IMPORTED)


def study_part(study_id: str) -> str:
    """Return the first part of the tokens of a study."""
    return study_id[:_STUDY_DIGITS]


def study_of(token: str) -> str:
    """Return the part of a token that all attempts of its study share."""
    return token.partition("-")[0]


def is_imported(token: str) -> bool:
    """Return whether Maestro submitted the attempt."""
    return token.endswith(f"-{_IMPORTED}")


def is_of_study(token: str, study_id: str) -> bool:
    """Return whether a token belongs to an attempt of a study."""
    return token.startswith(f"{study_part(study_id)}-")


def step_of(token: str) -> int:
    """Return the number of the step in a token (0: it is not a token of maestro-es)."""
    parts = token.split("-")
    return _number(parts[1]) if len(parts) == _PARTS else 0


def attempt_of(token: str) -> int:
    """Return the number of the attempt in a token (0: it is not a token of maestro-es)."""
    return _number(token.split("-")[2]) if step_of(token) else 0


def _number(text: str) -> int:
    return int(text) if is_number(text) else 0


def is_number(text: str) -> bool:
    """Return whether a string is a number that fits in a column of the log."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS
