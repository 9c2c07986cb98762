"""Explores everything that can happen to one scheduled step, and checks the submission protocol.

`search` explores all interleavings of pollers without a lock, runners, and a scheduler with errors. `decide`, `judge`,
`outcome_events`, `Observer._observe_attempt` and the reducer are the real ones. These properties hold in every world:

- no token starts or is submitted twice, and no attempt starts that the log has abandoned;
- no two attempts run at once, and no attempt is abandoned while it runs, unless the scheduler has given a wrong
  answer;
- a finished step has exited with 0, a step that failed by its own fault has not, and the claim of an abandoned attempt
  belongs to a tick;
- the reducer accepts all decisions;
- an end can be reached.

In one case, other steps depend on the step, and each transaction ends one of them. Then this holds, too:

- none of them is requested before the step has finished, and if the step fails, all of them end.

The numbers of worlds are a fingerprint of protocol and model. If one changes, find out why, and update it. With
``MAESTRO_ES_EXPLORE=all`` the search is larger.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest

from maestro_es.core import cascade
from tests.exploration.search import Exploration
from tests.exploration.world import FAULTS


class Case(NamedTuple):
    pollers: int
    attempts: int
    faults: frozenset[str]
    worlds: int | None = None
    descendants: bool = False

    def __str__(self) -> str:
        more = "-cascade" if self.descendants else ""
        return f"{self.pollers}-{self.attempts}-{'+'.join(sorted(self.faults)) or 'none'}{more}"


CASES = [
    Case(2, 1, frozenset(), 61780),
    Case(2, 1, frozenset({"lose"}), 63723),
    Case(2, 1, frozenset({"kill"}), 139453),
    Case(1, 2, frozenset({"kill"}), 36099),
    Case(1, 1, frozenset({"kill", "requeue"}), 25525),
    Case(1, 1, FAULTS, 235685),
    Case(2, 1, frozenset(), 76552, descendants=True),
]

#: These need minutes and a gigabyte. Their numbers of worlds are not recorded.
LARGE = [
    Case(2, 1, frozenset({"silence"})),
    Case(2, 1, frozenset({"lie"})),
    Case(2, 1, frozenset({"requeue"})),
    Case(1, 2, frozenset({"requeue"})),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_that_can_happen_breaks_the_protocol(case):
    _explore(case)


@pytest.mark.skipif(os.environ.get("MAESTRO_ES_EXPLORE") != "all", reason="large: for MAESTRO_ES_EXPLORE=all")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_nothing_that_can_happen_within_larger_bounds_breaks_the_protocol(case):
    _explore(case)


def _explore(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cascade, "AT_ONCE", 1)
        exploration = Exploration(case.pollers, case.attempts, case.faults, descendants=case.descendants)
    for world in exploration.stuck()[:1]:
        pytest.fail("no way to the end:\n" + "\n".join(exploration.trace(world)))
    assert exploration.ends
    assert case.worlds in (None, exploration.worlds)
