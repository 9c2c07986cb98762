"""Studies that the real Maestro began, whose conductor was killed, and that are taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.core import events as e
from maestro_es.core.model import State
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.maestro import kill_conductor, launch, states
from tools.testbed.processes import send, wait_for

pytest.importorskip("maestrowf", reason="makes its studies with Maestro itself")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.xdist_group("import"),
    pytest.mark.usefixtures("own_home"),
]

SPEC = """
description: {name: taken over, description: d}
env:
    variables: {LEDGER: $(OUTPUT_PATH)/ledger}
study:
    - {name: first, description: d, run: {cmd: 'echo first_$(N) >> $(LEDGER)'}}
    - {name: slow, description: d, run: {cmd: 'echo slow >> $(LEDGER); until [ -e $(OUTPUT_PATH)/go ]; do sleep 0.1; done', depends: [first_*]}}
    - {name: last, description: d, run: {cmd: 'echo last >> $(LEDGER)', depends: [slow]}}
    - {name: bad, description: d, run: {cmd: 'echo bad >> $(LEDGER); exit 3'}}
    - {name: afterbad, description: d, run: {cmd: 'true', depends: [bad]}}
global.parameters:
    N: {values: ['1,5', 2, 3], label: N.%%}
"""  # noqa: E501 - YAML


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of Maestro's with a step under way."""
    spec = tmp_path / "study.yaml"
    spec.write_text(SPEC.replace("'1,5'", "1"))
    launch(spec, tmp_path / "study")
    wait_for(lambda: "slow" in ledger(tmp_path / "study"))
    return tmp_path / "study"


@pytest.fixture
def abandoned(study: Path) -> Path:
    """The same, with the conductor and its step killed."""
    kill_conductor(study)
    end_steps(study)
    return study


def ledger(root: Path) -> Counter[str]:
    try:
        return Counter((root / "ledger").read_text().split())
    except FileNotFoundError:
        return Counter()


def steps_of(root: Path) -> list[int]:
    """Return the processes that run a step of a study."""
    return [found.pid for found in process.of_this_user() if found.folder.startswith(f"{root}/")]


def end_steps(root: Path) -> None:
    def none_left() -> bool:
        for pid in steps_of(root):
            send(pid, signal.SIGKILL)
        return not steps_of(root)

    wait_for(none_left)


def tick_until(root: Path, what: Callable[[], object]) -> None:
    end = time.monotonic() + 150
    while not what():
        assert time.monotonic() < end, maestro_es("status", root).stdout
        maestro_es("tick", root)
        time.sleep(0.1)


def ended(root: Path) -> bool:
    with Session(root) as opened:
        return not opened.graph.study.open_steps


def listing(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in sorted([root, *root.rglob("*")])}


def test_a_study_whose_conductor_lives_is_not_taken_over(study):
    refused = maestro_es("import", study)

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "is working on it" in refused.stderr
    assert "conductor" in refused.stderr
    assert not (study / "events.db").exists()


def test_a_study_whose_conductor_left_a_step_running_is_not_taken_over(study):
    kill_conductor(study)

    refused = maestro_es("import", study)

    assert refused.returncode == 1
    assert f"{study}/slow/slow.sh" in refused.stderr


