"""The public class, over real logs and real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from maestro_es import ExecutionGraph, State, StudyStatus, StudyStep
from maestro_es.adapters.host import this_host
from maestro_es.core import events as e
from maestro_es.core.model import CancelCode, JobStatusCode, Param, StepRecord, SubmissionKind
from maestro_es.errors import LogUnavailable, NotAStudy, RequestRefused
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.testbed.processes import DEADLINE
from tools.testbed.studies import quick_adapters


def _run(graph: ExecutionGraph, seconds: float = DEADLINE) -> StudyStatus:
    """Tick until the graph has ended."""
    deadline = time.monotonic() + seconds
    while (status := graph.execute_ready_steps()) is StudyStatus.RUNNING and time.monotonic() < deadline:
        time.sleep(0.02)
    return status


def _add(graph: ExecutionGraph, name: str, cmd: str = "true", **run: object) -> None:
    graph.add_step(name, StudyStep(name, "a step", {"cmd": cmd, **run}), name, 0)


def _add_together(graph: ExecutionGraph, *names: str) -> None:
    with graph.batch():
        for name in names:
            _add(graph, name)


@pytest.fixture
def graph(tmp_path):
    with ExecutionGraph.create(tmp_path / "study") as graph:
        yield graph


@pytest.fixture
def diamond(graph):
    """Four steps: top, left and right of it, bottom."""
    for name in ("top", "left", "right", "bottom"):
        _add(graph, name, f"echo {name} >> ../order")
    for parent, child in (("top", "left"), ("top", "right"), ("left", "bottom"), ("right", "bottom")):
        graph.add_connection(parent, child)
    return graph


def test_a_graph_runs_in_the_order_of_its_edges(diamond):
    assert _run(diamond) is StudyStatus.FINISHED
    order = (diamond.path / "order").read_text().split()
    assert order[0] == "top"
    assert sorted(order[1:3]) == ["left", "right"]
    assert order[3] == "bottom"
    assert {step.state for step in diamond.steps.values()} == {State.FINISHED}


def test_a_second_object_on_the_same_path_sees_the_same_graph_and_goes_on_with_it(diamond):
    diamond.execute_ready_steps()
    with ExecutionGraph.open(diamond.path) as other:
        assert other.steps == diamond.steps
        assert _run(other) is StudyStatus.FINISHED
    assert diamond.status is StudyStatus.FINISHED


def test_another_process_sees_the_same_graph(diamond):
    script = f"from maestro_es import ExecutionGraph; print(ExecutionGraph.open({str(diamond.path)!r}).status_subtree)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['top', 'left', 'right', 'bottom']"


def test_arguments_are_checked_as_maestro_checks_them(tmp_path):
    with pytest.raises(ValueError, match="submission_attempts"):
        ExecutionGraph(submission_attempts=0)
    with pytest.raises(ValueError, match="submission_throttle"):
        ExecutionGraph(submission_throttle=-1)
    with ExecutionGraph.create(tmp_path / "study") as graph:
        with pytest.raises(TypeError, match="dictionary"):
            graph.set_adapter("slurm")  # type: ignore[arg-type]  # which is refused
        with pytest.raises(TypeError, match="condor"):
            graph.set_adapter({"type": "condor"})


def test_without_a_path_a_graph_lives_among_the_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ExecutionGraph() as graph:
        _add(graph, "only")
        assert _run(graph) is StudyStatus.FINISHED
        assert graph.path.parent == tmp_path
    with ExecutionGraph.create(None) as graph:
        assert graph.path.parent == tmp_path
    assert "None" in (ExecutionGraph.create.__doc__ or "")


def test_steps_and_edges_that_make_no_sense_are_refused(diamond):
    before = diamond.history()
    with pytest.raises(RequestRefused, match="already a step 'top'"):
        _add(diamond, "top")
    with pytest.raises(KeyError, match="nobody"):
        diamond.add_connection("nobody", "top")
    with pytest.raises(ValueError, match="cycle"):
        diamond.add_connection("bottom", "top")
    with pytest.raises(ValueError, match="cycle"):
        diamond.add_connection("top", "top")
    with pytest.raises(ValueError, match="no cmd"):
        diamond.add_step("empty", StudyStep("empty", "d", {}), "empty", 0)
    assert diamond.history() == before


def test_a_connection_to_the_source_or_made_twice_changes_nothing(diamond):
    before = diamond.history()
    diamond.add_connection("_source", "top")
    diamond.add_connection("top", "left")
    assert diamond.history() == before


def test_a_batch_is_all_or_nothing(graph):
    with graph.batch():
        _add(graph, "a")
        _add(graph, "b")
        graph.add_connection("a", "b")
    with pytest.raises(RequestRefused):
        _add_together(graph, "c", "a")
    assert graph.status_subtree == ["a", "b"]
    assert graph.steps["b"].unmet == 1


def test_name_and_description_are_in_the_log(graph):
    graph.add_description("study", "what it is for", author="ignored")
    assert (graph.name, graph.description) == ("study", "what it is for")
    with ExecutionGraph.open(graph.path) as other:
        assert other.name == "study"


def test_the_state_at_a_moment_of_the_past_is_what_the_log_says(diamond):
    _run(diamond)
    (finished,) = [r for r in diamond.history("top") if type(r.event).__name__ == "StepFinished"]
    before, after = diamond.at(seq=finished.seq - 1), diamond.at(seq=finished.seq)
    assert before.step(1).state is State.RUNNING
    assert after.step(1).state is State.FINISHED
    assert diamond.at(time=finished.recorded_at - 1).step(1).state is not State.FINISHED
    with pytest.raises(ValueError, match="either"):
        diamond.at()


def test_a_replay_of_all_events_is_the_present(diamond):
    _run(diamond)
    replayed: dict[str, StepRecord] = {step.name: step for step in ExecutionGraph.replay(diamond.history()).steps()}
    assert replayed == diamond.steps


def test_the_status_table_is_written_where_it_is_asked_for(diamond, tmp_path):
    _run(diamond)
    diamond.write_status(tmp_path)
    lines = (tmp_path / "status.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["Step Name", "top", "left", "right", "bottom"]


def test_the_schedulers_can_be_asked_without_recording_anything(graph):
    assert graph.check_study_status() == (JobStatusCode.NOJOBS, {})
    _add(graph, "sleeper", "sleep 60")
    graph.execute_ready_steps()
    before = graph.history()
    assert graph.check_study_status() == (JobStatusCode.OK, {"sleeper": State.RUNNING})
    assert graph.history() == before
    assert graph.cancel_study() is CancelCode.OK
    assert _run(graph) is StudyStatus.CANCELLED


def test_who_only_asks_gives_no_attempt_up(graph):
    _add(graph, "only")
    with Session(graph.path) as study:  # as a tick leaves it that dies before it can submit
        study.log.append([(1, e.SubmissionRequested(attempt=1, token="feed-1-1-cafe", kind=SubmissionKind.FIRST))])
    with ExecutionGraph.open(graph.path, Runtime(adapters=quick_adapters(grace_seconds=0))) as impatient:
        assert impatient.check_study_status() == (JobStatusCode.OK, {"only": State.PENDING})
        assert not (graph.path / "only").exists()
        assert _run(impatient) is StudyStatus.FINISHED
        assert [type(r.event).__name__ for r in impatient.history("only")].count("AttemptAbandoned") == 1


def test_scripts_can_be_written_without_running_them(diamond):
    diamond.set_adapter({"type": "local"})
    diamond.generate_scripts()
    assert (diamond.path / "top" / "top.sh").read_text() == "#!/bin/bash\n\necho top >> ../order\n"
    assert {step.state for step in diamond.steps.values()} == {State.INITIALIZED}


def test_a_dry_run_writes_scripts_and_runs_nothing(tmp_path):
    with ExecutionGraph.create(tmp_path / "study", dry_run=True) as graph:
        _add(graph, "a", "touch ../ran")
        _add(graph, "b")
        graph.add_connection("a", "b")
        assert graph.execute_ready_steps() is StudyStatus.FINISHED
        assert {step.state for step in graph.steps.values()} == {State.DRYRUN}
    assert (tmp_path / "study" / "b" / "b.sh").exists()
    assert not (tmp_path / "study" / "ran").exists()


def test_scripts_kept_among_the_temporary_files_are_gone_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ExecutionGraph.create(tmp_path / "study", use_tmp=True) as graph:
        _add(graph, "a", "echo $0 > script")
        assert _run(graph) is StudyStatus.FINISHED
        assert (tmp_path / "study" / "a" / "script").read_text().startswith(f"{tmp_path}/maestro-es-")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_a_path_without_a_study_can_not_be_opened(tmp_path):
    with pytest.raises(NotAStudy, match="not a study directory"):
        ExecutionGraph.open(tmp_path)


def test_a_path_with_a_study_can_not_be_created_again(graph):
    with pytest.raises(RequestRefused, match="a study in this directory"):
        ExecutionGraph.create(graph.path)


def test_more_steps_can_be_added_while_the_graph_runs(graph):
    _add(graph, "first")
    assert _run(graph) is StudyStatus.FINISHED
    _add(graph, "second")
    graph.add_connection("first", "second")
    assert graph.status is StudyStatus.RUNNING
    assert _run(graph) is StudyStatus.FINISHED


def test_a_step_that_is_made_to_wait_for_a_failed_one_fails_with_it(graph):
    _add(graph, "bad", "exit 3")
    assert _run(graph) is StudyStatus.FAILURE
    _add(graph, "late")
    _add(graph, "later")
    graph.add_connection("late", "later")
    graph.add_connection("bad", "late")
    assert {name: step.state for name, step in graph.steps.items()} == dict.fromkeys(
        ("bad", "late", "later"), State.FAILED
    )
    assert graph.steps["later"].message == "bad is FAILED"
    assert _run(graph) is StudyStatus.FAILURE


def test_a_moment_is_found_among_many_events(graph):
    for name in "abcdefgh":
        _add(graph, name)
    for recorded in graph.history():
        known = graph.at(time=recorded.recorded_at).study.steps
        assert known >= graph.at(seq=recorded.seq).study.steps
    assert graph.at(time=0).study.steps == 0


def _reset(graph: ExecutionGraph, recorded: Sequence[e.Recorded]) -> list[str]:
    """Return the names of the steps that run again."""
    numbers = sorted(one.step for one in recorded if one.step and isinstance(one.event, e.StepReset))
    return [graph.state.step(number).name for number in numbers]


def test_a_graph_is_repaired_with_its_own_methods(diamond):
    _add(diamond, "odd", f"test -e {diamond.path}/mended")
    diamond.add_connection("top", "odd")
    diamond.hold("bottom", reason="look first")
    deadline = time.monotonic() + DEADLINE
    while diamond.steps["odd"].state is not State.FAILED and time.monotonic() < deadline:
        diamond.execute_ready_steps()
    assert diamond.steps["odd"].state is State.FAILED

    assert _reset(diamond, diamond.retry("odd", restart_limit=2, hardware_limit=5, reason="mended")) == ["odd"]
    (diamond.path / "mended").touch()
    assert [type(recorded.event) for recorded in diamond.release("b*")] == [e.StepReleased]
    assert _run(diamond) is StudyStatus.FINISHED
    with pytest.raises(RequestRefused, match="because left, right, odd, bottom ran after it"):
        diamond.retry("top")
    assert _reset(diamond, diamond.retry("left", descendants=True, reason="again")) == ["left", "bottom"]
    assert _run(diamond) is StudyStatus.FINISHED
    assert (diamond.path / "order").read_text().split().count("bottom") == 2
    assert [type(recorded.event).__name__ for recorded in diamond.history("left")].count("StepReset") == 1


def test_a_cancelled_graph_is_reopened_and_its_steps_are_skipped(diamond):
    diamond.hold("top")
    diamond.cancel_study("by mistake")
    assert _run(diamond) is StudyStatus.CANCELLED

    assert _reset(diamond, diamond.reopen("go on")) == ["top", "left", "right", "bottom"]
    assert diamond.status is StudyStatus.RUNNING
    assert [recorded.step for recorded in diamond.skip("top", "left", reason="not needed")] == [1, 2]
    assert _run(diamond) is StudyStatus.FINISHED
    assert (diamond.path / "order").read_text().split() == ["right", "bottom"]
    assert diamond.steps["left"].message.endswith(": not needed")


def _refused(graph: ExecutionGraph, error: type[Exception], words: str, **named: object) -> None:
    before = graph.history()
    arguments: dict[str, object] = {
        "name": "b", "step": StudyStep("b", "d", {"cmd": "true"}), "workspace": "b", "restart_limit": 0, **named
    }  # fmt: skip
    with pytest.raises(error, match=words):
        graph.add_step(**arguments)  # type: ignore[arg-type]  # which is refused
    assert graph.history() == before


def test_arguments_that_no_event_can_hold_are_refused_by_name(graph):
    _add(graph, "a")
    for wrong in (True, 1.5, "3"):
        _refused(graph, TypeError, "restart_limit must be a whole number", restart_limit=wrong)
    _refused(graph, ValueError, "restart_limit must not be negative", restart_limit=-1)
    _refused(graph, TypeError, "a key of params must be a string", params={None: 1})
    _refused(graph, TypeError, r"step.run\['cmd'\] must be a string", step=StudyStep("b", "d", {"cmd": ["true"]}))
    _refused(graph, ValueError, "name must not hold a NUL character", name="b\0")
    _refused(graph, TypeError, "step must be a StudyStep", step="true")
    with pytest.raises(TypeError, match="reason must be a string"):
        graph.hold("a", reason=["why"])
    with pytest.raises(TypeError, match="restart_limit must be a whole number"):
        graph.retry("a", restart_limit="3")
    with pytest.raises(TypeError, match="use_tmp must be True or False"):
        ExecutionGraph(use_tmp="yes")  # type: ignore[arg-type]  # which is refused


def test_workspaces_that_the_command_line_refuses_are_refused(graph):
    _add(graph, "a")
    _refused(graph, RequestRefused, "'a' and 'b' would run in the same workspace 'a'", workspace="x/../a")
    _refused(graph, RequestRefused, "'events.db' is taken", workspace="events.db")
    _refused(graph, RequestRefused, "can't have the workspace '.'", workspace=".")
    _refused(graph, RequestRefused, "at most 255 are allowed", workspace="w" * 300)
    with ExecutionGraph.open(graph.path) as other:
        _add(other, "b")
    _refused(graph, RequestRefused, "'b' and 'c' would run in the same workspace", name="c")


def test_what_maestro_takes_is_converted(tmp_path):
    with ExecutionGraph.create(tmp_path / "study", use_tmp=None, dry_run=None) as graph:
        graph.add_step(5, StudyStep("a", 7, {"cmd": "true", "nodes": (1, 2)}), "a", 0, {5: 1})  # type: ignore[arg-type]
        graph.hold(5, reason=None)  # type: ignore[arg-type]
        graph.add_description(1, None)  # type: ignore[arg-type]
    with ExecutionGraph.open(tmp_path / "study", Runtime(host=this_host()._replace(boot_id="the next"))) as graph:
        step = graph.steps["5"]
        assert step.params == (Param("5", "1", "5.1", "5"),)
        assert step.held
        assert (graph.name, graph.description) == ("1", "")
        assert graph._study.graph.template("5").description == "7"


def test_a_parameter_may_be_a_number_of_any_size(graph):
    graph.add_step("a", StudyStep("a", "d", {"cmd": "true"}), "a", 0, params={"SEED": 2**70})
    assert graph.steps["a"].params == (Param("SEED", str(2**70), f"SEED.{2**70}", "SEED"),)


def test_no_step_can_have_the_name_of_the_source(graph):
    _refused(graph, RequestRefused, "no step can be called '_source'", name="_source")


@pytest.mark.parametrize("gone", ["renamed", "removed"])
def test_a_graph_whose_directory_has_gone_says_so_and_makes_no_other_one(diamond, tmp_path, gone):
    root = diamond.path
    root.rename(tmp_path / "elsewhere") if gone == "renamed" else shutil.rmtree(root)
    requests: list[Callable[[], object]] = [
        diamond.execute_ready_steps, diamond.check_study_status, diamond.generate_scripts, diamond.cancel_study,
        diamond.history, lambda: diamond.steps, lambda: diamond.status, lambda: diamond.hold("a"),
        lambda: diamond.retry("a"), lambda: diamond.write_status(root), lambda: _add(diamond, "another"),
    ]  # fmt: skip
    for request in requests:
        with pytest.raises(LogUnavailable, match="this log is no longer there: its directory was moved, renamed or"):
            request()
    assert not root.exists()
    diamond.close()


def test_records_that_are_handed_out_reject_assignment(diamond):
    """A record that could be changed would be saved by the next tick, and the log would not be what it adds up to."""
    diamond.execute_ready_steps()
    for step in (
        diamond.steps["top"], diamond.at(seq=9).step(1), ExecutionGraph.replay(diamond.history()).step(1)
    ):  # fmt: skip
        with pytest.raises(AttributeError, match="only events change a study"):
            step.restart_limit = 3
        with pytest.raises(AttributeError, match="only events change a study"):
            step.state = State.FINISHED
        with pytest.raises(TypeError, match="only events change a study"):
            step.workspaces["top"] = "elsewhere"
        with pytest.raises(AttributeError, match=r"name can't be deleted: .* only events change a study"):
            del step.name
    with pytest.raises(AttributeError, match="only events change a study"):
        diamond.at(seq=9).study.paused = True
    assert _run(diamond) is StudyStatus.FINISHED
    verify(diamond._study.log)
