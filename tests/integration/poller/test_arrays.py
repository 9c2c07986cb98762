"""Steps that are submitted as one job array, on commands that stand in for Slurm's; the runners are the real ones."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.adapters import spawner
from maestro_es.adapters.command import run
from maestro_es.core import events as e
from maestro_es.core import rerun
from maestro_es.core.attempt_token import element_of
from maestro_es.core.events import AnyEvent
from maestro_es.core.model import ArrayUse, Settings, State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.performers import LIVE
from maestro_es.poller.tick import advance
from maestro_es.study.invocation import Runtime, make_adapters, now
from tests.fakes.slurm_commands import SlurmCommands
from tools.testbed.foreseen import foreseen, new_events_after, told
from tools.testbed.processes import end_all_under, running_under, wait_for
from tools.testbed.studies import Bench, Step, hasty_adapters

ALWAYS = Settings(array=ArrayUse.ALWAYS)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCommands]:
    commands = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{commands.path}:{os.environ['PATH']}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("maestro_es.core.throttle.BACKOFF", (1, 1))
    yield commands
    end_all_under(tmp_path)
    spawner.reap()


@pytest.fixture
def bench(tmp_path: Path, slurm: SlurmCommands) -> Bench:
    return Bench(tmp_path / "my study", Runtime(adapters=hasty_adapters), {"type": "slurm"}, ALWAYS)


def equal(number: int, cmd: str = "true", template: str = "sim") -> list[Step]:
    return [Step(f"{template}_{n}", cmd, template=template, scheduled=True) for n in range(number)]


def create(bench: Bench, number: int = 3, cmd: str = "") -> None:
    bench.create(*equal(number, cmd or bench.sign))


def ended(bench: Bench, slurm: SlurmCommands) -> StudyStatus:
    """Let all jobs run, and tick to the end."""

    def over() -> bool:
        slurm.start()
        return bench.status is not StudyStatus.RUNNING

    bench.until(over)
    bench.check()
    return bench.status


def calls(slurm: SlurmCommands, command: str) -> list[str]:
    return [call for call in slurm.calls() if call.startswith(f"{command} ")]


def ids(bench: Bench) -> list[str]:
    return [bench.step(f"sim_{n}").job_id for n in range(3)]


def maps(bench: Bench) -> list[Path]:
    return sorted((bench.dir.state / "arrays").glob("*"))


def test_equal_steps_are_submitted_with_one_call_and_each_has_an_id_of_its_own(bench, slurm):
    create(bench)
    bench.tick()

    assert len(calls(slurm, "sbatch")) == 1
    assert "--array=0-2" in calls(slurm, "sbatch")[0]
    assert ids(bench) == ["1_0", "1_1", "1_2"]
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 3


def test_all_requests_of_an_array_are_one_transaction_and_so_are_its_jobs(bench, slurm):
    create(bench)
    bench.tick()
    with bench.open() as study:
        recorded = [(item.event, item.recorded_at) for item in study.log.events()]

    for kind in (e.SubmissionRequested, e.JobSubmitted):
        assert len({at for event, at in recorded if isinstance(event, kind)}) == 1
    assert slurm.calls()


def test_a_step_in_an_array_has_its_own_output_and_sees_no_array(bench, slurm):
    create(bench, cmd="echo out; echo err >&2; env | grep ARRAY; echo id $SLURM_JOB_ID; env | grep SLURM.*NAME; pwd")
    assert ended(bench, slurm) is StudyStatus.FINISHED

    for number in range(3):
        workspace = bench.root / f"sim_{number}"
        lines = ["out", f"id 91{number}", f"SLURM_JOB_NAME=sim_{number}", str(workspace)]
        assert (workspace / f"sim_{number}.out").read_text().splitlines() == lines
        assert (workspace / f"sim_{number}.err").read_text() == "err\n"


def test_nothing_of_an_array_remains_after_its_end(bench, slurm):
    create(bench)
    bench.tick()
    array, _ = element_of(bench.step("sim_0").token) or ("", 0)
    assert [path.name for path in maps(bench)] == [array]
    ended(bench, slurm)

    assert maps(bench) == []
    assert not [path for path in bench.dir.state.iterdir() if "-array-" in path.name]


def test_a_tick_that_cleans_up_leaves_the_map_of_an_array_that_another_tick_submits_meanwhile(bench, slurm):
    create(bench, cmd="[ -e again ] || { touch again; exit 1; }")
    bench.tick()
    slurm.start()
    wait_for(lambda: len([*bench.dir.inbox.glob("*.exit.1")]) == 3)
    retried: list[str] = []

    def retry(effect: str) -> None:
        if effect == "remove" and not retried:
            retried.append(effect)
            with bench.open() as study:
                study.request(lambda graph: rerun.retry(graph, ("sim",)))
            bench.tick()

    bench.tick(on_effect=retry)
    assert retried
    assert len(maps(bench)) == 1
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert not bench.events(e.HardwareFailed)


@pytest.mark.parametrize("key", ["never", "always"])
def test_the_batch_block_says_whether_there_are_arrays(bench, slurm, key):
    bench.settings, bench.adapter = Settings(), {"type": "slurm", "array": key}
    create(bench)
    bench.tick()

    assert len(calls(slurm, "sbatch")) == (3 if key == "never" else 1)


@pytest.mark.parametrize(
    "line",
    ["--output=mine.%j", "-o mine", "--job-name=mine", "-J mine", "--dependency=singleton", "--open-mode=truncate"],
    ids=["its own output", "short", "its own name", "a short name", "a condition on the name", "its own mode"],
)
def test_steps_whose_options_an_array_cant_have_are_submitted_alone(bench, slurm, line):
    create(bench, cmd=f"#SBATCH {line}\ntrue")
    bench.tick()

    assert len(calls(slurm, "sbatch")) == 3
    assert not any("--array" in call for call in calls(slurm, "sbatch"))


def test_each_template_has_an_array_of_its_own(bench, slurm):
    bench.create(*equal(2), *equal(2, "false", "other"), *equal(1, "true", "third"))
    bench.tick()

    assert [call.count("--array=0-1") for call in calls(slurm, "sbatch")] == [1, 1, 0]
    assert [call.partition("--job-name=")[2].split()[0] for call in calls(slurm, "sbatch")] == [
        "sim",
        "other",
        "third_0",
    ]


def test_the_throttle_counts_each_step_of_an_array(bench, slurm):
    bench.settings = Settings(array=ArrayUse.ALWAYS, submission_throttle=2)
    create(bench, 5)
    bench.tick()
    assert "--array=0-1" in calls(slurm, "sbatch")[0]
    bench.tick()
    assert len(calls(slurm, "sbatch")) == 1

    assert ended(bench, slurm) is StudyStatus.FINISHED


# -- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["doubt", "late", "garbage", "twice", "deaf"])
def test_an_array_without_an_answer_is_adopted_once_or_submitted_again(bench, slurm, answer):
    create(bench)
    slurm.plan(answer)
    with contextlib.suppress(Unreachable):
        bench.tick()
    if answer == "late":
        bench.until(lambda: bench.events(e.AttemptAbandoned))
        slurm.deliver()

    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 3


def test_a_late_array_starts_nothing_once_its_attempts_are_given_up(bench, slurm):
    create(bench)
    slurm.plan("late")
    bench.tick()
    bench.until(lambda: len(bench.events(e.JobSubmitted)) == 3)
    slurm.deliver()
    slurm.start()
    wait_for(lambda: all((slurm.folder / f"jobs/1_{n}/code").exists() for n in range(3)))

    assert [(slurm.folder / f"jobs/1_{n}/code").read_text() for n in range(3)] == ["75\n"] * 3
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 3


def test_a_refused_array_refuses_each_of_its_steps(bench, slurm):
    create(bench)
    slurm.plan("refuse")
    bench.tick()

    assert [bench.step(f"sim_{n}").state for n in range(3)] == [State.FAILED] * 3
    assert "Invalid partition" in bench.step("sim_2").message


@pytest.mark.parametrize("answer", ["full array", "no array"])
def test_without_room_for_all_a_smaller_array_follows_at_once(bench, slurm, answer):
    create(bench, 8)
    slurm.plan(answer, answer)
    bench.tick()

    assert [call.count("--array=0-") for call in calls(slurm, "sbatch")[:3]] == [1, 1, 1]
    assert ["--array=0-7" in calls(slurm, "sbatch")[0], "--array=0-3" in calls(slurm, "sbatch")[1]] == [True, True]
    assert "--array=0-1" in calls(slurm, "sbatch")[2]
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 8
    withdrawn = [event for event in bench.events(e.SubmissionWithdrawn) if event.message]
    assert [event.together for event in withdrawn[:2]] == [8, 4]


def test_if_there_is_room_for_none_the_study_waits_and_no_step_fails(bench, slurm):
    create(bench, 4)
    slurm.plan("full", "full", "full")
    bench.tick()

    assert {bench.step(f"sim_{n}").state for n in range(4)} == {State.INITIALIZED}
    assert len(calls(slurm, "sbatch")) == 3
    assert ended(bench, slurm) is StudyStatus.FINISHED


def test_a_tick_that_dies_before_it_calls_leaves_an_array_that_is_submitted_again(bench, slurm):
    create(bench)

    def die(effect: str) -> None:
        if effect == "append":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.tick(on_effect=die)
    assert len(bench.events(e.SubmissionRequested)) == 3
    assert calls(slurm, "sbatch") == []

    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 3


def test_a_step_whose_script_cant_be_written_fails_alone(bench, slurm):
    create(bench, 4)
    (bench.root / "sim_1").write_text("in the way")
    bench.tick()

    assert bench.step("sim_1").state is State.FAILED
    assert "--array=0,2-3" in calls(slurm, "sbatch")[0]
    assert ended(bench, slurm) is StudyStatus.FAILURE
    assert len(bench.signed()) == 3


def test_a_tick_that_gives_up_one_step_leaves_the_link_by_which_another_tick_submits_the_others(bench, slurm):
    """sbatch reads the runner through the link of the array."""
    real = slurm.path / "sbatch.real"
    (slurm.path / "sbatch").rename(real)
    (slurm.path / "sbatch").write_text(
        f"#!/bin/sh\ntouch {slurm.folder}/called\nuntil [ -e {slurm.folder}/go ]; do sleep 0.02; done\n"
        f'exec {real} "$@"\n'
    )
    (slurm.path / "sbatch").chmod(0o755)
    create(bench)
    first = threading.Thread(target=bench.tick)
    first.start()
    wait_for((slurm.folder / "called").exists)
    with bench.open() as study:
        study.request(lambda graph: [(None, e.CancelRequested(steps=(2,)))] if graph else [])
    bench.runtime = Runtime(adapters=make_adapters)
    bench.tick()
    assert [event.token for event in bench.events(e.AttemptAbandoned)] == [bench.step("sim_1").token]
    (slurm.folder / "go").touch()
    first.join()
    assert [bench.step(f"sim_{n}").job_id for n in (0, 2)] == ["1_0", "1_2"]


# -- single elements -------------------------------------------------------------------------------------------------


def test_one_step_of_an_array_is_cancelled_by_its_index(bench, slurm):
    create(bench, cmd="touch ready; sleep 60")
    bench.tick()
    slurm.start()
    wait_for(lambda: all((bench.root / f"sim_{n}/ready").exists() for n in range(3)))
    with bench.open() as study:
        study.request(lambda graph: [(None, e.CancelRequested(steps=(2,)))] if graph else [])
    bench.tick()

    assert calls(slurm, "scancel") == ["scancel --quiet 1_[1]"]
    bench.until(lambda: bench.step("sim_1").state is State.CANCELLED)
    bench.tick()
    assert [bench.step(f"sim_{n}").state for n in (0, 2)] == [State.RUNNING] * 2


def test_a_cancelled_study_ends_each_array_with_one_argument(bench, slurm):
    create(bench, cmd="touch ready; sleep 60")
    bench.tick()
    slurm.start()
    wait_for(lambda: all((bench.root / f"sim_{n}/ready").exists() for n in range(3)))
    with bench.open() as study:
        study.request(lambda graph: [(None, e.CancelRequested())] if graph else [])
    bench.until(lambda: bench.status is StudyStatus.CANCELLED)

    assert calls(slurm, "scancel")[0] == "scancel --quiet 1_[0-2]"
    wait_for(lambda: not running_under(bench.root))


def test_a_retried_step_of_an_array_keeps_the_output_of_both_attempts(bench, slurm):
    bench.settings = Settings(array=ArrayUse.ALWAYS)
    create(bench, cmd="echo again; [ -e once ] || { touch once; kill -9 $$; }")
    bench.tick()
    slurm.start()
    bench.until(lambda: bench.status is not StudyStatus.RUNNING)
    with bench.open() as study:
        study.request(lambda graph: rerun.retry(graph, ("sim_0", "sim_1"), failed=False, descendants=False))
    assert ended(bench, slurm) is not StudyStatus.RUNNING
    assert (bench.root / "sim_1/sim_1.1_1.out").read_text() == "again\n"
    assert (bench.root / "sim_1/sim_1.out").read_text() == "again\n"


def test_a_cancelled_array_without_indexes_stands_for_all_that_has_not_started(bench, slurm):
    create(bench)
    bench.tick()
    jobs = slurm.folder / "jobs"
    line = (jobs / "1_0/line").read_text()
    for index in range(3):
        (jobs / f"1_{index}/hidden").touch()
    (jobs / "1").mkdir()
    (jobs / "1/line").write_text(line)
    (jobs / "1/cancelled").touch()
    bench.tick()

    assert [bench.step(f"sim_{n}").state for n in range(3)] == [State.CANCELLED] * 3
    assert "outside" in bench.step("sim_0").message


def test_the_jobs_of_an_array_are_found_although_the_log_is_lost(bench, slurm):
    create(bench)
    bench.tick()
    tokens = [bench.step(f"sim_{n}").token for n in range(3)]
    with bench.open() as study:
        jobs = study.adapters.scheduler.find_by_token([str(bench.dir.runner)])

    assert {token: info.job_id for token, info in jobs.items()} == dict(
        zip(tokens, ["1_0", "1_1", "1_2"], strict=True)
    )
    assert slurm.calls()


def test_a_few_hundred_scattered_elements_are_told_apart_and_cancelled(bench, slurm):
    create(bench, 300, cmd=":")
    bench.tick()
    with bench.open() as study:
        study.request(lambda _graph: [(None, e.CancelRequested(steps=tuple(range(1, 301, 3))))])
    bench.tick()
    [call] = calls(slurm, "scancel")

    assert call == "scancel --quiet 1_[" + ",".join(str(n) for n in range(0, 300, 3)) + "]"
    bench.tick()
    assert [bench.step(f"sim_{n}").state for n in (0, 1, 2, 3)] == [
        State.CANCELLED, State.PENDING, State.PENDING, State.CANCELLED,
    ]  # fmt: skip


# -- the runner ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "cut off", "another index", "too short"])
def test_a_job_that_does_not_find_its_line_in_the_map_starts_nothing(bench, slurm, damage):
    create(bench)
    bench.tick()
    [path] = maps(bench)
    lines = path.read_text().splitlines()
    if damage == "gone":
        path.unlink()
    elif damage == "cut off":
        path.write_text("\n".join(line[: len(line) - 6] for line in lines))
    elif damage == "another index":
        path.write_text("\n".join(f"7{line}" for line in lines) + "\n")
    else:
        path.write_text("")
    slurm.start()
    wait_for(lambda: all((slurm.folder / f"jobs/1_{n}/code").exists() for n in range(3)))

    assert {(slurm.folder / f"jobs/1_{n}/code").read_text() for n in range(3)} == {"75\n"}
    assert [entry.name for entry in bench.dir.inbox.iterdir()] == [f"{path.name}.unindexed"]
    assert bench.signed() == []
    bench.tick()
    assert [event.report for event in bench.events(e.ReportIgnored)] == [f"{path.name}.unindexed"]


@pytest.mark.parametrize("variables", [{}, {"SLURM_ARRAY_TASK_ID": ""}, {"SLURM_ARRAY_TASK_ID": "x"}])
def test_a_job_of_an_array_without_an_index_starts_nothing(bench, slurm, variables):
    create(bench)
    bench.tick()
    words = (slurm.folder / "jobs/1_0/words").read_text().split("\0")[:-1]
    done = run(["/bin/sh", str(bench.dir.runner), *words], env={**_bare(), "SLURM_JOB_ID": "7", **variables})

    assert done.code == 75
    assert bench.signed() == []


def test_a_job_of_its_own_that_an_array_has_submitted_takes_no_index_for_its_own(bench, slurm):
    """sbatch in a job of an array passes the variables of the array on."""
    bench.create(Step("one", bench.sign, scheduled=True))
    bench.tick()
    job = slurm.folder / "jobs/1"
    with (job / "env").open("a") as file:
        file.write("SLURM_ARRAY_JOB_ID=5\0SLURM_ARRAY_TASK_ID=2\0")

    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert bench.step("one").job_id == "1"


def _bare() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


def test_a_second_start_of_a_job_of_an_array_is_refused_and_keeps_the_output(bench, slurm):
    create(bench, cmd="echo first; touch ready; until [ -e go ]; do sleep 0.01; done")
    bench.tick()
    slurm.start()
    wait_for(lambda: all((bench.root / f"sim_{n}/ready").exists() for n in range(3)))
    words = (slurm.folder / "jobs/1_1/words").read_text().split("\0")[:-1]
    again = {**_bare(), "SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "1"}
    done = run(["/bin/sh", str(bench.dir.runner), *words], env=again)

    assert done.code == 75
    assert f"{bench.step('sim_1').token}.refused.1_1" in {entry.name for entry in bench.dir.inbox.iterdir()}
    for number in range(3):
        (bench.root / f"sim_{number}/go").touch()
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert (bench.root / "sim_1/sim_1.out").read_text() == "first\n"


# -- previews --------------------------------------------------------------------------------------------------------


def commands_of(slurm: SlurmCommands) -> list[str]:
    return [call for call in slurm.calls() if call.split()[0] in {"sbatch", "scancel"}]


def kinds(new_events: list[tuple[int | None, AnyEvent]], suffix: str) -> object:
    return told(new_events, {suffix})


def test_a_step_whose_output_file_cant_be_opened_has_not_started_and_runs_again(bench, slurm):
    create(bench)
    bench.tick()
    (bench.root / "sim_1/sim_1.err").mkdir()  # the next attempt renames it

    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.events(e.HardwareFailed)) == 1
    assert len(bench.signed()) == 3


def test_a_preview_shows_the_array_that_the_next_tick_submits(bench, slurm):
    create(bench, 5)
    found = foreseen(bench.root, bench.runtime)
    with bench.open(token_suffix=lambda: "5a175a17") as study:
        seq = study.log.head.seq
        advance(study, LIVE)

    assert [" ".join(command.argv).replace("dry", "5a175a17") for command in found.commands] == commands_of(slurm)
    assert [command.steps for command in found.commands] == [(1, 2, 3, 4, 5)]
    assert kinds(found.new_events, "dry") == kinds(new_events_after(bench.root, seq), "5a175a17")


def test_a_preview_shows_all_rounds_of_a_tick(bench, slurm, monkeypatch):
    monkeypatch.setattr("maestro_es.core.arrays.ROUND_CALLS", 2)
    bench.settings = Settings(array=ArrayUse.NEVER)
    create(bench, 5)
    found = foreseen(bench.root, bench.runtime)
    with bench.open(token_suffix=lambda: "5a175a17") as study:
        advance(study, LIVE)

    assert [" ".join(command.argv).replace("dry", "5a175a17") for command in found.commands] == commands_of(slurm)
    assert len(commands_of(slurm)) == 5


def test_a_tick_submits_for_a_bounded_time_and_the_next_one_goes_on(bench, slurm, monkeypatch):
    monkeypatch.setattr("maestro_es.core.arrays.ROUND_CALLS", 2)
    bench.settings = Settings(array=ArrayUse.NEVER)
    create(bench, 5)
    bench.tick(submit_seconds=0.0)
    first = len(calls(slurm, "sbatch"))

    assert 1 <= first <= 2
    assert ended(bench, slurm) is StudyStatus.FINISHED
    assert len(bench.signed()) == 5


@pytest.mark.parametrize("returns", [True, False])
def test_an_element_that_is_missing_from_its_array_has_a_grace_time(bench: Bench, slurm: SlurmCommands, returns: bool):
    """The accounting may lag. So the job may have ended in another way, or the list may have lacked it by mistake."""
    create(bench)
    bench.tick()
    bench.tick()
    (slurm.folder / "jobs/1_1/hidden").touch()
    patient = {"adapters": make_adapters}
    for _ in range(3):
        bench.tick(**patient)
        assert states_of(bench) == [State.PENDING] * 3

    if returns:
        slurm.deliver()
        assert ended(bench, slurm) is StudyStatus.FINISHED
    else:
        later = now() + 61_000_000
        bench.tick(**patient, now=lambda: later)
        assert states_of(bench)[1] is State.CANCELLED
        slurm.deliver()  # too late: the tick has its claim
        assert ended(bench, slurm) is StudyStatus.CANCELLED
    assert len(bench.signed()) == (3 if returns else 2)


def states_of(bench: Bench) -> list[State]:
    with bench.open() as study:
        return [step.state for step in study.graph.steps()]
