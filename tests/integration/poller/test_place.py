"""Where a study lies, and whose it is: moved, copied, and open to others."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.model import State, StudyStatus
from maestro_es.errors import StudyCopied, StudyError
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.study import registry
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tools.testbed.processes import running_under, wait_for
from tools.testbed.studies import Bench, Step


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def half_done(bench: Bench) -> None:
    """Make a study of two steps, of which the first has run."""
    bench.create(Step("a", bench.sign), Step("b", f"{bench.sign}; pwd >where", parents=("a",)))
    bench.tick()
    wait_for(lambda: any(bench.dir.inbox.iterdir()) and not running_under(bench.root))


def test_a_moved_study_goes_on_and_the_log_says_from_where(bench: Bench):
    half_done(bench)
    moved = Bench(bench.root.with_name("another place"))
    bench.root.rename(moved.root)

    assert moved.finish() is StudyStatus.FINISHED
    assert [(event.before, event.after) for event in moved.events(e.StudyRelocated)] == [
        (str(bench.root), str(moved.root))
    ]
    assert (moved.root / "b/where").read_text() == f"{moved.root / 'b'}\n"
    assert len(bench.signed()) == 2


@pytest.mark.parametrize("end", ["exit", "walltime", "cancel"])
def test_a_step_that_runs_while_its_study_is_moved_reports_there_and_runs_once(bench: Bench, end: str):
    walltime = "00:00:02" if end == "walltime" else ""
    bench.create(Step("a", f"{bench.sign}; until [ -e go ]; do sleep 0.01; done", walltime=walltime))
    bench.tick()
    wait_for(bench.signed)
    moved = Bench(bench.root.with_name("another place"))
    bench.root.rename(moved.root)
    moved.tick()
    assert [event.after for event in moved.events(e.StudyRelocated)] == [str(moved.root)]

    if end == "exit":
        (moved.root / "a/go").touch()
    if end == "cancel":
        with moved.open() as study:
            study.request(requests.cancel)
    asked = moved.dir.state / "next-tick.calls"
    wait_for(lambda: moved.status is not StudyStatus.RUNNING or asked.exists() or moved.tick() is None)
    expected = {"exit": State.FINISHED, "walltime": State.TIMEDOUT, "cancel": State.CANCELLED}[end]
    moved.finish()
    assert moved.step("a").state is expected
    assert len(bench.signed()) == len(moved.events(e.SubmissionRequested)) == 1
    assert not bench.root.exists()


def test_the_next_tick_follows_a_study_that_is_moved(bench: Bench):
    """With the command that a real study has; nobody else ticks."""
    bench.create(Step("a", "touch ready; until [ -e go ]; do sleep 0.01; done"), Step("b", bench.sign, parents=("a",)))
    bench.dir.next_tick.unlink()
    bench.tick()
    wait_for((bench.root / "a/ready").exists)
    moved = Bench(bench.root.with_name("another place"))
    bench.root.rename(moved.root)
    (moved.root / "a/go").touch()

    wait_for(lambda: moved.status is StudyStatus.FINISHED)
    assert len(moved.events(e.StudyRelocated)) == 1
    assert moved.events(e.HardwareFailed) == []


def test_a_symbolic_link_to_a_study_is_the_study(bench: Bench):
    half_done(bench)
    link = bench.root.with_name("link")
    link.symlink_to(bench.root)

    assert Bench(link).finish() is StudyStatus.FINISHED
    assert bench.events(e.StudyRelocated) == []


def test_a_study_that_is_mounted_at_two_places_is_no_copy(bench: Bench):
    half_done(bench)
    other = Bench(bench.root.with_name("mounted"))
    other.root.mkdir()
    if subprocess.run(
        ["mount", "--bind", str(bench.root), str(other.root)], capture_output=True, check=False
    ).returncode:
        leave_out("nothing can be mounted")
    try:
        assert other.finish() is StudyStatus.FINISHED
        assert len(bench.signed()) == 2
    finally:
        subprocess.run(["umount", "-l", str(other.root)], check=True)


@pytest.mark.parametrize(
    "words",
    ["hold {} a", "release {} a", "cancel -y {}", "cancel -y {} a", "pause {}", "resume {}", "update {} --throttle 2",
     "skip {} a", "retry {} a"],
)  # fmt: skip
def test_a_request_on_a_copy_is_refused_and_not_recorded(bench: Bench, words: str):
    half_done(bench)
    bench.open().log.close()
    copy = bench.root.with_name("copy")
    shutil.copytree(bench.root, copy, symlinks=True)
    before = content(bench.root), content(copy)

    done = maestro_es(*(word.replace("{}", str(copy)) for word in words.split()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert f"{copy}: a copy of {bench.root}, whose log is still there" in done.stderr
    assert (content(bench.root), content(copy)) == before


def test_a_program_can_not_change_a_copy(bench: Bench):
    half_done(bench)
    copy = bench.root.with_name("copy")
    shutil.copytree(bench.root, copy, symlinks=True)
    graph = ExecutionGraph.open(copy)
    before = graph.history()

    with pytest.raises(StudyCopied):
        graph.hold("a")
    with pytest.raises(StudyCopied), graph.batch():
        graph.hold("a")
    assert graph.history() == before


def test_a_copy_is_refused_and_neither_is_touched(bench: Bench):
    half_done(bench)
    copy = Bench(bench.root.with_name("copy"))
    shutil.copytree(bench.root, copy.root, symlinks=True)
    before = content(bench.root), content(copy.root)

    with pytest.raises(StudyCopied, match=r"a copy of .*a study, whose log is still there"):
        copy.tick()
    assert (content(bench.root), content(copy.root)) == before
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 2


def test_a_copy_is_refused_also_after_the_original_was_moved(bench: Bench):
    half_done(bench)
    with bench.open() as study:
        registry.register(study.graph.study.study_id, bench.root)
    copy, moved = (Bench(bench.root.with_name(name)) for name in ("copy", "another place"))
    shutil.copytree(bench.root, copy.root, symlinks=True)
    bench.root.rename(moved.root)
    assert maestro_es("tick", str(moved.root)).returncode == 0

    done = maestro_es("tick", str(copy.root))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert f"{copy.root}: a copy of {moved.root}, whose log is still there" in done.stderr
    assert moved.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 2


@pytest.mark.parametrize("damage", [b"", b"this is no database" * 100])
def test_an_original_whose_log_can_not_be_read_is_still_an_original(bench: Bench, damage: bytes):
    half_done(bench)
    copy = Bench(bench.root.with_name("copy"))
    shutil.copytree(bench.root, copy.root, symlinks=True)
    bench.dir.log.write_bytes(damage)

    with pytest.raises(StudyError, match="it is unknown whether this study is a copy"):
        copy.tick()
    assert copy.events(e.StudyRelocated) == []


def test_another_study_in_the_old_place_is_no_original(bench: Bench):
    half_done(bench)
    moved = Bench(bench.root.with_name("another place"))
    bench.root.rename(moved.root)
    bench.root.write_text("a file, by now")

    assert moved.finish() is StudyStatus.FINISHED


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        ("", 0o002), ("events.db", 0o020), ("events.db", 0o002), (".maestro-es", 0o020), (".maestro-es", 0o002),
        (".maestro-es/runner.sh", 0o020),
    ],
)  # fmt: skip
def test_a_study_that_others_can_write_is_refused(bench: Bench, what: str, mode: int):
    half_done(bench)
    path = bench.root / what
    path.chmod(path.stat().st_mode | mode)

    with pytest.raises(StudyError, match=r"other users can write there; run 'chmod g?o-w"):
        bench.tick()
    assert len(bench.events(e.SubmissionRequested)) == 1


def test_nobody_else_can_put_a_report_into_the_inbox(bench: Bench):
    before = os.umask(0o000)
    try:
        bench.create(Step("a"))
        assert bench.dir.inbox.stat().st_mode & 0o777 == 0o700
        bench.dir.inbox.chmod(0o777)
        bench.tick()
    finally:
        os.umask(before)

    assert bench.dir.inbox.stat().st_mode & 0o777 == 0o755  # what a person has opened for reading stays so


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["", "events.db", ".maestro-es", ".maestro-es/runner.sh"])
def test_a_study_of_another_user_is_refused(bench: Bench, what: str):
    half_done(bench)
    os.chown(bench.root / what, 12345, -1)

    with pytest.raises(StudyError, match=r"belongs to another user \(uid 12345\)"):
        bench.tick()
    os.chown(bench.root / what, 0, -1)
    assert len(bench.events(e.SubmissionRequested)) == 1
