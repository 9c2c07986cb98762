"""Maestro's enumerations that maestro-es itself does not need."""

from __future__ import annotations

import enum


class SubmissionCode(enum.Enum):
    """Whether a submission was taken."""

    OK = 0
    ERROR = 1


class StepPriority(enum.Enum):
    """How urgent a step is."""

    HELD = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    EXPEDITE = 5

    @classmethod
    def from_str(cls, priority: str) -> StepPriority:
        """Return a priority by the word of a study file, in capitals or not. ValueError if there is none."""
        word = "EXPEDITE" if priority.upper() == "EXPEDITED" else priority.upper()
        if word not in cls.__members__:
            raise ValueError(f"priority {priority!r} is unknown; known are: {', '.join(cls.__members__)}")
        return cls[word]
