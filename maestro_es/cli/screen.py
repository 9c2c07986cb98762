"""Uses the whole terminal: shows pages of lines, and reads single keys. Its callers decide what the pages show."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence

from maestro_es.cli.output import exact_output, on_terminal

#: The codes that switch to the second screen of a terminal and hide the cursor, and the codes that undo this.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

#: The names of keys that send more than one character, or a control character.
_NAMES = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b": "escape", "\r": "enter", "\n": "enter",
    "\t": "tab", "\x7f": "backspace", "\b": "backspace",
}  # fmt: skip

#: The number of characters that such a key sends.
_LONGEST = 3

#: A function that returns the lines of a page for a number of columns and rows.
Page = Callable[[int, int], Sequence[str]]


def can_show() -> bool:
    """Whether standard input and output are a terminal that understands control codes."""
    return on_terminal() and sys.stdin.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}


@contextlib.contextmanager
def whole_screen() -> Iterator[None]:
    """Use the second screen of the terminal, without echo. The first one is restored afterwards, whatever happens."""
    before = termios.tcgetattr(sys.stdin)
    out = exact_output()
    try:
        tty.setcbreak(sys.stdin)
        out.write(_ENTER)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        out.write(_LEAVE)
        out.flush()


def show(page: Page) -> None:
    """Show a page. It is drawn over the earlier one, so that nothing flickers."""
    columns, rows = shutil.get_terminal_size()
    out = exact_output()
    lines = page(columns, rows)[:rows]
    out.write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
    out.flush()


def key(seconds: float) -> str:
    """Return the next key: a character, or a name such as "up"; empty if none is pressed within this time."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return ""
    pressed = os.read(sys.stdin.fileno(), 1)
    while pressed[:1] == b"\x1b" and len(pressed) < _LONGEST and select.select([sys.stdin], [], [], 0)[0]:
        pressed += os.read(sys.stdin.fileno(), 1)
    text = pressed.decode(errors="replace")
    return _NAMES.get(text, text[:1]) if text else "q"  # an empty read means that the terminal is gone
