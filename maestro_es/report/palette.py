"""The letter and the colours of each kind of state, in pictures and on terminals.

`audit.shown_states.kind_of` decides the kind in a picture. A terminal shows groups (`audit.overview.GROUPS`), which
are the kinds without "timed out" and "not run".

Any two colours differ for people with full colour vision and for those without red, green or blue cones (CIE76: 31 or
more on a light page, 33 on a dark one, 25 on terminals). The exceptions are the kinds of failures: they share a colour
and differ in their letters. Text of colour `on_light` is readable on `light`, and `on_dark` on `dark`. `code` is a
colour of terminals with 256 colours. It can be seen on light and on dark backgrounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Mark(NamedTuple):
    """A letter, colours for a light and for a dark page, and a colour for terminals."""

    letter: str
    light: str
    on_light: str
    dark: str
    on_dark: str
    code: int


_FAILED = ("#8F1D10", "#FFFFFF", "#D70000", "#FFFFFF", 124)

#: In the order in which pictures list them.
MARKS = {
    "to submit": Mark(".", "#DDDDDD", "#000000", "#626262", "#FFFFFF", 240),
    "queued": Mark("q", "#C08806", "#000000", "#FFD700", "#000000", 172),
    "running": Mark("R", "#1F3F86", "#FFFFFF", "#AFD7FF", "#000000", 25),
    "finished": Mark("#", "#0CA16F", "#000000", "#00FFAF", "#000000", 35),
    "failed": Mark("X", *_FAILED),
    "timed out": Mark("T", *_FAILED),
    "not run": Mark("x", "#F1C9C4", "#000000", "#6B2A22", "#FFFFFF", 124),
    "cancelled": Mark("c", "#E03BEF", "#000000", "#AF00FF", "#FFFFFF", 129),
}

#: The same kinds, beginning with the one that needs the most attention.
BY_ATTENTION = ("failed", "timed out", "cancelled", "not run", "running", "queued", "to submit", "finished")


#: The groups of a terminal, in the order of its bars: what has ended comes first.
TERMINAL_ORDER = ("finished", "failed", "cancelled", "running", "queued", "to submit")


def painted(text: str, kind: str) -> str:
    """Return a text in the colour of a kind, with the codes of terminals.

    Failures are white on their colour, because a dark red letter is hard to see on a dark background.
    """
    code = MARKS[kind].code
    return f"\x1b[{f'97;48;5;{code}' if kind == 'failed' else f'38;5;{code}'}m{text}\x1b[0m"


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by kind in the order of the palette, without those that are zero."""
    return {kind: counts[kind] for kind in MARKS if counts.get(kind)}


def worst(counts: Mapping[str, int]) -> str:
    """Of the kinds that have a count, return the one that needs the most attention."""
    return next((kind for kind in BY_ATTENTION if counts.get(kind)), "to submit")


def class_of(kind: str) -> str:
    """Return the name of a kind as a class of CSS and Mermaid.

    Such a name has no blanks.
    """
    return kind.replace(" ", "-")


def shown(counts: Mapping[str, int]) -> str:
    """Return counts by kind in words: ``3 running, 12 finished``."""
    return ", ".join(f"{count} {kind}" for kind, count in in_order(counts).items())
