"""Real Slurm clusters for the tests in this directory. They need root and the packages that `.ci/run` installs.

Without a cluster the tests are skipped, and the summary says why. In continuous integration (CI is set) they fail.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.slurm.studies import HEAD
from tools.slurm_cluster.cluster import PREFIXES, Cluster
from tools.slurm_cluster.configuration import Options
from tools.slurm_cluster.packages import NO_SLURM, first, why_not

HERE = Path(__file__).parent
os.environ["PATH"] = first(os.environ["PATH"])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests of this directory, because they share their clusters."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("slurm"))


def pytest_runtest_setup() -> None:
    """Skip the tests of this directory if no cluster can run."""
    reason = why_not(os.geteuid())
    if reason:
        leave_out(reason, ci=bool(os.environ.get("CI")))


def leave_out(reason: str, *, ci: bool) -> None:
    """Skip a test that can't run here, or fail it in continuous integration."""
    if ci:
        pytest.fail(f"{NO_SLURM}: {reason}", pytrace=False)
    pytest.skip(f"{NO_SLURM}: {reason}")


@contextlib.contextmanager
def started(folder: Path, options: Options) -> Iterator[Cluster]:
    """Start a cluster, and remove it afterwards."""
    cluster = Cluster.start(folder, options)
    try:
        yield cluster
    finally:
        cluster.stop(remove=True)


def export(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Slurm's commands use this cluster, whatever the developer's environment contains."""
    for name in os.environ:
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes without accounting, started once for all tests."""
    with started(tmp_path_factory.mktemp("slurm"), Options()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_accounting_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same with accounting, which takes some seconds to start."""
    with started(tmp_path_factory.mktemp("slurm"), Options(accounting=True)) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The shared cluster without accounting, as SLURM_CONF. The changes of a test are undone."""
    export(shared_cluster, monkeypatch)
    yield shared_cluster
    shared_cluster.recover()


@pytest.fixture
def accounting_cluster(shared_accounting_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The shared cluster with accounting, as SLURM_CONF. The changes of a test are undone."""
    export(shared_accounting_cluster, monkeypatch)
    yield shared_accounting_cluster
    shared_accounting_cluster.recover()


@pytest.fixture
def start_cluster(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Options], Cluster]]:
    """Return a function that starts a cluster with other options, for this test alone. It becomes SLURM_CONF."""
    with contextlib.ExitStack() as clusters:

        def start(options: Options) -> Cluster:
            cluster = clusters.enter_context(started(tmp_path_factory.mktemp("slurm"), options))
            export(cluster, monkeypatch)
            return cluster

        yield start


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Path]:
    """Launch a study of these steps."""

    def start(*steps: str, more: str = "", options: Sequence[str] = ()) -> Path:
        (tmp_path / "study.yaml").write_text(HEAD + "".join(steps) + more)
        done = maestro_es("run", "-y", *options, "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return tmp_path / "study"

    return start
