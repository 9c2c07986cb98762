"""Commands change studies through the methods of `ExecutionGraph`, and each method returns what it has recorded."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.cli.commands import _MODULES, COMMANDS
from maestro_es.core.events import InvocationStarted, Recorded, StepReset
from maestro_es.core.model import State, StudyStatus
from maestro_es.errors import RequestRefused
from tools.testbed.processes import running_under, wait_for

CLI = Path(__file__).parents[2] / "maestro_es" / "cli"

#: Which methods a command calls that changes a study, or creates one.
CHANGING = {
    "tick": {"advance", "advance_next"},
    "cancel": {"end_steps"},
    "pause": {"pause"},
    "resume": {"resume"},
    "hold": {"hold"},
    "release": {"release"},
    "retry": {"retry", "retry_doubted", "retry_lost"},
    "skip": {"skip"},
    "reopen": {"reopen"},
    "update": {"update", "share"},
    "env": {"env"},
    "notify": {"notify", "end_notification", "diff", "failures", "history"},
    "rebuild": {"rebuild", "correct"},
    "import": {"take_over"},
    "import-log": {"import_log"},
    "recover": {"recover"},
    "run": {"from_plan", "tick", "run_until_ended", "share", "why"},
    "drive": {"run_until_ended", "why", "summary"},
}

#: Which methods a command calls that only reads a study.
READING = {
    "status": {"summary", "as_of", "overview", "select", "status_table"},
    "history": {"search", "count_by", "follow"},
    "show": {"show", "as_of"},
    "logs": {"show"},
    "diff": {"diff", "diff_since_last", "note_seen"},
    "why": {"why", "as_of"},
    "blame": {"blame"},
    "query": {"query"},
    "verify": {"verify", "prove"},
    "export": {"export"},
    "wait": {"summary"},
    "doctor": {"checkup"},
    "graph": {"diagram"},
    "map": {"as_of", "select"},
    "report": {"chronicle", "diagram", "failures", "show", "summary"},
    "watch": {"summary", "overview", "search", "show", "why", "follow"},
}

#: Commands for no study, or for all of a user.
OTHERS = {"validate", "studies", "cron", "example", "completion"}

#: What a module calls for a command that is not in the command's own module.
_ELSEWHERE = {
    "tick": ("tick_preview.py", "../drivers/cron_tick.py"),
    "report": ("../report/html_report.py",),
    "run": ("driving.py",),
    "drive": ("driving.py",),
}


def test_every_command_is_named_here():
    assert COMMANDS.keys() == CHANGING.keys() | READING.keys() | OTHERS


@pytest.mark.parametrize(("command", "methods"), [*CHANGING.items(), *READING.items()])
def test_a_command_calls_methods_of_the_class(command: str, methods: set[str]):
    assert all(callable(getattr(ExecutionGraph, method)) for method in methods)

    files = (f"{_MODULES.get(command, command)}.py", *_ELSEWHERE.get(command, ()))
    trees = [ast.parse((CLI / file).read_text()) for file in files]
    called = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert methods <= called


# -- the same request by the command and by the method ---------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Return a function that makes two copies of a study, in which requests were made before."""

    def make(*before: Callable[[ExecutionGraph], object]) -> tuple[Path, Path]:
        root = tmp_path / "study"
        with ExecutionGraph.create(root) as graph:
            graph.set_adapter({"type": "local"})
            graph.add_description("door", "a study with steps in all states")
            for name, cmd in (
                ("good", "true"),
                ("bad", "false"),
                ("after", "true"),
                ("kept", "sleep 60"),
                ("last", ":"),
            ):
                graph.add_step(name, StudyStep(name, "d", {"cmd": cmd}), name, 0)
            graph.add_connection("bad", "after")
            graph.add_connection("kept", "last")
            graph.hold("kept")
            wait_for(lambda: _is_at_rest(graph))
            wait_for(lambda: not running_under(root))  # a runner may still tick the study
            for change in before:
                change(graph)
        one, other = tmp_path / "one", tmp_path / "other"
        shutil.copytree(root, other, symlinks=True)
        root.rename(one)  # a copy whose original is still there could not be changed
        return one, other

    return make


