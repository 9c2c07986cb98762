"""Everything that can happen to one scheduled step, and that none of it breaks the submission protocol.

`search` goes through all interleavings of pollers without a lock, runners and a scheduler that errs; `decide`,
`judge`, `outcome_events`, `Observer._observe_attempt` and the reducer are the real ones. Checked in every world:

- no token starts or is submitted twice, and nothing starts that the log has given up;
- no two attempts run at once, and none is given up while it runs, unless the scheduler has misled the poller;
- finished means that the step has exited 0, failed by its own fault that it has not, abandoned that the claim is ours;
- the reducer refuses nothing that was decided;
- there is a way to the end.

In one case, other steps depend on the step, and one transaction ends one of them. Then also:

- none of them is requested before the step has finished, and if it fails, they all end.

The numbers of worlds are a fingerprint of protocol and model: if one changes, see why, and write the new one down.
With ``MAESTRO_ES_EXPLORE=all`` more is searched.
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
    Case(2, 1, frozenset({"kill"}), 139536),
    Case(1, 2, frozenset({"kill"}), 36733),
    Case(1, 1, frozenset({"kill", "requeue"}), 25531),
    Case(1, 1, FAULTS, 236039),
    Case(2, 1, frozenset(), 76552, descendants=True),
]

#: Minutes, and a gigabyte. How many worlds these have is not written down.
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
