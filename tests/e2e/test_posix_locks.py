"""SQLite's locks are POSIX locks, and a process loses them when it closes any descriptor of the file.

So nothing but SQLite may open the log while SQLite has it open: not ticks, not commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.faults import traced
from tools.testbed.processes import end_all_under, wait_for

SPEC = """
description: {name: pair, description: a pair}
study:
    - {name: first, description: d, run: {cmd: 'until [ -e $(SPECROOT)/go ]; do sleep 0.02; done'}}
    - {name: last, description: d, run: {cmd: 'true', depends: [first]}}
"""

COMMANDS = (
    ("tick", "--dry", "{}"), ("export", "--salvage", "{}"), ("verify", "{}"), ("status", "--at", "5", "{}"),
    ("history", "--all-studies"), ("rebuild", "{}"), ("hold", "{}", "last"), ("release", "{}", "last"), ("studies",),
)  # fmt: skip

CALL = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")


def locks_lost(calls: Iterable[str]) -> list[str]:
    """Return the calls with which SQLite takes a lock, or writes, after another descriptor was closed beside its own.

    SQLite opens the file to read and write, all others only to read.
    """
    its: dict[tuple[str, str], bool] = {}
    lost: set[str] = set()
    found = []
    for line in calls:
        call = CALL.match(line)
        assert call or re.search(r"\+\+\+|---|unfinished|resumed", line), line
        if call is None or call["result"].startswith("-"):
            continue
        pid, number = call["pid"], call["arguments"].partition("<")[0]
        if call["name"] == "openat":
            its[pid, call["result"]] = "O_RDWR" in call["arguments"]
        elif call["name"] == "close":
            was_its = its.pop((pid, number), False)
            left = any(its[key] for key in its if key[0] == pid)
            lost = lost | {pid} if left and not was_its else lost - {pid} if not left else lost
        elif pid in lost and "F_UNLCK" not in line:
            found.append(line)
    return found


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    for name in ("other", "study"):
        (tmp_path / "pair.yaml").write_text(SPEC)
        assert maestro_es("run", "-y", "-o", tmp_path / name, tmp_path / "pair.yaml").returncode == 0
        stop_own_ticks(tmp_path / name)
    yield tmp_path / "study"
    end_all_under(tmp_path)


def test_no_tick_and_no_command_closes_the_log_beside_sqlite(study, tmp_path):
    def calls(*words: str) -> list[str]:
        log, note = study / "events.db", tmp_path / "trace"
        found = traced(log, "openat,close,fcntl,pwrite64", note, "-m", "maestro_es", *words)
        assert any("F_SETLK" in line for line in found), words
        return found

    def tick_to(kind: type[e.Event]) -> None:
        def happened() -> bool:
            assert locks_lost(calls("tick", "--all")) == []
            with Session(study) as opened:
                return any(isinstance(recorded.event, kind) for recorded in opened.log.events())

        wait_for(happened)

    for words in COMMANDS:
        assert locks_lost(calls(*(word.format(study) for word in words))) == [], words
    (tmp_path / "go").touch()
    tick_to(e.StepFinished)
    tick_to(e.StudyCompleted)
    with Session(study) as opened:
        assert opened.status is StudyStatus.FINISHED


def test_a_lock_that_is_lost_would_be_noticed(study, tmp_path):
    script = (
        "import sys; from pathlib import Path; from maestro_es.core import events as e\n"
        "from maestro_es.study.session import Session\n"
        "with Session(Path(sys.argv[1])) as study:\n"
        "    open(study.dir.log, 'rb').close()\n"
        "    study.log.append([(None, e.StudyPaused())])\n"
    )
    assert locks_lost(traced(study / "events.db", "openat,close,fcntl,pwrite64", tmp_path / "t", "-c", script, study))
