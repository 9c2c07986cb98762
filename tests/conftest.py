"""What all tests share: the order of the tiers, what was left out, and a home that is not the developer's.

Hypothesis tries the same examples each time, however slow a machine is; others with --hypothesis-profile=default.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from maestro_es.adapters import process
from tests.fakes.faults import NOT_TRIED
from tests.fakes.ids import short_id
from tools.slurm_cluster.packages import NO_SLURM
from tools.testbed.processes import end_all_under

#: In the order in which a failure tells most.
TIERS = ("unit", "contract", "integration", "crash", "property", "exploration", "differential", "slurm", "e2e")
HERE = Path(__file__).parent

settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

#: What a process that was started in the background, or to outlive its terminal, ignores, and its children with it.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def _tier(item: pytest.Item) -> int:
    parts = item.path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else len(TIERS)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case in a few characters that a person can type, whatever text it is about."""
    return short_id(val)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_tier)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line that can't be missed what was not tried: on a real Slurm, or with a file system that fails."""
    for why in (NO_SLURM, NOT_TRIED):
        skipped = [report for report in terminalreporter.stats.get("skipped", []) if why in str(report.longrepr)]
        if skipped:
            words = f"{len(skipped)} TESTS WERE NOT RUN. {str(skipped[0].longrepr[2]).removeprefix('Skipped: ')}"
            terminalreporter.write_line(words, yellow=True, bold=True)


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the studies of tests out of the developer's own list of studies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAESTRO_ES_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home for the studies of one test, of which nothing runs on when the test is over."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    end_all_under(tmp_path)
    process.reap()
