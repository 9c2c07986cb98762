"""The manual pages are those of the commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_are_made_from_the_texts_of_help():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/man-pages", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
