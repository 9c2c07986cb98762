"""Collects the problems and the warnings about a study file.

A file with a problem is refused, and a file with warnings is not.

Other modules, such as `checks` and `placeholders`, decide what is a problem.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from maestro_es.errors import SpecError

#: The maximum length of a value in a message. Longer values are shortened, so that a message stays on one line.
_SHOWN = 60

_KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, order=True)
class Problem:
    """A problem or warning: its line, a message, and a remedy."""

    line: int
    message: str
    remedy: str = ""

    def text(self, file: str) -> str:
        """Return the line that a user sees."""
        return " ".join(f"{file}:{self.line}: {self.message}. {self.remedy}".split())


class Findings:
    """Collects problems and warnings about one file, so that all of them can be shown at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._elsewhere: list[str] = []
        #: The paths in the file whose values are faulty or missing.
        self.faults: list[tuple[str | int, ...]] = []

    def problem(
        self, line: int, message: str, remedy: str = "", *, faults: Iterable[tuple[str | int, ...]] = ()
    ) -> None:
        """Add a problem, and the paths whose values later checks must ignore."""
        self._problems.append(Problem(line, message, remedy))
        self.faults += faults

    def elsewhere(self, problems: Iterable[str]) -> None:
        """Add problems of another file, as lines for the user."""
        self._elsewhere += problems

    def warn(self, line: int, message: str, remedy: str = "") -> None:
        """Add a warning about something that is possible but probably not intended."""
        self._warnings.append(Problem(line, message, remedy))

    def problems(self) -> tuple[str, ...]:
        """Return the problems in the order of the file's lines, without duplicates.

        The problems of other files follow.
        """
        return (*(problem.text(self.file) for problem in sorted(set(self._problems))), *self._elsewhere)

    def warnings(self) -> tuple[str, ...]:
        """Return the warnings in the order of the file's lines, without duplicates."""
        return tuple(warning.text(self.file) for warning in sorted(set(self._warnings)))

    def stop_if_problems(self) -> None:
        """Raise a SpecError with all problems and warnings so far, if there are any problems."""
        if self._problems or self._elsewhere:
            raise SpecError(self.problems(), self.warnings())


def shown(value: object) -> str:
    """Return `value` as a message shows it: shortened if it is long, and with its type if it is not a string."""
    if value is None:
        return "nothing"
    if isinstance(value, str) and not value:
        return "an empty string"
    text = repr(value)
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    if isinstance(value, str):
        return text
    return f"{text} ({_KINDS.get(type(value), f'a {type(value).__name__}')})"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the word in `known` that is most similar to `word` (None: no word is similar enough)."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for a misspelt `word` (empty: no known word is similar)."""
    match = nearest(word, known)
    return f"Did you mean '{match}'?" if match else ""
