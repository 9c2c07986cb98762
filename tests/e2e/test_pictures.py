"""The pictures in the documentation show what the commands print now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pictures_show_what_the_commands_print():
    words = [sys.executable, str(ROOT / "tools/pictures"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)

    assert done.returncode == 0, done.stderr


def test_each_picture_is_in_the_documentation_and_loads_nothing():
    pages = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    for path in (ROOT / "docs/pictures").iterdir():
        assert f"pictures/{path.name})" in pages
        assert b"url(" not in path.read_bytes().replace(b"url(#", b"")
