"""Real instances of Flux for the tests in this directory: see `tools/kill_matrix/instance.py`.

Where there is no Flux, the tests are skipped, and one line in capitals says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.adapters.flux import output
from tests.e2e.command import maestro_es
from tools.kill_matrix.instance import NO_FLUX, Instance, find_flux, started

HERE = Path(__file__).parent

HEAD = """
description: {name: study, description: a study on Flux}
batch: {type: flux, host: here, bank: mine, queue: debug}
study:
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests of this directory: they share an instance."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("flux"))


def pytest_runtest_setup() -> None:
    """Skip tests of this directory where there is no Flux."""
    if not find_flux():
        pytest.skip(NO_FLUX)


@pytest.fixture
def flux_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in [name for name in os.environ if name.startswith("FLUX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{find_flux()}:{os.environ['PATH']}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with queues, started once for all tests."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{find_flux()}:{before}"
    try:
        with started(lambda: Instance(tmp_path_factory.mktemp("flux"), queues=True)) as instance:
            yield instance
    finally:
        os.environ["PATH"] = before


@pytest.fixture
def instance(flux_on_path: None, shared_instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """The shared instance, as FLUX_URI."""
    monkeypatch.setenv("FLUX_URI", shared_instance.uri)
    return shared_instance


@pytest.fixture
def start_instance(
    flux_on_path: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Instance]]:
    """Start an instance for this test alone, which may crash; it becomes FLUX_URI."""
    with contextlib.ExitStack() as instances:

        def start(nodes: int = 1, checkpoint: str = "10m") -> Instance:
            made = instances.enter_context(
                started(lambda: Instance(tmp_path / "flux", nodes=nodes, checkpoint=checkpoint))
            )
            monkeypatch.setenv("FLUX_URI", made.uri)
            return made

        yield start


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Path]:
    """Launch a study of these steps."""

    def start(*steps: str, head: str = HEAD) -> Path:
        (tmp_path / "study.yaml").write_text(head + "".join(steps))
        done = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return tmp_path / "study"

    return start


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cancel by others count after two seconds."""
    monkeypatch.setattr(output, "_SHUTDOWN_SECONDS", 2)
