"""Maestro's own tests pass with maestro-es instead of Maestro, except those in `LISTED`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.differential.upstream import LISTED, NoTests, outcomes, source

pytest.importorskip("maestrowf", reason="compares with Maestro itself")


@pytest.mark.timeout(600)
def test_maestros_tests_pass_with_ours(tmp_path: Path):
    try:
        place = source()
    except NoTests as error:
        pytest.skip(str(error))
    theirs = outcomes(place, tmp_path / "theirs.xml")
    ours = outcomes(place, tmp_path / "ours.xml", "-m", "maestro_es.compat")
    passed = {name for name, outcome in theirs.items() if outcome == "passed"}
    listed = {name for name in passed if any(fnmatchcase(name, pattern) for pattern in LISTED)}

    assert len(passed - listed) >= 7
    assert {name: ours.get(name, "not run") for name in passed - listed if ours.get(name) != "passed"} == {}
    assert [name for name in listed if ours.get(name) == "passed"] == []
