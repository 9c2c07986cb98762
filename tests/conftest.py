"""Settings of all tests: the order of the directories, a report of skipped tests, and a separate home.

Hypothesis tries the same examples each time, without a time limit. With --hypothesis-profile=default it tries others.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from maestro_es.adapters import spawner
from tests.fakes.faults import NOT_TRIED
from tests.fakes.ids import short_id
from tools.slurm_cluster.packages import NO_SLURM
from tools.testbed.browsers import NO_BROWSER, NO_NPM
from tools.testbed.processes import end_all_under

#: The order of the directories. The first failure is then the most informative one.
TIERS = (
    "unit",
    "contract",
    "integration",
    "crash",
    "property",
    "exploration",
    "differential",
    "slurm",
    "e2e",
    "browser",
)
HERE = Path(__file__).parent

settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

#: The signals that background processes (nohup, ``&``) and their children ignore.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def _tier(item: pytest.Item) -> int:
    parts = item.path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else len(TIERS)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return a short name for a case, from characters that a user can type."""
    return short_id(val)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_tier)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a visible line about tests that were skipped, because a program or a faulty file system is missing."""
    for why in (NO_SLURM, NOT_TRIED, NO_BROWSER, NO_NPM):
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
    """A home for the studies of one test. After the test, no process of it runs."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    end_all_under(tmp_path)
    spawner.reap()
