"""A short form of tools/driver-soak: drivers that are killed finish a study, although the name of the host changes."""

from __future__ import annotations

import os

import pytest

from tests.fakes.faults import leave_out
from tools.driver_soak.soak import Soak


@pytest.mark.parametrize("driver", ["run --wait", "systemd"])
def test_a_driver_that_is_killed_at_random_finishes_a_study_on_a_host_that_changes_its_name(tmp_path, driver):
    if os.geteuid():
        leave_out("only root can change the name of a host")
    result = Soak(tmp_path / "soak", driver, steps=12, seed=0, cluster=None).run(100)
    assert result.faults == []
    assert result.hosts > 1
