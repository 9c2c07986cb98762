"""Finds the few actions of a failed week that suffice for its failure: delta debugging (Zeller and Hildebrandt, 2002).

A draw does not depend on other draws, so a scenario goes on in the same way if an action is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tools.simulation.scenario import Action, Scenario


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """Return a scenario that still fails, and does not if any one of its actions is left out."""

    def with_actions(actions: Sequence[Action]) -> Scenario:
        return scenario._replace(actions=tuple(actions))

    actions, parts = list(scenario.actions), 2
    if fails(with_actions([])):
        return with_actions([])
    while len(actions) > 1:
        size = max(len(actions) // parts, 1)
        for start in range(0, len(actions), size):
            rest = actions[:start] + actions[start + size :]
            if fails(with_actions(rest)):
                actions, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(actions))
    return with_actions(actions)
