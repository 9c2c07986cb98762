"""The tiers of the tests, in the order in which a failure tells most."""

from __future__ import annotations

from pathlib import Path

import pytest

TIERS = ("unit", "contract", "integration", "crash", "property", "e2e")
HERE = Path(__file__).parent


def _tier(item: pytest.Item) -> int:
    parts = item.path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else len(TIERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_tier)
