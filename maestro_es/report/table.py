"""Formats text for terminals without a library: clean cells, aligned columns, labelled values.

The commands in `maestro_es.cli` decide which values a table has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_GAP = "  "

#: Unicode categories: control characters, format characters, lone surrogates, and line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """Return a text in which control characters and invisible characters are question marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def visible(text: str) -> str:
    """Return a text in which control characters and invisible characters are escaped as in a Python string.

    Newlines and tabs stay as they are.
    """
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else f"{c!a}"[1:-1] for c in text)


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, ruler: bool = False) -> list[str]:
    """Return lines of aligned columns. Numbers are aligned on the right, except in the last column.

    With `ruler`, the lines are those of the `tabulate` package with its defaults, as in Maestro's status: a line of
    dashes follows the header, and titles are padded by two spaces.
    """
    last = len(header) - 1
    shown: list[list[str]] = []
    for index, title in enumerate(header):
        cells = _cleaned([row[index] for row in rows])
        right = bool(cells) and (ruler or index < last) and _are_numbers(cells)
        size = max([width(title) + 2 * ruler, *_widths(cells)])
        shown.append(_padded([title, *cells], size, right=right))
    texts = [_GAP.join(line).rstrip() for line in zip(*shown, strict=True)]
    if ruler:
        texts.insert(1, _GAP.join("-" * width(column[0]) for column in shown))
    return texts


# Tables may be long, so these functions check all cells of a column together if possible.


def _cleaned(cells: list[str]) -> list[str]:
    return cells if "".join(cells).isprintable() else list(map(clean, cells))


def _widths(cells: list[str]) -> Iterable[int]:
    return map(len if "".join(cells).isascii() else width, cells)


def _padded(cells: list[str], size: int, *, right: bool) -> list[str]:
    if "".join(cells).isascii():
        return [cell.rjust(size) for cell in cells] if right else [cell.ljust(size) for cell in cells]
    blanks = (" " * (size - width(cell)) for cell in cells)
    return [blank + cell if right else cell + blank for blank, cell in zip(blanks, cells, strict=True)]


def _are_numbers(cells: list[str]) -> bool:
    text = "".join(cells)
    return text.isascii() and text.isdigit() and all(cells)


def labelled(pairs: Iterable[tuple[str, str]], page: int | None = None) -> list[str]:
    """Return a line for each label and its value, with the values aligned. Labels without a value are left out.

    `page` is the width in columns. A longer value continues on the next line. Words are not broken, because users copy
    some of them.
    """
    shown = [(f"{label}:", clean(value)) for label, value in pairs if value]
    size = max((len(label) for label, _ in shown), default=0)
    lines = []
    for label, value in shown:
        parts = list(wrap(value, page - size - 1)) if page else [value]
        lines += [f"{head:<{size}} {part}" for head, part in zip([label, *[""] * len(parts)], parts, strict=False)]
    return lines


def wrap(text: str, size: int) -> Iterator[str]:
    """Yield a text in lines of at most `size` columns. A wider word gets a wider line."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width(longer) > size:
            yield line
            longer = word
        line = longer
    yield line


def wrapped(text: str, page: int | None, indent: str = "") -> list[str]:
    """Return a text in clean lines that fit the page (None: one line). All lines are indented."""
    return [f"{indent}{line}" for line in (wrap(clean(text), page - len(indent)) if page else [clean(text)])]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], page: int | None = None) -> list[str]:
    """Return lines of aligned columns. If the `page` is too narrow, return a block of labelled values for each row."""
    lines = columns(header, rows)
    if page is None or max(map(width, lines)) <= page:
        return lines
    blocks = [labelled([(title, cell) for title, cell in zip(header, row, strict=True)], page) for row in rows]
    return [line for block in blocks for line in ["", *block]][1:]


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def width(text: str) -> int:
    """Return how many terminal columns a text occupies."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def fold(text: str, size: int) -> Iterator[str]:
    """Yield the parts of a text, each at most `size` columns wide."""
    part, used = "", 0
    for character in text:
        more = 1 if character.isascii() else width(character)
        if used + more > size and part:
            yield part
            part, used = "", 0
        part, used = part + character, used + more
    if part:
        yield part
