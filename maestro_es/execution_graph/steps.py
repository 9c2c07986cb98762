"""What a step is made of, for programs that add one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Step(Protocol):
    """What `add_step` takes: `StudyStep`, or Maestro's class of that name."""

    name: str
    description: str

    @property
    def run(self) -> Mapping[str, Any]:
        """Its ``run`` keys, as a study file has them."""


@dataclass
class StudyStep:
    """A step: its name, what it is for, and its ``run`` keys as a study file has them; ``cmd`` is the script."""

    name: str
    description: str
    run: Mapping[str, Any] = field(default_factory=dict)