def test_a_study_that_runs_in_the_foreground_of_maestro_is_not_taken_over(tmp_path):
    (tmp_path / "study.yaml").write_text(SPEC)
    command = ["maestro", "run", "-y", "-fg", "-s", "1", "-o", tmp_path / "study", tmp_path / "study.yaml"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        wait_for(lambda: "slow" in ledger(tmp_path / "study"))
        refused = maestro_es("import", tmp_path / "study")
        running.kill()

    assert refused.returncode == 1
    assert f"process {running.pid} is working on it" in refused.stderr


def test_dry_shows_what_would_become_of_each_step_and_changes_nothing(abandoned):
    before = listing(abandoned)

    shown = maestro_es("import", "--dry", abandoned)

    assert shown.returncode == 0, shown
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert "FINISHED" in lines["first_N.1"]
    assert "FAILED" in lines["bad"]
    assert lines["slow"].endswith("to run again  it had started, and nothing shows that it has ended")
    assert lines["last"].split()[-2:] == ["to", "run"]
    assert lines["Nothing"] == "Nothing was changed."
    assert listing(abandoned) == before
    assert maestro_es("studies").stdout == ""


def test_what_has_finished_is_not_run_again_and_all_else_is(abandoned):
    taken = maestro_es("import", abandoned, env={"MINE": "as it was imported"})
    assert '"MINE": "as it was imported"' in maestro_es("env", abandoned, "--json", "--values").stdout
    assert taken.returncode == 0, taken
    (abandoned / "go").touch()

    tick_until(abandoned, lambda: ended(abandoned))

    assert ledger(abandoned) == {"first_1": 1, "first_2": 1, "first_3": 1, "slow": 2, "last": 1, "bad": 1}
    with Session(abandoned) as opened:
        found = {step.name: step.state for step in opened.graph.steps()}
        imported = [r.event for r in opened.log.events() if isinstance(r.event, e.StepImported)]
    assert found["last"] is State.FINISHED
    assert found["afterbad"] is State.FAILED
    assert {said.source for event in imported for said in event.evidence} == {"imported"}
    assert maestro_es("verify", abandoned).returncode == 0
    shown = subprocess.run(
        ["maestro", "status", "--disable-pager", abandoned],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "afterbad" in shown.stdout


def test_what_finished_after_the_conductors_last_table_is_known_from_its_log(tmp_path):
    (tmp_path / "study.yaml").write_text(SPEC)
    root = tmp_path / "study"
    launch(tmp_path / "study.yaml", root)
    wait_for(lambda: "slow" in ledger(root))
    table = (root / "status.csv").read_text()
    kill_conductor(root)
    end_steps(root)
    (root / "status.csv").write_text(table.replace(",FINISHED,", ",INITIALIZED,"))

    shown = maestro_es("import", "--dry", root)

    assert shown.returncode == 0, shown
    finished = [line for line in shown.stdout.splitlines() if "first_N" in line]
    assert len(finished) == 3
    assert all("by the conductor's log, after its last status table" in line for line in finished)


def test_a_study_is_taken_over_once_and_maestros_conductor_will_not_have_it_back(abandoned):
    assert maestro_es("import", abandoned).returncode == 0

    again = maestro_es("import", abandoned)
    conductor = subprocess.run(["conductor", "-t", "1", abandoned], capture_output=True, text=True, check=False)

    assert again.returncode == 1
    assert "already has an event log" in again.stderr
    assert conductor.returncode == 1
    assert "No pickle found" in conductor.stderr
    assert ledger(abandoned)["first_1"] == 1


def test_a_cancel_request_that_waits_is_not_taken_over(abandoned):
    (abandoned / ".cancel.lock").touch()

    refused = maestro_es("import", abandoned)

    assert refused.returncode == 1
    assert "a request of 'maestro cancel' is pending in it" in refused.stderr


def test_another_study_file_is_refused_with_the_difference(abandoned):
    text = (abandoned / "study.yaml").read_text()
    (abandoned / "study.yaml").write_text(text.replace("values: [1, 2, 3]", "values: [1, 2, 4]"))

    refused = maestro_es("import", abandoned)

    assert refused.returncode == 1
    assert "first_N.3 is in meta/metadata.yaml only; first_N.4 is not in meta/metadata.yaml" in refused.stderr
    assert not (abandoned / "events.db").exists()


PGEN = """
from maestrowf.datastructures.core import ParameterGenerator

def get_custom_generator(env, **kwargs):
    made = ParameterGenerator()
    made.add_parameter("N", [int(kwargs["START"]) + i for i in range(3)], "N.%%")
    return made
"""


def test_generators_and_hashed_workspaces_are_recognised(tmp_path):
    spec, root = tmp_path / "study.yaml", tmp_path / "study"
    spec.write_text(SPEC.partition("global.parameters")[0])
    (tmp_path / "gen.py").write_text(PGEN)
    launch(spec, root, "--hashws", "-p", "gen.py", "--pargs", "START:7")
    wait_for(lambda: "slow" in ledger(root))
    wait_for(lambda: states(root).get("first_N.8") == "FINISHED")
    kill_conductor(root)
    end_steps(root)

    missing = maestro_es("import", root)
    wrong = maestro_es("import", "--pargs", "START:6", root)
    taken = maestro_es("import", "--pargs", "START:7", root)

    assert "KeyError: 'START'" in missing.stderr
    assert "first_N.9 is in meta/metadata.yaml only" in wrong.stderr
    assert "is an argument of its generator missing (--pargs)?" in wrong.stderr
    assert taken.returncode == 0, taken
    with Session(root) as opened:
        found = {step.name: (step.workspace, step.state) for step in opened.graph.steps()}
        assert opened.graph.study.settings.hash_workspaces
    assert found["first_N.8"] == ("first/first_instance_1", State.FINISHED)
    assert (root / "first" / "first_instance_1").is_dir()


def test_a_study_file_that_names_its_own_directory_asks_where_that_was(tmp_path):
    spec, root = tmp_path / "there" / "study.yaml", tmp_path / "study"
    spec.parent.mkdir()
    spec.write_text(SPEC.replace("echo last", "cat $(SPECROOT)/word"))
    (spec.parent / "word").write_text("found\n")
    launch(spec, root)
    wait_for(lambda: "slow" in ledger(root))
    kill_conductor(root)
    end_steps(root)
    spec.rename(spec.with_name("renamed.yaml"))

    refused = maestro_es("import", root)
    taken = maestro_es("import", "--specroot", "there", root, cwd=tmp_path)

    assert "give it with --specroot" in refused.stderr
    assert taken.returncode == 0, taken
    (root / "go").touch()
    tick_until(root, lambda: ended(root))
    assert ledger(root)["found"] == 1


def test_what_is_no_study_of_maestros_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, words in (("empty", "metadata.yaml: No such file"), ("nowhere", "there is no such directory")):
        refused = maestro_es("import", tmp_path / folder)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert words in refused.stderr
    assert os.listdir(tmp_path / "empty") == []
