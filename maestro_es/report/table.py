"""Text for terminals without a library: clean cells, aligned columns, labelled values.

Which values a table has is decided by the commands in `maestro_es.cli`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_GAP = "  "

#: Control characters, marks of direction and other formats, halves of pairs, and Unicode's own ends of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """Return a text in which what a terminal would obey, or would not show, is a question mark."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def visible(text: str) -> str:
    """Return a text in which what a terminal would obey, or would not show, stands as Python writes it in a string.

    The end of a line and a tab stay as they are.
    """
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else f"{c!a}"[1:-1] for c in text)


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, ruler: bool = False) -> list[str]:
    """Return lines of aligned columns; numbers stand on the right, but for the last column.

    With `ruler` they look as the `tabulate` package draws them by default, which is how Maestro shows a status: a line
    of dashes below the header, whose words have two spaces more.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    lines = [list(header), *cells]
    last = len(header) - 1
    for index, title in enumerate(header):
        column = [row[index] for row in cells]
        size = max([width(title) + 2 * ruler, *map(width, column)])
        right = bool(column) and (ruler or index < last) and all(map(_is_number, column))
        for line in lines:
            blank = " " * (size - width(line[index]))
            line[index] = blank + line[index] if right else line[index] + blank
    texts = [_GAP.join(line).rstrip() for line in lines]
    if ruler:
        texts.insert(1, _GAP.join("-" * width(title) for title in lines[0]))
    return texts


def labelled(pairs: Iterable[tuple[str, str]], page: int | None = None) -> list[str]:
    """Return a line for each label and its value, the values below each other; what has no value is left out.

    `page` is the width in columns; a longer value continues on the next line. Words stay whole, as some are copied.
    """
    shown = [(f"{label}:", clean(value)) for label, value in pairs if value]
    size = max((len(label) for label, _ in shown), default=0)
    lines = []
    for label, value in shown:
        parts = list(wrap(value, page - size - 1)) if page else [value]
        lines += [f"{head:<{size}} {part}" for head, part in zip([label, *[""] * len(parts)], parts, strict=False)]
    return lines


def wrap(text: str, size: int) -> Iterator[str]:
    """Yield a text in lines of at most `size` columns, except words that are wider."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width(longer) > size:
            yield line
            longer = word
        line = longer
    yield line


def table(header: Sequence[str], rows: Sequence[Sequence[str]], page: int | None = None) -> list[str]:
    """Return lines of aligned columns, or of labelled values, a block for each row, if the `page` is too narrow."""
    lines = columns(header, rows)
    if page is None or max(map(width, lines)) <= page:
        return lines
    blocks = [labelled([(title, cell) for title, cell in zip(header, row, strict=True)], page) for row in rows]
    return [line for block in blocks for line in ["", *block]][1:]


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def fold(text: str, size: int) -> Iterator[str]:
    """Yield a text in parts of at most `size` columns."""
    part, used = "", 0
    for character in text:
        more = 1 if character.isascii() else width(character)
        if used + more > size and part:
            yield part
            part, used = "", 0
        part, used = part + character, used + more
    if part:
        yield part


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
