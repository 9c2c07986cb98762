"""`StudyStep`: Maestro's class for a step of a study, before its parameters are known.

The step keeps the values that a program gives. `maestro_es.compat.staging` decides how it becomes a step of a study
file.
"""

from __future__ import annotations

from typing import Any, Protocol

from maestro_es.study_file.pgen_tools import apply_function

#: The keys of every step.
_KEYS = (
    "cmd", "depends", "pre", "post", "restart", "nodes", "procs", "gpus", "cores per task", "walltime", "reservation",
)  # fmt: skip


class _Combination(Protocol):
    def apply(self, item: str, /) -> str:
        """Return the string with the placeholders of parameters replaced."""


class StudyStep:
    """A step. `run` holds the keys of a study file. The value of an unset key is an empty string."""

    def __init__(self) -> None:
        self._name = ""
        self.description = ""
        self.nickname = ""
        self.run: dict[str, Any] = dict.fromkeys(_KEYS, "")

    @property
    def name(self) -> str:
        """The nickname, or the name if there is none."""
        return self.nickname or self._name

    @name.setter
    def name(self, value: str) -> None:
        """Set the name. The nickname does not change."""
        self._name = value

    @property
    def real_name(self) -> str:
        """The name, even if there is a nickname."""
        return self._name

    def apply_parameters(self, combo: _Combination) -> tuple[bool, StudyStep]:
        """Return whether the parameters change the step, and a new step with them."""
        made = StudyStep()
        vars(made).update(apply_function(vars(self), combo.apply))
        return self != made, made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # like every mutable object that is compared by value

    def __repr__(self) -> str:
        return f"<StudyStep {self.name!r}>"
