"""The library in the page of a report is what its program makes from fixed versions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.testbed.browsers import NO_NPM

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "maestro_es" / "report" / "page" / "d3.js"


def test_the_library_is_what_its_program_makes():
    if shutil.which("npm") is None:
        pytest.skip(NO_NPM)
    program = [str(ROOT / "tools" / "page-library"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_library_carries_its_licence_and_can_not_end_its_element():
    text = LIBRARY.read_text("ascii")
    assert "Copyright 2010-" in text
    assert "provided that the above copyright notice" in " ".join(text.split())
    assert "</script" not in text.lower()
    assert "<!--" not in text


def test_the_versions_are_fixed_by_digests_and_name_no_server():
    lock = (ROOT / "tools" / "page" / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert "://" not in lock
