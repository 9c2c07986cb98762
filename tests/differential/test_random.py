"""Runs random studies with both programs. Each program is one process that runs all studies."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tools.side_by_side.expected import explained
from tools.side_by_side.programs import SideBySide, Study
from tools.side_by_side.strategies import studies

NUMBERS = itertools.count()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(study=studies())
def test_both_programs_make_the_same_of_any_study(study: Study, programs: SideBySide, place: Path):
    folder = place / str(next(NUMBERS))
    verdict = programs.compare(study, folder, apart=False)
    assert explained(verdict), f"{verdict}\n{study.text}\n{study.options}"
