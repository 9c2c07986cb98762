"""Several things wrong with one script, in one error: so that a person reads all of them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator


class Faults(ValueError):
    """Everything that is wrong with a script. `messages` has one line for each; as a text they follow each other."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        super().__init__("; ".join(self.messages))


@contextlib.contextmanager
def noting(messages: list[str]) -> Iterator[None]:
    """Add what a ValueError says to `messages`, and go on after the block."""
    try:
        yield
    except ValueError as error:
        messages += error.messages if isinstance(error, Faults) else [str(error)]


def stop_if(messages: Iterable[str]) -> None:
    """Raise all of these messages as one error, if there are any."""
    faults = Faults(messages)
    if faults.messages:
        raise faults
