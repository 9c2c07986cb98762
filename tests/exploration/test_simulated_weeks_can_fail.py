"""The simulated weeks notice a broken program: each defect of `tools.simulation.sabotage`."""

from __future__ import annotations

import pytest

from tools.simulation.command import explain, run_seeds
from tools.simulation.sabotage import DEFECTS
from tools.simulation.scenario import draw
from tools.simulation.week import simulate


@pytest.mark.parametrize("name", DEFECTS)
def test_the_seed_of_a_defect_finds_it(name: str):
    """After a change of what `draw` draws, ``tools/simulate --defects`` finds the seeds again."""
    with DEFECTS[name].planted():
        broken = simulate(draw(DEFECTS[name].seed)).broken

    assert broken
    assert simulate(draw(DEFECTS[name].seed)).broken == []


def test_the_story_of_a_failed_week_is_short():
    """Of the actions of a week, only those that the failure needs are left."""
    defect = DEFECTS["no cancel"]
    with defect.planted():
        story, failed = explain(defect.seed)

    actions = [line for line in story.splitlines() if line.startswith("day ")]
    assert failed
    assert "nobody has told its job to end" in story
    assert any("cancel" in line for line in actions)
    assert len(actions) < len(draw(defect.seed).actions) / 2
    assert run_seeds([defect.seed]).failed == {}
