"""The simulated weeks notice a broken program: each defect of `tools.simulation.sabotage`."""

from __future__ import annotations

import pytest

from tools.simulation.command import explain, run_seeds
from tools.simulation.sabotage import DEFECTS, first_seed
from tools.simulation.scenario import draw
from tools.simulation.week import simulate


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_within_its_number_of_seeds(name: str):
    seed, broken = first_seed(DEFECTS[name], lambda seed: simulate(draw(seed)).broken)

    assert seed >= 0, f"none of {DEFECTS[name].seeds} seeds finds it"
    assert broken


def test_the_story_of_a_failed_week_is_short():
    """Of the actions of a week, only those that the failure needs are left."""
    defect = DEFECTS["no cancel"]
    seed, _ = first_seed(defect, lambda seed: simulate(draw(seed)).broken)
    with defect.planted():
        story, failed = explain(seed)

    actions = [line for line in story.splitlines() if line.startswith("day ")]
    assert failed
    assert "nobody has told its job to end" in story
    assert any("cancel" in line for line in actions)
    assert len(actions) < len(draw(seed).actions) / 2
    assert run_seeds([seed]).failed == {}
