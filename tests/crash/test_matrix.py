"""The crash matrix itself: that it would notice a broken promise, and that its document is of a real run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from maestro_es.core.model import State
from maestro_es.study.session import Session
from tools.crash_matrix.calls import Point, read_trace
from tools.crash_matrix.campaign import Campaign
from tools.crash_matrix.coverage import Coverage
from tools.crash_matrix.faults import FAULTS, SURVEY
from tools.crash_matrix.scenes import SCENES, TOGETHER
from tools.crash_matrix.schedulers import SlurmOfTrials
from tools.crash_matrix.study import SETTINGS, Outcome, create, judge, thirty_steps, waiting_for
from tools.crash_matrix.table import BEGIN, DOCUMENT, END
from tools.crash_matrix.trial import Row
from tools.testbed.studies import Bench, Step

SIGNED = "echo begin $MAESTRO_ES_TOKEN >>{0}; echo end $MAESTRO_ES_TOKEN >>{0}"


def test_the_study_has_thirty_steps(tmp_path: Path):
    steps = thirty_steps(tmp_path / "ledger", seconds=0.3, walltime="00:01:00")
    assert len(steps) == len({step.name for step in steps}) == 30
    assert {step.scheduled for step in steps} == {True, False}
    create(tmp_path / "study", steps, SlurmOfTrials.batch, SlurmOfTrials.keys)
    with Session(tmp_path / "study") as study:
        assert study.graph.study.steps == 30


def test_what_waits_for_a_step_is_known(tmp_path: Path):
    steps = thirty_steps(tmp_path / "ledger", seconds=0.3, walltime="00:01:00")
    assert waiting_for(steps, "chain_5") == {"post"}
    assert {"join", "late_0", "sum", "post"} <= waiting_for(steps, "fan_3")
    assert len(waiting_for(steps, "fan_3")) == 8


@pytest.fixture
def finished(tmp_path: Path) -> Bench:
    """A study of two local steps that has ended, and its ledger."""
    bench = Bench(tmp_path / "study", settings=SETTINGS)
    cmd = SIGNED.format(tmp_path / "ledger")
    bench.create(Step("a", cmd), Step("bad", "exit 3"))
    bench.finish()
    return bench


def outcome(bench: Bench, *more: str, expected: State | None = State.FAILED) -> Outcome:
    ledger = bench.root.with_name("ledger")
    with ledger.open("a") as file:
        file.writelines(f"{line}\n" for line in more)
    return judge(bench.root, ledger, {"bad": expected} if expected else {})


def test_a_study_that_ended_as_it_should_is_good(finished: Bench):
    assert outcome(finished).good


def test_a_token_that_began_twice_is_noticed(finished: Bench):
    token = finished.step("a").token
    assert outcome(finished, f"begin {token}").doubled == [f"{token} began 2 times"]


def test_an_attempt_that_met_another_is_noticed(finished: Bench):
    assert outcome(finished, "twice feed-1-2-x").doubled == ["feed-1-2-x began beside another of its step"]


def test_a_step_that_finished_without_a_signature_is_lost(finished: Bench):
    finished.root.with_name("ledger").write_text("")
    assert outcome(finished).lost == ["a FINISHED"]


def test_a_step_that_failed_and_should_not_have_is_noticed(finished: Bench):
    assert outcome(finished, expected=None).wrongly_failed == ["bad FAILED"]


def test_a_step_that_waits_for_ever_is_lost(tmp_path: Path):
    bench = Bench(tmp_path / "study", settings=SETTINGS)
    bench.create(Step("a"))
    assert judge(bench.root, tmp_path / "ledger", {}).lost == ["a INITIALIZED"]


def test_the_calls_of_a_trace_are_told_apart_by_what_they_touch_and_whether_they_change_it():
    text = (
        'openat(AT_FDCWD</x>, "/s/events.db", O_RDWR) = 3</s/events.db>\n'
        'pwrite64(4</s/events.db-journal>, ""..., 512, 0) = 512\n'
        'openat(AT_FDCWD</x>, "/usr/lib/python3/csv.py", O_RDONLY) = 5\n'
        'symlink("abandoned", "/s/a/.claim.feed-1-1-x") = 0\n'
        "read(5<pipe:[3]>, ...) = 0\n"
        'openat(AT_FDCWD</x>, "/s/a/a.sh", O_WRONLY|O_CREAT <unfinished ...>) = ?\n'
        "+++ killed by SIGKILL +++\n"
    )
    calls = read_trace(text.splitlines(), "/s/")
    assert [call.point for call in calls] == [
        Point("openat", 1, "log", changes=False),
        Point("pwrite64", 1, "journal"),
        Point("openat", 1, "", changes=False),
        Point("symlink", 1, "claim"),
        Point("read", 1, "scheduler"),
        Point("openat", 1, "workspace"),
    ]
    assert [call.raw for call in calls if call.point.call == "openat"] == [1, 2, 3]


def test_the_calls_of_a_tick_are_numbered_anew_after_each_of_its_effects():
    lines = ['unlink("/s/a") = 0', "kill(7, 0) = 0", 'unlink("/x") = 0', 'unlink("/s/b") = 0']
    calls = read_trace(lines, "/s/", since=4)
    assert [call for call in calls if call.point.touches] == [
        (Point("unlink", 1, "workspace", since=4), 1),
        (Point("unlink", 1, "workspace", since=5), 3),
    ]
    assert [call.point.when for call in calls] == [1, 1, 2]


def test_all_calls_are_tried_those_that_change_something_first_and_rare_ones_a_few_times():
    coverage = Coverage()
    look, change, rare = (
        Point("read", 1, "log", changes=False),
        Point("write", 1, "log"),
        Point("poll", 9, "scheduler"),
    )
    coverage.survey("scene", [[look, change, rare], [look, change]])
    assert coverage.take(9) == ("scene", [change])
    assert coverage.take(9) == ("scene", [rare])
    assert coverage.take(9) == ("scene", [look])
    assert coverage.take(9) == ("", [])
    coverage.settle("scene", [change, rare], Row("x", 1, hits=[change], missed=[rare]))
    coverage.settle("scene", [look], Row("x", 1, hits=[look]))
    for _ in range(5):
        assert coverage.take(9) == ("scene", [rare])
        assert coverage.remains
        coverage.settle("scene", [rare], Row("x", 1, missed=[rare]))
    assert not coverage.remains
    assert coverage.cells() == {"scene": {"log": [1, 1, 1, 1, 0, 0], "scheduler": [0, 0, 0, 0, 0, 1]}}


def test_a_call_without_which_a_tick_has_ended_is_one_that_ticks_make_at_times():
    coverage = Coverage()
    poll = Point("poll", 3, "scheduler")
    coverage.survey("scene", [[poll]])
    assert coverage.cells() == {"scene": {"scheduler": [0, 1, 0, 0, 0, 0]}}
    coverage.settle("scene", [poll], Row("x", 1, missed=[poll], absent=[poll]))
    coverage.settle("scene", [], Row("x", 2, hits=[replace(poll, number=4)]))
    assert coverage.cells() == {"scene": {"scheduler": [0, 0, 0, 0, 1, 2]}}


def test_a_call_is_looked_for_wherever_strace_has_counted_it():
    coverage = Coverage()
    coverage.survey("scene", [[Point("openat", 2, "log", when=17)], [Point("openat", 2, "log", when=19)]])
    counted = []
    for _ in range(3):
        _, [point] = coverage.take(1)
        counted.append(point.when)
        coverage.settle("scene", [point], Row("x", 1, missed=[point]))
    assert counted == [17, 19, 17]


def test_a_campaign_goes_on_where_an_earlier_one_in_its_folder_has_ended(tmp_path: Path):
    row = Row("log-full", 1, tried=3, studies=2)
    (tmp_path / "rows.jsonl").write_text(json.dumps(asdict(row)) + "\n")
    tallies = Campaign(tmp_path, {"log-full": 3}, workers=1, seed=2, minutes=1).run()
    assert (tallies["log-full"].tried, tallies["log-full"].studies) == (3, 2)
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.jsonl"]


def tables_of_the_document() -> list[list[list[str]]]:
    text = DOCUMENT.read_text()
    parts = text[text.index(BEGIN) : text.index(END)].split("\n\n")
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
        for part in parts
        if part.startswith("|")
    ]


def test_the_document_shows_every_fault_many_times_and_nothing_broken():
    head, _, *rows, total = tables_of_the_document()[0]
    faults = {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in rows}
    both = dict(zip(head, total, strict=True))

    assert set(faults) == set(FAULTS) - {SURVEY}
    assert all(int(row["times"]) > 0 for row in faults.values())
    assert [both[key] for key in ("lost", "doubled", "wrongly failed")] == ["0", "0", "0"]
    assert int(both["no verdict"]) * 100 < int(both["studies"])  # trials that broke off prove nothing, and are few
    kills = sum(int(faults[name]["times"]) for name in ("tick-killed", "tick-killed-anytime", "client-killed"))
    assert kills >= 2000


@pytest.mark.parametrize(
    ("fault", "scenes"),
    [("tick-killed", [name for name in SCENES if name != TOGETHER]), ("client-killed", ["sbatch"])],
)
def test_the_document_shows_kills_at_every_call_that_changes_something_in_every_scene(fault: str, scenes: list[str]):
    [table] = [table for table in tables_of_the_document() if table[0][0] == f"`{fault}`"]
    head, _, *rows = table
    counts = {row[0]: row[head.index("all")].split("**")[1].split("/") for row in rows}
    missing = {name: int(known) - int(tried) for name, (tried, known) in counts.items() if tried != known}
    assert [name for name in counts if name != "**all**"] == scenes
    assert not missing
