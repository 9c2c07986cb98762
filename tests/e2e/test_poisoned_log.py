"""A log that holds events that no reader can decode, as early versions wrote them, is corrected by one command."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStatus, StudyStep
from maestro_es.store.event_log import GENESIS, row_digest
from tools.testbed.processes import DEADLINE

#: What early versions have recorded: event, key and value, by the call that did it.
POISON = [
    ("StudyCreated", "settings", {"use_tmp": None}),  # ExecutionGraph(use_tmp=None)
    ("StepTemplateAdded", "description", 7),  # StudyStep(description=7)
    ("StepAdded", "restart_limit", True),  # add_step(restart_limit=True)
    ("StepAdded", "restart_limit", 1.5),
    ("StepAdded", "restart_limit", "3"),
    ("StepAdded", "params", [[5, "1", "5.1", 5]]),  # params={5: 1}
    ("StepHeld", "reason", None),  # hold("b", reason=None)
    ("SettingsChanged", "reason", None),
]


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maestro_es", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study that is held, and waits for nothing else."""
    with ExecutionGraph.create(tmp_path / "study") as graph:
        for name in ("a", "b"):
            graph.add_step(name, StudyStep(name, "d", {"cmd": "true"}), name, 0)
        graph.add_connection("a", "b")
        graph.add_description("late", "d")
        graph.hold("b", reason="look")
        graph.release("b")
        graph.hold("a", "b")
        graph.execute_ready_steps()
    return tmp_path / "study"


def rows_of(study: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(study / "events.db")
    rows = connection.execute("SELECT seq, recorded_at, invocation, step, type, version, data FROM event").fetchall()
    connection.close()
    return rows


def poison(study: Path, events: Sequence[tuple[str, str, object]]) -> str:
    """Let events of a log be as an early version recorded them, before the host came up; returns the last digest."""
    left = list(events)
    digest = GENESIS
    connection = sqlite3.connect(study / "events.db", isolation_level=None)
    trigger = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'event_is_never_updated'").fetchone()[0]
    connection.execute("DROP TRIGGER event_is_never_updated")
    for row in rows_of(study):
        payload = json.loads(str(row[6]))
        for name, key, value in [poisoned for poisoned in left if poisoned[0] == row[4]]:
            payload[key] = value
            left.remove((name, key, value))
            break
        columns = (*row[:6], json.dumps(payload))
        digest = row_digest(digest, columns)
        connection.execute("UPDATE event SET data = ?, digest = ? WHERE seq = ?", (columns[6], digest, row[0]))
    connection.execute(trigger)
    connection.execute("UPDATE projection SET boot_id = 'the boot before'")
    connection.close()
    (study / ".maestro-es" / "last-tick").write_text(f"{row[0]:20} {digest.hex()}\n")
    assert not left
    return digest.hex()


@pytest.mark.parametrize("events", [[one] for one in POISON] + [POISON[:3] + POISON[6:]])
def test_one_command_makes_such_a_log_usable_again(study: Path, events: list[tuple[str, str, object]]):
    head = poison(study, events)
    before = rows_of(study)

    for command in (["tick"], ["status"], ["cancel", "-y"], ["verify"]):
        names_the_remedy(ran(*command, study))
    assert rows_of(study) == before

    repaired = ran("rebuild", "--repair", "--reason", "an early version", study)
    assert repaired.returncode == 0, repaired.stderr
    assert "corrected event" in repaired.stdout

    after = rows_of(study)
    assert [row[:6] for row in after[: len(before)]] == [row[:6] for row in before]
    changed = [row[0] for row, old in zip(after, before, strict=False) if row != old]
    assert len(changed) == len(events)
    assert [row[4] for row in after[len(before) :]] == ["InvocationStarted", "EventsCorrected"]
    assert json.loads(str(after[-1][6])) == {
        "head": head,
        "corrections": [{"seq": row[0], "data": row[6]} for row in before if row[0] in changed],
        "reason": "an early version",
    }

    known = ran("verify", "--head", head, study)
    assert f"is the digest of event {len(before)}" in known.stdout, known.stderr
    assert "has changed since then, except the payloads in EventsCorrected" in known.stdout
    assert ran("rebuild", "--repair", study).stdout.startswith(f"{study}: every event can be read\n")
    assert runs_to_its_end(study)


def names_the_remedy(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert "'maestro-es rebuild --repair' corrects it and keeps all other events" in done.stderr


def runs_to_its_end(study: Path) -> bool:
    assert ran("tick", study).returncode == 0
    assert ran("release", study, "*").returncode == 0
    deadline = time.monotonic() + DEADLINE
    with ExecutionGraph.open(study) as graph:
        while graph.execute_ready_steps() is StudyStatus.RUNNING and time.monotonic() < deadline:
            time.sleep(0.02)
        return graph.status is StudyStatus.FINISHED


def test_an_export_of_such_a_log_can_be_imported_and_recovered_from(study: Path, tmp_path: Path):
    poison(study, POISON[2:3])
    before = rows_of(study)
    export, again = tmp_path / "log.jsonl", tmp_path / "again.jsonl"
    assert ran("export", study, "-o", export).returncode == 0
    (study / "events.db").rename(tmp_path / "lost.db")

    for refused in (ran("import-log", export, tmp_path / "new"), ran("recover", study, "--from", export)):
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert (
            "'maestro-es import-log --repair' into a new directory corrects it; then export the new study"
            in refused.stderr
        )
    imported = ran("import-log", "--repair", export, tmp_path / "new")
    assert imported.returncode == 0, imported.stderr
    assert [row[:6] for row in rows_of(tmp_path / "new")[: len(before)]] == [row[:6] for row in before]
    assert ran("verify", tmp_path / "new").returncode == 0

    assert ran("export", tmp_path / "new", "-o", again).returncode == 0
    recovered = ran("recover", study, "--from", again)
    assert recovered.returncode == 0, recovered.stderr
    assert runs_to_its_end(study)


def test_a_log_that_another_program_has_changed_is_not_repaired(study: Path):
    connection = sqlite3.connect(study / "events.db")
    connection.execute("DROP TRIGGER event_is_never_updated")
    connection.execute("UPDATE event SET data = '{\"reason\":null}' WHERE type = 'StepHeld'")
    connection.execute("UPDATE projection SET boot_id = 'the boot before'")
    connection.commit()
    connection.close()
    before = rows_of(study)

    done = ran("status", study)
    assert done.returncode == 1
    assert "rebuild --repair" not in done.stderr
    assert "restore it from a copy" in done.stderr
    repaired = ran("rebuild", "--repair", study)
    assert repaired.returncode == 1
    assert "was changed after it was written" in repaired.stderr
    assert rows_of(study) == before


def test_a_payload_that_can_not_be_corrected_changes_nothing(study: Path):
    poison(study, [("StepAdded", "parents", ["all"])])
    before = rows_of(study)
    done = ran("rebuild", "--repair", study)
    assert done.returncode == 1
    assert "can't be" in done.stderr
    assert rows_of(study) == before
