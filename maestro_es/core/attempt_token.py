"""Makes and parses the token of an attempt, ``STUDY-STEP-ATTEMPT-SUFFIX``.

The token is the permanent name of the attempt in claims, reports and job commands. STUDY is the first eight digits of
the study's id, and STEP and ATTEMPT are numbers. SUFFIX differs between ticks, so no two attempts share a token, even
if the log has lost one of them. Only this module and ``runner.sh`` parse tokens. The runner reads STUDY, so that it
can refuse a job of a study that was replaced.

`maestro_es.core.decide` decides when an attempt gets a new token. The claim of an attempt decides whether it may start
(`maestro_es.study.claims`).
"""

from __future__ import annotations

#: The suffix of an attempt that Maestro submitted. Its job carries no token and is identified by id and name.
_IMPORTED = "imported"

_STUDY_DIGITS = 8
_PARTS = 4

#: The most digits of a number that fits in a column of the log.
_DIGITS = 18


def make_token(study_id: str, step: int, attempt: int, suffix: str) -> str:
    """Return the token of an attempt. Each tick has its own `suffix`."""
    return f"{study_part(study_id)}-{step}-{attempt}-{suffix}"


def imported_token(study_id: str, step: int) -> str:
    """Return the token of an attempt that Maestro submitted. It is the first attempt of its step."""
    return make_token(study_id, step, 1, _IMPORTED)


def study_part(study_id: str) -> str:
    """Return the first part of the tokens of a study."""
    return study_id[:_STUDY_DIGITS]


def is_imported(token: str) -> bool:
    """Return whether Maestro submitted the attempt."""
    return token.endswith(f"-{_IMPORTED}")


def is_of_study(token: str, study_id: str) -> bool:
    """Return whether a token belongs to an attempt of a study."""
    return token.startswith(f"{study_part(study_id)}-")


def step_of(token: str) -> int:
    """Return the number of the step in a token; 0 if it is not a token of maestro-es."""
    parts = token.split("-")
    return _number(parts[1]) if len(parts) == _PARTS else 0


def attempt_of(token: str) -> int:
    """Return the number of the attempt in a token; 0 if it is not a token of maestro-es."""
    return _number(token.split("-")[2]) if step_of(token) else 0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0
