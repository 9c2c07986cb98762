"""Real schedulers, started once for all tests of this directory.

Where a scheduler is not installed its tests are skipped, and the summary says so in one line. If CI is set, the tests
fail without Slurm, as in `tests/slurm`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.faults import NOT_TRIED
from tests.slurm.conftest import leave_out
from tools.kill_matrix.clusters import SCHEDULERS
from tools.kill_matrix.real_scheduler import RealScheduler
from tools.kill_matrix.slurm_scheduler import SlurmScheduler
from tools.slurm_cluster.packages import why_not

HERE = Path(__file__).parent
#: Every real scheduler, with the variable that names its directory. Slurm needs no variable: Debian has it.
REAL: dict[str, type[RealScheduler]] = {"MAESTRO_ES_SLURM": SlurmScheduler, **SCHEDULERS}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests of this directory: they share their clusters."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("schedulers"))


@pytest.fixture(scope="session", params=REAL, ids=lambda name: REAL[name].kind)
def shared(request: pytest.FixtureRequest) -> Iterator[RealScheduler]:
    """A scheduler, if it is installed here."""
    prefix = os.environ.get(request.param, "")
    if REAL[request.param] is SlurmScheduler:
        reason = why_not(os.geteuid())
        if reason:
            leave_out(reason, ci=bool(os.environ.get("CI")))
    elif not prefix:
        pytest.skip(
            f"{NOT_TRIED}: no real Flux, PBS or LSF (set {' and '.join(SCHEDULERS)} to where they are installed)"
        )
    path = os.environ["PATH"]
    folder = Path(tempfile.mkdtemp(prefix="scheduler-"))  # where daemons of other users may look
    cluster = REAL[request.param](Path(prefix), folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        os.environ["PATH"] = path


@pytest.fixture
def cluster(shared: RealScheduler, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealScheduler]:
    """A scheduler whose commands are on the PATH."""
    for name in [*os.environ]:
        if name.startswith(shared.prefixes):
            monkeypatch.delenv(name)
    for name, value in shared.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("maestro_es.adapters.flux.output._SHUTDOWN_SECONDS", 2)
    monkeypatch.setenv("PATH", f"{shared.bin}:{os.environ['PATH']}")
    yield shared
    shared.recover()


@pytest.fixture
def launch(tmp_path: Path, cluster: RealScheduler) -> Callable[..., Path]:
    """Launch a study of these steps."""

    def start(*steps: str, more: str = "", options: Sequence[str] = (), queue: str = "") -> Path:
        head = cluster.head.replace(cluster.queue, queue) if queue else cluster.head
        text = f"description: {{name: study, description: d}}\n{head}study:\n{''.join(steps)}{more}"
        text = text.replace("procs: 1", f"procs: 1{cluster.keys}")
        (tmp_path / "study.yaml").write_text(text)
        done = maestro_es("run", "-y", *options, "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return tmp_path / "study"

    return start
