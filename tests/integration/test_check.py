"""What tools/check runs, and that the tests need none of pytest's plugins that only make them faster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Stands for each program that tools/check runs: notes what it was called with.
NOTE = '#!/bin/sh\necho "NAME $*" >>"$CALLS"\n'

SETTINGS = (ROOT / "pyproject.toml").read_text()

#: The oldest Python that setup.cfg allows, such as 3.10.
[OLDEST] = re.findall(r"^python_requires = >=(\S+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)


@pytest.fixture
def check(tmp_path: Path):
    """Run tools/check in an environment whose programs only note their calls; returns these."""
    stamp = f"{ROOT}\n{(ROOT / 'setup.cfg').read_text()}{SETTINGS}"
    for venv, names in (("venv", ("python", "ruff", "mypy", "lint-imports")), ("venv-oldest", ("python",))):
        programs = tmp_path / venv / "bin"
        programs.mkdir(parents=True)
        for name in names:
            (programs / name).write_text(NOTE.replace("NAME", name if venv == "venv" else "oldest"))
            (programs / name).chmod(0o755)
        (tmp_path / venv / "installed").write_text(stamp)
    env = {
        "PATH": "/usr/bin:/bin", "PYENV_ROOT": str(tmp_path), "MAESTRO_ES_VENV": str(tmp_path / "venv"),
        "CALLS": str(tmp_path / "calls"),
    }  # fmt: skip

    def run(*arguments: str, oldest: bool = True) -> list[str]:
        python = tmp_path / "versions" / f"{OLDEST}.99" / "bin" / "python3"
        if oldest:
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        subprocess.run([ROOT / "tools/check", *arguments], env=env, check=True, capture_output=True)
        return [call for call in (tmp_path / "calls").read_text().splitlines() if " -c" not in call]

    return run


LINT = ["ruff check", "ruff format", "mypy", "lint-imports"]


def test_a_check_lints_looks_into_the_wheel_and_runs_all_tests(check):
    *lint, wheel, oldest, tests = check("-k", "restart")

    assert [call.partition(" --")[0].strip() for call in lint] == LINT
    assert wheel.endswith(" tests/integration/test_packaging.py")
    assert oldest == "oldest -m pytest -n 2 -q --no-header tests/unit tests/contract tests/e2e/test_examples.py"
    assert tests == "python -m pytest -n 3 --dist loadgroup -k restart"


@pytest.mark.skipif(
    Path(f"/usr/bin/python{OLDEST}").exists(), reason="this machine has the oldest Python on every PATH"
)
def test_a_machine_without_the_oldest_python_runs_all_other_checks(check):
    *lint, wheel, tests = check(oldest=False)

    assert [call.partition(" --")[0].strip() for call in lint] == LINT
    assert wheel.endswith(" tests/integration/test_packaging.py")
    assert tests == "python -m pytest -n 3 --dist loadgroup"


@pytest.mark.parametrize("tool", [["ruff", "check", "-"], ["mypy"]], ids=["syntax", "library"])
def test_what_the_oldest_python_lacks_is_found_without_it(tool: list[str], tmp_path: Path):
    text = {"ruff": "try:\n    pass\nexcept* ValueError:\n    pass\n", "mypy": "from datetime import UTC\n"}[tool[0]]
    (tmp_path / "later.py").write_text(text)
    more = [] if tool[0] == "ruff" else ["--cache-dir", str(tmp_path), str(tmp_path / "later.py")]
    command = [str(Path(sys.executable).with_name(tool[0])), *tool[1:], *more]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)

    assert f'python_version = "{OLDEST}"' in SETTINGS
    assert f'target-version = "py{OLDEST.replace(".", "")}"' in SETTINGS
    assert (
        f"Cannot use `except*` on Python {OLDEST}" in done.stdout or '"datetime" has no attribute "UTC"' in done.stdout
    )


def test_a_quick_check_lints_and_runs_unit_and_contract_tests_only(check):
    *lint, tests = check("--quick", "-k", "restart")

    assert [call.partition(" --")[0].strip() for call in lint] == LINT
    assert tests == "python -m pytest -n 3 --dist loadgroup tests/unit tests/contract -k restart"


def test_tests_in_groups_of_xdist_are_collected_without_it():
    marked = "tests/integration/test_packaging.py"
    assert "xdist_group" in (ROOT / marked).read_text()
    plugins = ["-p", "no:xdist", "-p", "no:cacheprovider"]
    pytest_here = [sys.executable, "-m", "pytest", *plugins, "--collect-only", "-q", marked]
    done = subprocess.run(pytest_here, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "::test_" in done.stdout
