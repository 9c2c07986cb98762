"""Fixtures of the comparisons: both programs, a folder for their studies, and the files that the corpus needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.side_by_side.programs import SCRATCH, SideBySide

#: Fixed dates and authors, so that the commits of the cloned repository have the same names on each machine.
_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "nobody"), ("EMAIL", "nobody@localhost"), ("DATE", "2020-02-02T12:00:00+0000"))
}
FIRST_COMMIT = "945229378a0e1eb1d76b35a9b29032bc662a0898"

collect_ignore_glob = ["corpus/*"]

#: Study files, one for each possible difference.
CORPUS = Path(__file__).parent / "corpus"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.version_info >= (3, 14):
        gone = pytest.mark.skip(reason="Maestro 1.2.1 needs pkgutil.get_loader, which Python 3.14 has no more")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(gone)


@pytest.fixture(scope="session")
def programs() -> Iterator[SideBySide]:
    """Both programs. Each has a worker, which is started at its first use."""
    both = SideBySide()
    yield both
    both.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder, in memory if possible."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files next to the studies of the corpus: generators, data, and a repository of two commits."""
    folder = tmp_path_factory.mktemp("beside")
    shutil.copytree(CORPUS / "beside", folder / "beside")
    work, bare = folder / "work", folder / "beside" / "repository.git"

    def git(*words: str | Path) -> str:
        environment = {**os.environ, **_AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *map(str, words)],
            check=True,
            capture_output=True,
            env=environment,
        )
        return done.stdout.decode().strip()

    git("init", "--template=", work)
    for version in ("first", "second"):
        (work / "Makefile").write_text(f"all:\n\techo {version}\n")
        git("-C", work, "add", "Makefile")
        git("-C", work, "commit", "-m", version)
        if version == "first":
            git("-C", work, "tag", "v1")
            git("-C", work, "branch", "old")
    git("clone", "--template=", "--bare", work, bare)
    shutil.rmtree(work)
    assert git("-C", bare, "rev-parse", "v1") == FIRST_COMMIT
    return folder
