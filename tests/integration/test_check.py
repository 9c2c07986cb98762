"""What tools/check runs, and that the tests need none of pytest's plugins that only make them faster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Stands for each program that tools/check runs: notes what it was called with.
NOTE = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n'


@pytest.fixture
def check(tmp_path: Path):
    """Run tools/check in an environment whose programs only note their calls; returns these."""
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "ruff", "mypy", "lint-imports"):
        (programs / name).write_text(NOTE)
        (programs / name).chmod(0o755)
    stamp = f"{ROOT}\n{(ROOT / 'setup.cfg').read_text()}{(ROOT / 'pyproject.toml').read_text()}"
    (tmp_path / "venv/installed").write_text(stamp)

    def run(*arguments: str) -> list[str]:
        env = {**os.environ, "MAESTRO_ES_VENV": str(tmp_path / "venv"), "CALLS": str(tmp_path / "calls")}
        subprocess.run([ROOT / "tools/check", *arguments], env=env, check=True, capture_output=True)
        return [call for call in (tmp_path / "calls").read_text().splitlines() if not call.startswith("python -c")]

    return run


LINT = ["ruff check", "ruff format", "mypy", "lint-imports"]


def test_a_check_lints_looks_into_the_wheel_and_runs_all_tests(check):
    *lint, wheel, tests = check("-k", "restart")

    assert [call.partition(" --")[0].strip() for call in lint] == LINT
    assert wheel.endswith(" tests/integration/test_packaging.py")
    assert tests == "python -m pytest -n 2 --dist loadgroup -k restart"


def test_a_quick_check_lints_and_runs_unit_and_contract_tests_only(check):
    *lint, tests = check("--quick", "-k", "restart")

    assert [call.partition(" --")[0].strip() for call in lint] == LINT
    assert tests == "python -m pytest -n 2 --dist loadgroup tests/unit tests/contract -k restart"


def test_tests_in_groups_of_xdist_are_collected_without_it():
    marked = "tests/integration/test_packaging.py"
    assert "xdist_group" in (ROOT / marked).read_text()
    plugins = ["-p", "no:xdist", "-p", "no:cacheprovider"]
    pytest_here = [sys.executable, "-m", "pytest", *plugins, "--collect-only", "-q", marked]
    done = subprocess.run(pytest_here, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "::test_" in done.stdout
