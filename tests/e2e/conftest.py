"""Installs maestro-es with the commands of the README, in a separate home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
#: The files to install.
SOURCES = (
    "bin",
    "maestro_es",
    "man",
    "schema",
    "docs",
    "examples",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


class Installed(NamedTuple):
    """A home in which maestro-es is installed, the checkout that it comes from, and the user's PATH."""

    home: Path
    checkout: Path
    path: str

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a shell of this user's."""
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.home), "PATH": self.path, "TZ": "UTC", **more}


def install_commands() -> str:
    """Return the commands of the README's section about installation."""
    section = README.read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    found = re.search(r"\n\n((?:    .*\n)+)", section)
    assert found
    return re.sub(r"^    ", "", found[1], flags=re.MULTILINE)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install a copy of the tree with the README's commands. Its dependencies come from the environment of this test.

    So python3 is the Python of this test, because compiled modules belong to one version.
    """
    place = tmp_path_factory.mktemp("installed")
    home, checkout, around, programs = (place / name for name in ("home", "checkout", "around", "programs"))
    for folder in (home, checkout, around, programs):
        folder.mkdir()
    (programs / "python3").symlink_to(Path(sys.base_prefix, "bin", f"python3.{sys.version_info[1]}"))
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    for entry in Path(pytest.__file__).parents[1].iterdir():
        if "maestro" not in entry.name.lower():
            (around / entry.name).symlink_to(entry)
    made = Installed(home, checkout, f"{home}/.local/bin:{programs}:/usr/local/bin:/usr/bin:/bin")
    quiet = {"PYTHONPATH": str(around), "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONSTRAINT": ""}
    done = subprocess.run(
        ["sh", "-euc", install_commands()],
        cwd=checkout, env=made.environment(**quiet), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [site] = (home / ".local" / "share" / "maestro-es").glob("lib/python*/site-packages")
    (site / "around.pth").write_text(f"{around}\n")
    return made