def _is_at_rest(graph: ExecutionGraph) -> bool:
    graph.tick()
    return not list(graph.state.in_flight())


#: A request: what comes before it, the words of the command, and the call of the method.
REQUESTS: dict[
    str, tuple[Sequence[Callable[[ExecutionGraph], object]], list[str], Callable[[ExecutionGraph], Any]]
] = {
    "pause": ((), ["pause"], lambda graph: graph.pause("why")),
    "resume": ((ExecutionGraph.pause,), ["resume"], lambda graph: graph.resume("why")),
    "hold": ((), ["hold", "l*"], lambda graph: graph.hold("l*", reason="why")),
    "release": ((), ["release", "kept"], lambda graph: graph.release("kept", reason="why")),
    "skip": ((), ["skip", "bad", "kept"], lambda graph: graph.skip("bad", "kept", reason="why")),
    "retry": ((), ["retry", "bad", "--rlimit", "3"], lambda graph: graph.retry("bad", restart_limit=3, reason="why")),
    "retry --failed": ((), ["retry", "--failed"], lambda graph: graph.retry(failed=True, reason="why")),
    "retry in full": (
        (),
        ["retry", "good", "--from-scratch", "--descendants", "--keep-script"],
        lambda graph: graph.retry("good", from_scratch=True, descendants=True, keep_script=True, reason="why"),
    ),
    "reopen": ((ExecutionGraph.cancel_study,), ["reopen"], lambda graph: graph.reopen("why")),
    "cancel a step": ((), ["cancel", "-y", "last"], lambda graph: graph.cancel("last", reason="why")),
    "cancel": ((), ["cancel", "-y"], lambda graph: graph.cancel(reason="why")),
    "update": (
        (),
        ["update", "--throttle", "3", "--sleep", "9"],
        lambda graph: graph.update(submission_throttle=3, sleep_seconds=9, reason="why"),
    ),
    "update to the same": ((), ["update", "--rlimit", "1"], lambda graph: graph.update(restart_limit=1, reason="why")),
    "env --set": (
        (),
        ["env", "--set", "GREETING=hello"],
        lambda graph: graph.env({"GREETING": "hello"}, reason="why"),
    ),
    "env --unset": ((), ["env", "--unset", "PATH"], lambda graph: graph.env(unset=["PATH"], reason="why")),
    "tick": ((), ["tick"], lambda graph: graph.tick()),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_command_and_its_method_record_the_same(
    name: str, two, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    before, words, call = REQUESTS[name]
    by_command, by_method = two(*before)
    seq = _events(by_command)[-1].seq

    done = _run(by_command, *words, *([] if words[0] == "tick" else ["--reason", "why"]))
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path_factory.mktemp("home")))  # they do not share this host
    with ExecutionGraph.open(by_method) as graph:
        returned = call(graph)
        assert returned == graph.history(after=seq)

    assert done.returncode == 0, done.stderr
    assert _told(returned, by_method) == _told(_events(by_command)[seq:], by_command)
    assert bool(returned) is (name != "update to the same")


#: Requests that make no sense, by the command and by the method.
REFUSED: dict[str, tuple[list[str], Callable[[ExecutionGraph], Any]]] = {
    "resume": (["resume"], lambda graph: graph.resume()),
    "hold": (["hold", "good"], lambda graph: graph.hold("good")),
    "release": (["release", "last"], lambda graph: graph.release("last")),
    "skip": (["skip", "nowhere"], lambda graph: graph.skip("nowhere")),
    "retry": (["retry", "kept"], lambda graph: graph.retry("kept")),
    "retry --doubted": (["retry", "--doubted"], lambda graph: graph.retry_doubted()),
    "retry --lost": (["retry", "--lost", "good"], lambda graph: graph.retry_lost("good")),
    "reopen": (["reopen"], lambda graph: graph.reopen()),
    "cancel": (["cancel", "-y", "good"], lambda graph: graph.cancel("good")),
    "env": (["env", "--unset", "NOWHERE"], lambda graph: graph.env(unset=["NOWHERE"])),
    "why": (["why", "nowhere"], lambda graph: graph.why("nowhere")),
    "show --at": (["show", "good", "--at", "99999"], lambda graph: graph.show("good", 99999)),
}


