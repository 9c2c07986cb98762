"""The study for the tests of the core."""

from __future__ import annotations

import pytest

from tests.unit.core.making import Study


@pytest.fixture
def study(request: pytest.FixtureRequest) -> Study:
    """Return an empty study, or the result of the function `STUDY` in the module of the test."""
    made: Study = getattr(request.module, "STUDY", Study)()
    return made
