"""What the tests of the core are about."""

from __future__ import annotations

import pytest

from tests.unit.core.making import Study


@pytest.fixture
def study() -> Study:
    return Study()
