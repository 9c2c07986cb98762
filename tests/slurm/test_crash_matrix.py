"""The short form of `tools/crash-matrix`: each fault some times. The long one is what docs/reliability.md shows."""

from __future__ import annotations

import pytest

from tools.crash_matrix.campaign import Campaign
from tools.crash_matrix.faults import FAULTS, SURVEY

#: How often; faults that are not here need a cluster of their own for half a minute, and come up in test_studies, too.
SHORT = {
    "tick-killed": 40, "tick-killed-anytime": 30, "call-fails": 10, "client-killed": 20, "two-ticks": 8,
    "ticks-overlap": 8, "tick-frozen": 4, "reboot": 2, "runner-killed": 3, "batch-script-killed": 1, "report-lost": 3,
    "cancelled-by-hand": 1, "requeued": 2, "id-reused": 2, "inbox-full": 1, "log-read-only": 1, "controller-killed": 2,
    "slurmd-killed": 1, "node-down": 2,
}  # fmt: skip


@pytest.mark.timeout(1200)
def test_nothing_is_lost_or_run_twice_whatever_is_killed(tmp_path_factory: pytest.TempPathFactory):
    said: list[str] = []
    campaign = Campaign(tmp_path_factory.mktemp("x"), SHORT, workers=4, seed=1, minutes=8)
    campaign.say = said.append

    tallies = campaign.run()

    assert not [line for line in said if "BROKEN" in line]
    assert all(tally.good for tally in tallies.values())
    assert {name for name, tally in tallies.items() if not tally.tried} == set()


def test_the_short_form_has_no_fault_that_the_long_one_does_not_know():
    assert set(SHORT) < set(FAULTS) - {SURVEY}
