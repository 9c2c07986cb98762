"""Local steps as a user sees them: the names of their files, and what ends with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.processes import running_under, wait_for

TRAVEL = r"""
description: {name: travel, description: names with blanks}
study:
  - {name: visit, description: a label with a blank, run: {cmd: "echo $(TOWN)"}}
  - {name: pack bags, description: a name with a blank, run: {cmd: "echo packed"}}
  - name: check
    description: reads what was printed
    run: {cmd: "cat $(OUTPUT_PATH)/pack_bags/pack\\ bags.*.out > list.txt", depends: [pack bags]}
global.parameters:
  TOWN: {values: [Salt Lake, Bath], label: TOWN.%%}
"""

CHILDREN = r"""
description: {name: kids, description: a solver that starts helpers in sessions of their own}
study:
- name: a
  description: d
  run:
    cmd: |
      setsid sleep 311 &
      nohup sleep 312 >/dev/null 2>&1 &
      bash -c 'sleep 313 & sleep 314' &
      touch ready
      sleep 315
- {name: ign, description: ignores TERM, run: {cmd: "trap '' TERM; touch ready; setsid sleep 316; sleep 317"}}
"""


def test_the_names_of_output_files_keep_their_blanks(own_home: Path, tmp_path: Path):
    """As Maestro names them; the directories have none there either."""
    del own_home
    (tmp_path / "study.yaml").write_text(TRAVEL)
    ran = maestro_es("run", "-y", "--wait", "-o", tmp_path / "travel", tmp_path / "study.yaml")

    assert ran.returncode == 0, ran
    assert (tmp_path / "travel/check/list.txt").read_text() == "packed\n"
    names = {path.name.split(".")[:-2][-1] for path in tmp_path.glob("travel/*/*.out")}
    assert names == {"pack bags", "check"}
    assert [path.name[:20] for path in tmp_path.glob("travel/visit/TOWN.Salt_Lake/*.out")] == ["visit_TOWN.Salt Lake"]
    shown = maestro_es("show", tmp_path / "travel", "pack bags").stdout
    assert "pack bags." in shown
    assert ".out" in shown


@pytest.mark.usefixtures("own_home")
def test_a_cancel_ends_what_steps_have_started_in_sessions_of_their_own(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(CHILDREN)
    root = tmp_path / "kids"
    maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml")
    for name in ("a", "ign"):
        wait_for((root / name / "ready").exists)
    assert len(running_under(root)) > 5

    assert maestro_es("cancel", "-y", root).returncode in (0, 75)
    wait_for(lambda: maestro_es("tick", root).returncode == 0 and not running_under(root))
    assert (root / "status.csv").read_text().count(",CANCELLED,") == 2
