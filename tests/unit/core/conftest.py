"""What the tests of the core are about."""

from __future__ import annotations

import pytest

from tests.unit.core.making import Study


@pytest.fixture
def study(request: pytest.FixtureRequest) -> Study:
    """Return an empty study, or what the `STUDY` of a module of tests makes."""
    made: Study = getattr(request.module, "STUDY", Study)()
    return made