def test_a_command_and_its_method_refuse_the_same_in_the_same_words(two):
    by_command, by_method = two()
    before = _events(by_command)
    for words, call in REFUSED.values():
        done = _run(by_command, *words)
        with ExecutionGraph.open(by_method) as graph, pytest.raises(RequestRefused) as refused:
            call(graph)
        assert (done.returncode, done.stderr) == (1, f"maestro-es: {refused.value}\n")
    assert _events(by_command) == _events(by_method) == before


def _run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "maestro_es", words[0], str(root), *words[1:]]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def _events(root: Path) -> list[Recorded]:
    with ExecutionGraph.open(root) as graph:
        return graph.history()


def _told(events: Sequence[Recorded], root: Path) -> list[tuple[int | None, str, object]]:
    """Return what events say, without what differs from process to process: who wrote, when, in which directory."""
    found: list[tuple[int | None, str, object]] = []
    for recorded in events:
        data = re.sub(rb'"at":\d+', b'"at":0', msgspec.json.encode(recorded.event)).replace(bytes(root), b"ROOT")
        is_start = isinstance(recorded.event, InvocationStarted)
        found.append((recorded.step, type(recorded.event).__name__, b"" if is_start else data))
    return found


# -- what a method returns -------------------------------------------------------------------------------------------


def test_a_method_returns_its_own_events_only(two):
    root, _ = two()
    with ExecutionGraph.open(root) as graph, ExecutionGraph.open(root) as other:
        seen = graph.history()[-1].seq
        others = other.pause()
        ours = graph.hold("last")
        assert [*others, *ours] == graph.history(after=seen)
        assert {recorded.invocation for recorded in ours} != {recorded.invocation for recorded in others}


def test_inside_a_batch_the_events_are_in_the_log_once_it_ends(two):
    root, _ = two()
    with ExecutionGraph.open(root) as graph:
        seen = graph.history()[-1].seq
        with graph.batch():
            returned = [*graph.hold("last"), *graph.update(restart_limit=7)]
        assert returned == graph.history(after=seen)

        with pytest.raises(RequestRefused):
            _release_and_resume(graph)
        assert graph.history(after=seen) == returned
        assert graph.release("last") == graph.history(after=returned[-1].seq)


def _release_and_resume(graph: ExecutionGraph) -> None:
    with graph.batch():
        graph.release("last")
        graph.resume()  # which is refused, as the study is not paused


def test_a_study_can_be_run_to_its_end_in_one_call(tmp_path: Path):
    calls: list[StudyStatus] = []
    with ExecutionGraph.create(tmp_path / "study") as graph:
        graph.set_adapter({"type": "local"})
        graph.add_step("first", StudyStep("first", "d", {"cmd": "echo one >../out"}), "first", 0)
        graph.add_step("then", StudyStep("then", "d", {"cmd": "echo two >>../out"}), "then", 0)
        graph.add_connection("first", "then")
        assert graph.run_until_ended(lambda: calls.append(graph.status)) is StudyStatus.FINISHED
    assert (tmp_path / "study" / "out").read_text().split() == ["one", "two"]
    assert calls[0] is StudyStatus.RUNNING
    assert calls[-1] is StudyStatus.FINISHED


def test_questions_are_answered_as_of_a_moment(two):
    root, _ = two(lambda graph: graph.retry("bad"))
    with ExecutionGraph.open(root) as graph:
        reset = min(one.seq for one in graph.history() if isinstance(one.event, StepReset))
        before = graph.as_of(reset - 1)
        assert (graph.why("bad").state, graph.why("bad", before).state) == ("INITIALIZED", "FAILED")
        assert "exit code 1" in graph.why("bad", reset - 1).why
        assert graph.show("bad", reset - 1).step.state is State.FAILED
        assert graph.summary(before).states["FAILED"] == 2
        assert graph.summary().states["INITIALIZED"] == 4
        assert [decision.entry.type for decision in graph.blame("bad")][-1] == "StepReset"
        assert sorted(step.name for step in graph.diff(before).diff.steps.values()) == ["after", "bad"]
        assert [*graph.query("SELECT count(*) FROM v_step").rows] == [(5,)]
