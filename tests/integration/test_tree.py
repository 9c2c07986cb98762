"""What the settings and the documents say of the tree is so."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_programs_in_python_are_checked_like_modules():
    programs = {path for path in (ROOT / "tools").iterdir() if "python" in path.read_text().partition("\n")[0]}
    settings = (ROOT / "pyproject.toml").read_text()

    assert programs
    for path in programs:
        assert settings.count(f'"tools/{path.name}"') == 2, f"{path.name}: ruff's extend-include, mypy's files"
