"""Columns that hold millions of numbers or texts in little memory. A list of texts takes three times as much."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

_Value = TypeVar("_Value", bound=Hashable)

#: The number that means "no value" in a column.
NOTHING = -1

#: Ids of more digits than this do not fit a column of numbers.
_DIGITS = 18


class Numbered(Generic[_Value]):
    """Different values, numbered in the order in which they first appear."""

    def __init__(self) -> None:
        self._numbers: dict[_Value, int] = {}

    def number(self, value: _Value) -> int:
        """Return the number of a value."""
        return self._numbers.setdefault(value, len(self._numbers))

    def __iter__(self) -> Iterator[_Value]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Texts:
    """Texts that are only appended."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Add a string."""
        self._bytes += text.encode(errors="surrogatepass")
        self._ends.append(len(self._bytes))

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __len__(self) -> int:
        return len(self._ends) - 1


class Ids:
    """Ids of jobs, which nearly always are numbers. An id is empty until it is known."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._others: dict[int, str] = {}

    def append(self, text: str) -> None:
        """Add an id."""
        self._numbers.append(NOTHING)
        self[len(self) - 1] = text

    def __setitem__(self, index: int, text: str) -> None:
        is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS and text == str(int(text))
        self._numbers[index] = int(text) if is_number else NOTHING
        if text and not is_number:
            self._others[index] = text

    def __getitem__(self, index: int) -> str:
        number = self._numbers[index]
        return self._others.get(index, "") if number == NOTHING else str(number)

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __len__(self) -> int:
        return len(self._numbers)
