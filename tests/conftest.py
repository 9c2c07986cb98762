"""What all tests share: the order of the tiers, and a home that is not the developer's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

#: In the order in which a failure tells most.
TIERS = ("unit", "contract", "integration", "crash", "property", "e2e")
HERE = Path(__file__).parent


def _tier(item: pytest.Item) -> int:
    parts = item.path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else len(TIERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_tier)


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the studies of tests out of the developer's own list of studies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAESTRO_ES_HOME", str(tmp_path_factory.mktemp("home")))
        yield
