"""Real schedulers other than Slurm, started once for all tests of this directory.

Where a scheduler is not installed its tests are skipped, and the summary says so in one line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.faults import NOT_TRIED
from tools.kill_matrix.clusters import CLUSTERS, Cluster

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests of this directory: they share their clusters."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("schedulers"))


@pytest.fixture(scope="session", params=CLUSTERS, ids=lambda name: CLUSTERS[name].kind)
def shared(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A scheduler, if it is installed here."""
    prefix = os.environ.get(request.param)
    if not prefix:
        pytest.skip(f"{NOT_TRIED}: no real PBS or LSF (set {' and '.join(CLUSTERS)} to where they are installed)")
    folder = Path(tempfile.mkdtemp(prefix="scheduler-"))  # where daemons of other users may look
    cluster = CLUSTERS[request.param](Path(prefix), folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A scheduler whose commands are on the PATH."""
    for name in [*os.environ]:
        if name.startswith(("PBS_", "LSF_", "LSB_", "BSUB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{shared.bin}:{os.environ['PATH']}")
    return shared


@pytest.fixture
def launch(tmp_path: Path, cluster: Cluster) -> Callable[..., Path]:
    """Launch a study of these steps."""

    def start(*steps: str, more: str = "", options: Sequence[str] = (), queue: str = "") -> Path:
        head = cluster.head.replace("workq", queue).replace("normal", queue) if queue else cluster.head
        text = f"description: {{name: study, description: d}}\n{head}study:\n{''.join(steps)}{more}"
        (tmp_path / "study.yaml").write_text(text)
        done = maestro_es("run", "-y", *options, "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return tmp_path / "study"

    return start
