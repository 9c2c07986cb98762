"""Describes what an exit code of a step usually means, for messages.

A shell ends with 128 + N if signal N has ended its command. `maestro_es.core.verdict` decides which codes are
failures.
"""

from __future__ import annotations

#: The first code that a shell uses for signals.
_SIGNALS = 128

#: The signals that end steps, by number. Signals whose numbers differ between Linux and macOS are left out.
_MEANINGS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL: the program is not for this processor, or is damaged",
    6: "SIGABRT: the program has stopped itself, as after a failed assertion",
    8: "SIGFPE: an arithmetic error, such as a division by zero",
    9: "SIGKILL, often because the memory was used up",
    11: "SIGSEGV: the program has used an invalid address",
    13: "SIGPIPE: the reader of its output had ended",
    15: "SIGTERM",
}

#: The codes that a shell itself returns.
_OF_SHELLS = {126: "a command can't be executed", 127: "a command was not found"}


def meaning(code: int | None) -> str:
    """Return the usual meaning of an exit code; empty if it has none."""
    if code is None:
        return ""
    signal = _MEANINGS.get(code - _SIGNALS)
    return f"killed by {signal}" if signal else _OF_SHELLS.get(code, "")
