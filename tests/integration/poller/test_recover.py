"""A lost log is made again from an older export: what has run is not run again, what is in flight is found again."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.core import events as e
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.creation.recover import RecoveryPlan, check_lost, plan_recovery, recover
from maestro_es.errors import DamagedLog, RequestRefused, StudyCopied, StudyError, Unreachable
from maestro_es.poller.preview import preview
from maestro_es.store.log_export import ExportReader, line, write_file
from maestro_es.store.verification import verify
from maestro_es.study import last_tick
from maestro_es.study.session import Session
from tools.testbed import processes
from tools.testbed.studies import Bench, Step


def export(bench: Bench) -> Path:
    path = bench.root.with_name("export.jsonl")
    with bench.open() as study:
        write_file(map(line, study.log.sealed_rows()), path)
    return path


def lose(bench: Bench) -> None:
    for name in ("events.db", "events.db-journal"):
        (bench.root / name).unlink(missing_ok=True)


def recovered(bench: Bench, path: Path) -> dict[str, str]:
    """Make the log again; returns what became of the steps."""
    plan = recover(ExportReader(path), bench.root, bench.runtime, "the disk died")
    with bench.open() as study:
        verify(study.log)
        assert study.graph.study.study_id == plan.study_id
    return {found.step.name: found.becomes for found in plan.recoveries}


def runs(bench: Bench) -> dict[int, int]:
    """Return how often each step has run, by its number, after the check that no token has run twice."""
    bench.check()
    return dict(collections.Counter(int(token.split("-")[1]) for token in bench.signed()))


def wait_for(bench: Bench, count: int) -> None:
    """Wait until so many attempts have begun, without a tick."""
    processes.wait_for(lambda: len(bench.signed()) >= count)


def wait_for_report(bench: Bench) -> None:
    """Wait until a step has ended, without a tick."""
    processes.wait_for(lambda: any(".exit" in report.name for report in bench.dir.inbox.iterdir()))


def tree(bench: Bench, seconds: float = 0.05, *, scheduled: bool = False) -> list[Step]:
    """Return one step, three that wait for it, one that waits for all of these, and one for that."""
    cmd = f"{bench.sign}; sleep {seconds}"
    sims = [Step(f"sim{n}", cmd, template="sim", parents=("make",), scheduled=scheduled) for n in range(3)]
    return [
        Step("make", cmd),
        *sims,
        Step("post", cmd, funnels=("sim",), scheduled=scheduled),
        Step("end", cmd, parents=("post",)),
    ]


def tick(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.tick()
        time.sleep(0.04)


@pytest.mark.parametrize("before", [0, 1, 3, 5, 8])
@pytest.mark.parametrize("after", [0, 1, 2, 4, 7, 20])
def test_a_study_goes_on_as_if_its_log_had_never_been_lost(bench: Bench, before: int, after: int):
    bench.create(*tree(bench))
    tick(bench, before)
    path = export(bench)
    tick(bench, after)
    lose(bench)

    recovered(bench, path)

    assert bench.finish() is StudyStatus.FINISHED
    assert runs(bench) == dict.fromkeys(range(1, 7), 1)


@pytest.mark.parametrize("seed", range(6))
def test_a_study_of_scheduled_steps_goes_on_as_if_its_log_had_never_been_lost(cluster: Bench, seed: int):
    rng = random.Random(seed)  # noqa: S311 - no secret
    cluster.create(*tree(cluster, scheduled=True))

    def go_on(count: int) -> None:
        for _ in range(count):
            tick(cluster, 1)
            if rng.random() < 0.6:
                cluster.scheduler.start()

    go_on(rng.randrange(6))
    path = export(cluster)
    go_on(rng.randrange(12))
    lose(cluster)

    recovered(cluster, path)

    cluster.scheduler.switch("autostart")
    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED
    assert runs(cluster) == dict.fromkeys(range(1, 7), 1)


def test_a_job_that_was_submitted_after_the_export_is_adopted_by_its_token(cluster: Bench):
    cluster.create(Step("one", cluster.sign, scheduled=True))
    path = export(cluster)
    cluster.tick()
    [job] = cluster.scheduler.jobs()
    lose(cluster)

    assert recovered(cluster, path) == {"one": "adopted"}

    [submitted] = cluster.events(e.JobSubmitted)
    assert (submitted.token, submitted.job_id, submitted.adopted) == (job.token, job.job_id, True)
    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED
    assert cluster.signed() == [job.token]


def test_a_report_that_nobody_has_read_ends_its_step(cluster: Bench):
    cluster.create(Step("one", f"{cluster.sign}; exit 3", scheduled=True))
    path = export(cluster)
    cluster.tick()
    cluster.scheduler.start()
    wait_for_report(cluster)
    lose(cluster)
    while not cluster.scheduler.forget():
        time.sleep(0.01)

    recovered(cluster, path)

    assert cluster.finish() is StudyStatus.FAILURE
    assert len(cluster.signed()) == 1


def start_and_forget(bench: Bench, exit_code: int = 0) -> Path:
    """Let a step run to its end after an export, and leave no trace of it but its claim."""
    bench.create(Step("one", f"{bench.sign}; exit {exit_code}"), Step("two", bench.sign, parents=("one",)))
    path = export(bench)
    bench.tick()
    wait_for_report(bench)
    for report in bench.dir.inbox.iterdir():
        report.unlink()
    job = int(bench.step("one").job_id)
    processes.wait_for(lambda: not process.session_members(job))  # without a tick, which would submit the step again
    return path


def test_a_step_of_which_nobody_knows_how_it_ended_is_held_for_a_person(bench: Bench):
    path = start_and_forget(bench)
    lose(bench)
    bench.dir.status_csv.unlink()

    assert recovered(bench, path) == {"one": "held", "two": "to run"}

    tick(bench, 3)
    assert runs(bench) == {1: 1}
    [held] = bench.events(e.StepHeld, "one")
    assert held.reason.startswith("recovered: attempt 1 began as job ")
    assert bench.step("one").attempt == 1


def test_a_step_that_was_tried_is_known_to_have_let_its_parents_finish(bench: Bench):
    bench.create(Step("one", bench.sign), Step("two", bench.sign, parents=("one",)), Step("three", parents=("two",)))
    path = export(bench)
    bench.until(lambda: bench.step("two").state is State.FINISHED)
    bench.finish()
    lose(bench)
    bench.dir.status_csv.unlink()

    plan = plan_recovery(ExportReader(path), bench.root, bench.runtime)

    assert [found.becomes for found in plan.recoveries] == ["FINISHED", "FINISHED", "held"]
    assert plan.recoveries[0].how == "two, which waits for this step, was tried"


@pytest.mark.parametrize(("code", "state"), [(0, State.FINISHED), (3, State.FAILED)])
def test_an_end_that_a_tick_has_recorded_is_known_by_the_status_table(bench: Bench, code: int, state: State):
    bench.create(Step("one", f"{bench.sign}; exit {code}"), Step("two", bench.sign, parents=("one",)))
    path = export(bench)
    bench.finish()
    lose(bench)

    becomes = recovered(bench, path)

    assert becomes == {"one": state.name, "two": state.name}
    assert bench.status is (StudyStatus.FINISHED if code == 0 else StudyStatus.FAILURE)
    assert bench.step("one").job_id
    assert runs(bench) == ({1: 1, 2: 1} if code == 0 else {1: 1})


def test_a_status_table_that_is_older_than_the_export_says_nothing(bench: Bench):
    path = start_and_forget(bench)
    lose(bench)
    os.utime(bench.dir.status_csv, (1, 1))

    assert recovered(bench, path)["one"] == "held"


def test_a_status_table_that_was_cut_off_says_nothing_and_that_is_said(bench: Bench):
    path = start_and_forget(bench)
    lose(bench)
    bench.dir.status_csv.write_text(bench.dir.status_csv.read_text()[:-30])

    plan = recover(ExportReader(path), bench.root, bench.runtime, "")

    assert plan.recoveries[0].becomes == "held"
    assert "status.csv: is ignored" in plan.warnings[0]


def test_an_attempt_that_was_given_up_before_it_started_is_followed_by_another(cluster: Bench):
    cluster.create(Step("one", cluster.sign, scheduled=True))
    path = export(cluster)
    cluster.scheduler.plan("deaf")
    cluster.until(lambda: cluster.events(e.AttemptAbandoned))
    cluster.scheduler.forget()
    with contextlib.suppress(FileNotFoundError):
        for job in cluster.scheduler.jobs():
            cluster.scheduler._path(job).unlink()
    lose(cluster)

    assert recovered(cluster, path) == {"one": "to run"}

    cluster.scheduler.switch("autostart")
    assert cluster.finish() is StudyStatus.FINISHED
    assert [event.attempt for event in cluster.events(e.SubmissionRequested)] == [2]


def test_of_two_jobs_of_a_step_one_is_adopted_and_the_other_can_not_start(cluster: Bench):
    cluster.create(Step("one", cluster.sign, scheduled=True))
    path = export(cluster)
    cluster.tick()
    lose(cluster)
    cluster.dir.log.write_bytes(b"")
    cluster.dir.log.unlink()
    recovered(cluster, path)
    lose(cluster)
    [first] = cluster.scheduler.jobs()
    other = f"feedfeed-1-2-{'0' * 8}"
    argv = [first.argv[0], other, *first.argv[2:]]
    cluster.scheduler._save(type(first)(2, "2000", other, argv, first.environment, first.workspace))

    assert recovered(cluster, path) == {"one": "adopted"}

    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED
    assert cluster.signed() == [other]


def test_a_step_that_was_run_again_by_a_person_goes_on(bench: Bench):
    from maestro_es.core.rerun import retry  # noqa: PLC0415 - for this test alone

    flag = bench.root.with_name("flag")
    bench.create(Step("one", f"{bench.sign}; test -e {flag}"), Step("two", bench.sign, parents=("one",)))
    assert bench.finish() is StudyStatus.FAILURE
    path = export(bench)
    flag.touch()
    with bench.open() as study:
        study.request(lambda graph: retry(graph, ["one"]))
    bench.finish()
    lose(bench)

    becomes = recovered(bench, path)

    assert becomes == {"one": "FINISHED", "two": "FINISHED"}
    assert bench.status is StudyStatus.FINISHED
    assert runs(bench) == {1: 2, 2: 1}


def test_a_scheduler_that_does_not_answer_leaves_everything_as_it_was(cluster: Bench):
    cluster.create(Step("one", cluster.sign, scheduled=True))
    path = export(cluster)
    lose(cluster)
    cluster.scheduler.switch("unreachable")

    with pytest.raises(Unreachable, match="the controller does not answer"):
        recover(ExportReader(path), cluster.root, cluster.runtime, "")
    assert not cluster.dir.log.exists()


def test_a_study_that_has_a_log_is_not_recovered(bench: Bench):
    bench.create(Step("one"))
    path = export(bench)

    with pytest.raises(RequestRefused, match="has an event log; if 'maestro-es verify' says"):
        recover(ExportReader(path), bench.root, bench.runtime, "")


def test_a_directory_that_is_not_there_is_not_recovered(bench: Bench, tmp_path: Path):
    bench.create(Step("one"))
    path = export(bench)

    with pytest.raises(StudyError, match="there is no such directory; 'maestro-es import-log' creates one"):
        recover(ExportReader(path), tmp_path / "nowhere", bench.runtime, "")
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_of_a_study_that_is_alive_is_not_recovered(bench: Bench, tmp_path: Path):
    bench.create(Step("one"))
    path = export(bench)
    (tmp_path / "copy").mkdir()

    with pytest.raises(StudyCopied, match=r"copy: a copy of .*, whose log is still there"):
        recover(ExportReader(path), tmp_path / "copy", bench.runtime, "")


def test_a_process_that_still_writes_the_lost_log_is_in_the_way(bench: Bench):
    bench.create(Step("one"))
    export(bench)
    words = [sys.executable, "-c", f"file = open({str(bench.dir.log)!r}); print(flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        lose(bench)
        with pytest.raises(RequestRefused, match=f"process {writer.pid} .* still uses the lost log; end it first"):
            check_lost(bench.root)
        writer.kill()
    check_lost(bench.root)


def test_a_journal_of_the_lost_log_does_not_spoil_the_new_one(bench: Bench):
    bench.create(Step("one", bench.sign))
    path = export(bench)
    lose(bench)
    (bench.root / "events.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0\0\0\1" * 2000)

    recovered(bench, path)

    assert bench.finish() is StudyStatus.FINISHED


def test_an_export_that_was_damaged_is_refused_unless_its_beginning_is_enough(bench: Bench):
    bench.create(*tree(bench))
    tick(bench, 3)
    path = export(bench)
    bench.finish()
    lose(bench)
    path.write_text(path.read_text()[:-20])

    with pytest.raises(DamagedLog, match="this is not an event of an export"):
        recover(ExportReader(path), bench.root, bench.runtime, "")
    recover(ExportReader(path, upto_damage=True), bench.root, bench.runtime, "")
    assert bench.finish() is StudyStatus.FINISHED
    assert runs(bench) == dict.fromkeys(range(1, 7), 1)


def test_a_plan_changes_nothing(bench: Bench):
    bench.create(*tree(bench))
    path = export(bench)
    tick(bench, 2)
    bench.until(lambda: bench.step("make").state is State.FINISHED)
    lose(bench)
    processes.wait_for(lambda: not processes.running_under(bench.root))
    before = sorted(str(found) for found in bench.root.rglob("*"))

    plan = plan_recovery(ExportReader(path), bench.root, bench.runtime)

    assert isinstance(plan, RecoveryPlan)
    assert sorted(str(found) for found in bench.root.rglob("*")) == before


def test_a_running_step_is_found_by_its_process(bench: Bench):
    bench.create(Step("one", f"{bench.sign}; sleep 1"))
    path = export(bench)
    bench.tick()
    wait_for(bench, 1)
    lose(bench)

    assert recovered(bench, path) == {"one": "adopted"}
    assert bench.step("one").phase is Phase.SUBMITTED
    assert bench.finish() is StudyStatus.FINISHED
    assert runs(bench) == {1: 1}


def test_what_was_recovered_is_told(bench: Bench):
    bench.create(Step("one", bench.sign))
    path = export(bench)
    bench.finish()
    lose(bench)

    recovered(bench, path)

    [lost] = bench.events(e.LogRecovered)
    assert lost.reason == "the disk died"
    with Session(bench.root, bench.runtime) as study:
        assert study.log.events_of(1)
    [found] = bench.events(e.StepRecovered, "one")
    assert {said.source for said in found.evidence} == {"status.csv", "claim"}


@pytest.mark.parametrize("appended", [0, 30], ids=["", "with events of its own since"])
def test_an_older_copy_of_the_log_is_not_ticked_until_it_is_recovered(bench: Bench, appended: int):
    bench.create(Step("one", bench.sign), Step("two", bench.sign, parents=("one",)))
    bench.tick()
    older = bench.dir.log.read_bytes()
    bench.until(lambda: len(bench.signed()) == 2)
    wait_for_report(bench)
    bench.tick()
    bench.dir.log.write_bytes(older)
    for number in range(appended):
        with bench.open() as study:
            study.log.append([(None, e.StudyPaused(str(number))), (None, e.StudyResumed())])

    for _ in range(2):
        with pytest.raises(StudyError, match="an older copy was put in its place: it lacks event"):
            bench.tick()
    with pytest.raises(StudyError, match="older copy"), bench.open() as study:
        preview(study.log, bench.root, bench.runtime)

    path = export(bench)
    lose(bench)
    assert recovered(bench, path) == {"one": "FINISHED", "two": "held" if appended else "FINISHED"}
    bench.tick()
    assert len(bench.signed()) == 2


def test_an_older_copy_of_the_log_is_noticed_while_status_csv_is_late(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.create(Step("one", bench.sign), Step("two", bench.sign, parents=("one",)))
    bench.tick()
    monkeypatch.setattr(last_tick, "_LARGE", 10)
    monkeypatch.setattr(last_tick, "_BYTES_A_SECOND", 1)
    shown, older = bench.dir.status_csv.read_bytes(), bench.dir.log.read_bytes()
    wait_for_report(bench)
    bench.tick()
    assert bench.dir.status_csv.read_bytes() == shown
    bench.dir.log.write_bytes(older)

    with pytest.raises(StudyError, match="an older copy was put in its place: it lacks event"):
        bench.tick()


def test_a_shorter_note_of_the_last_tick_and_one_without_a_job_can_be_read(bench: Bench):
    bench.create(Step("one", bench.sign))
    digest = b"d" * 32
    for job in ("pbs:" + "1234.server.with.a.long.domain" * 4, ""):
        noted = last_tick.Note(7, digest, True, "host", "CRON", job, 0xF0)
        last_tick.note(bench.dir, noted)
        assert last_tick.read(bench.dir) == noted
    bench.dir.last_tick.write_text(f"7 {digest.hex()} shown host CRON\n")
    assert last_tick.read(bench.dir) == noted._replace(cpus=0)


def test_a_note_of_the_last_tick_that_is_cut_off_or_garbage_says_nothing(bench: Bench):
    bench.create(Step("one", bench.sign))
    for note in (b"", b"12", b"a b", b"12 cafe shown cafe", b"1 zz late"):
        (bench.dir.state / "last-tick").write_bytes(note)
        bench.tick()
