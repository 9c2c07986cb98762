"""A graph that a program has built: cron advances it, the log answers, and it continues after a reboot of the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, State, StudyStatus
from maestro_es.core import events as e
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, wait_for

#: The program ends as soon as the graph is built. `{long}` is what the first step does.
PROGRAM = """
import sys
from maestro_es import ExecutionGraph, StudyStep

graph = ExecutionGraph.create(sys.argv[1])
graph.add_description("waves", "three steps, the last one is not needed")
steps = {{
    "mesh": {{"cmd": "echo $COLOUR > mesh.txt; {long}", "restart": "echo again >> mesh.txt"}},
    "sim_SIZE.10": {{"cmd": "cat ../mesh/mesh.txt"}},
    "extra": {{"cmd": "true"}},
}}
for name, run in steps.items():
    graph.add_step(name, StudyStep(name, "a step", run), name, 2, [("SIZE", 10)] if "SIZE" in name else None)
graph.add_edge("mesh", "sim_SIZE.10")
graph.add_edge("mesh", "extra")
graph.remove_edge("mesh", "extra")
graph.hold("extra")
"""

#: What cron gives a program.
CRON = ("env", "-i", f"HOME={Path.home()}", "LOGNAME=me", "PATH=/usr/bin:/bin", "SHELL=/bin/sh")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all_under(tmp_path)


def build(folder: Path, long: str = "true") -> Path:
    """Build the graph in a process of its own. Steps that end ask for no tick, so that only those of a test count."""
    study = folder / "waves"
    environment = {**os.environ, "COLOUR": "blue"}
    program = PROGRAM.format(long=long)
    subprocess.run([sys.executable, "-c", program, study], cwd=folder, check=True, env=environment)
    stop_own_ticks(study)
    return study


def tick(study: Path, *prefix: str) -> None:
    """Run the command that cron runs, with nothing of this environment."""
    words: Sequence[str | Path] = (*prefix, *CRON, sys.executable, "-m", "maestro_es", "tick", study)
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def state(study: Path, step: str) -> State:
    with ExecutionGraph.open(study) as graph:
        return graph.values[step].status


def state_after_tick(study: Path, step: str) -> State:
    tick(study)
    return state(study, step)


def test_ticks_of_cron_run_it_in_the_environment_of_the_program(place: Path):
    study = build(place)
    wait_for(lambda: state_after_tick(study, "sim_SIZE.10") is State.FINISHED)

    assert (study / "mesh/mesh.txt").read_text() == "blue\n"
    with ExecutionGraph.open(study) as graph:
        assert (graph.status, graph.values["extra"].status) == (StudyStatus.RUNNING, State.INITIALIZED)
        assert graph.ready_steps == []
        graph.release("extra")
    wait_for(lambda: state_after_tick(study, "extra") is State.FINISHED)
    with ExecutionGraph.open(study) as graph:
        assert graph.status is StudyStatus.FINISHED
        assert graph.completed_steps == set(graph.values)
    rows = (study / "status.csv").read_text().splitlines()
    assert [row.split(",")[3] for row in rows[1:]] == ["FINISHED"] * 3
    log = (study / "events.db").read_bytes()
    tick(study)
    assert (study / "events.db").read_bytes() == log


def test_the_log_answers_questions_about_it_also_of_the_past(place: Path):
    study = build(place)
    wait_for(lambda: state_after_tick(study, "sim_SIZE.10") is State.FINISHED)

    history = maestro_es("history", study, "extra").stdout
    for words in ("ConnectionAdded", "no longer waits for mesh", "held"):
        assert words in history
    assert "SIZE.10" in maestro_es("history", study, "--param", "SIZE=10").stdout
    sql = "SELECT type, count(*) AS n FROM event WHERE type LIKE 'Connection%' GROUP BY type"
    assert json.loads(maestro_es("query", study, sql, "--json").stdout) == [
        {"type": "ConnectionAdded", "n": 2},
        {"type": "ConnectionRemoved", "n": 1},
    ]
    assert "is held" in maestro_es("why", study, "extra").stdout
    with ExecutionGraph.open(study) as graph:
        (removed,) = [r for r in graph.history("extra") if isinstance(r.event, e.ConnectionRemoved)]
        (finished,) = [r for r in graph.history("mesh") if isinstance(r.event, e.StepFinished)]
        assert [graph.at(seq=removed.seq - after).parents(3) for after in (0, 1)] == [[], [1]]
        assert graph.at(seq=finished.seq - 1).step(1).state is State.RUNNING
    for seq, expected in ((finished.seq - 1, "RUNNING"), (finished.seq, "FINISHED")):
        table = maestro_es("status", study, "--at", str(seq), "--csv").stdout.splitlines()
        assert [row.split(",")[3] for row in table if row.startswith("mesh,")] == [expected]
    assert maestro_es("verify", study).returncode == 0


def test_it_continues_after_a_reboot_of_the_login_node(place: Path):
    """The processes of a tick see another boot id, and all that ran is gone."""
    study = build(place, long="touch began; sleep 60")
    tick(study)
    wait_for((study / "mesh/began").exists)
    wait_for(lambda: state_after_tick(study, "mesh") is State.RUNNING)
    end_all_under(study)
    boot = place / "boot_id"
    boot.write_text("b0070000-1111-2222-3333-444455556666\n")
    mount = f"mount --bind '{boot}' /proc/sys/kernel/random/boot_id && exec \"$@\""
    rebooted = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*rebooted, "true"], check=False, capture_output=True).returncode:
        leave_out("no other boot id, because none can be mounted")

    def ended() -> bool:
        words: Sequence[str | Path] = (*rebooted, *CRON, sys.executable, "-m", "maestro_es", "tick", study)
        done = subprocess.run(words, capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        return state(study, "sim_SIZE.10") is State.FINISHED

    wait_for(ended)
    assert (study / "mesh/mesh.txt").read_text() == "blue\nagain\n"
    with ExecutionGraph.open(study) as graph:
        kinds = [type(recorded.event) for recorded in graph.history()]
        assert kinds.count(e.RebootDetected) == 1
        assert len(graph.values["mesh"].jobid) == 2
        assert graph.values["sim_SIZE.10"].jobid != []
    assert "the host was rebooted" in maestro_es("history", study, "mesh").stdout
    assert maestro_es("verify", study).returncode == 0
