"""The end of a long output is found in little time and memory."""

from __future__ import annotations

import io
import os

from maestro_es.audit.step_output import _MOST, _end, last_lines


class Counted(io.BytesIO):
    """A file that counts the bytes that are read."""

    total = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self.total += len(block)
        return block


def test_lines_without_end_are_read_up_to_a_limit():
    file = Counted(b"\r50 %" * 2_000_000)
    assert last_lines(file, 1, _MOST) == b"50 %"
    assert file.total == _MOST


def test_all_lines_are_found_without_a_limit():
    text = b"first\n" + b"x" * 3_000_000 + b"\nlast\n"
    assert last_lines(Counted(text), 3) == text
    assert last_lines(Counted(text), 1, _MOST) == b"last\n"


def test_a_pipe_in_the_place_of_an_output_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.err")
    assert _end(tmp_path / "a.err", 1) == []
