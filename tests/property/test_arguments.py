"""Whatever a program gives our methods: they take it or refuse it by name, and the log can be read afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import inspect
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.adapters.host import this_host
from maestro_es.compat import (
    GitDependency,
    ParameterGenerator,
    PathDependency,
    Script,
    Study,
    StudyEnvironment,
    Variable,
    YAMLSpecification,
)
from maestro_es.compat import StudyStep as MaestroStep
from maestro_es.core.reducer import replay
from maestro_es.errors import MaestroError
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime

#: What a call may raise: it names what is wrong. Nothing else may get out, AttributeError least of all.
REFUSALS = (MaestroError, TypeError, ValueError, KeyError, OSError)

TEXTS = st.sampled_from(
    ["", "a", "b", "c c", "ü", "a\0b", "\udc80", "x\ny", "../a", "a/../a", "/", ".", "3", "events.db"]
)
NUMBERS = st.sampled_from(
    [0, 1, 2, 3, -1, 2**31, 2**63, 2**70, -(2**70), 1.0, 1.5, float("nan"), float("inf"), True, False]
)
LEAVES = st.one_of(
    st.none(),
    TEXTS,
    NUMBERS,
    st.sampled_from([b"a", object(), decimal.Decimal(1), dt.date(2026, 1, 1), Path("a"), {1, 2}, StudyStep, "a".join]),
)
ODD = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.tuples(inner),
        st.dictionaries(st.one_of(TEXTS, st.none(), NUMBERS), inner, max_size=2),
    ),
    max_leaves=4,
)


def _deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(600):
        found = [found]
    return found


#: As arguments of one kind make sense now and then, so that there is a study to go on with.
NAMES = st.one_of(st.sampled_from(["a", "b", "c", 7]), ODD)
REASONS = st.one_of(st.none(), st.just("why"), ODD)
FLAGS = st.one_of(st.none(), st.booleans(), ODD)
COUNTS = st.one_of(st.integers(0, 3), ODD)
MOMENTS = st.one_of(st.none(), st.sampled_from(["1s", "2026-01-31", 1, 2, 10**9]), ODD)
RUNS = st.one_of(
    st.just({"cmd": "true"}),
    st.just({"cmd": "true", "nested": _deep()}),
    st.fixed_dictionaries(
        {"cmd": st.one_of(st.just("true"), ODD)},
        optional={"nodes": ODD, "walltime": ODD, "restart": ODD, "args": ODD, "exclusive": ODD, 5: ODD},
    ),
    ODD,
)
STEPS = st.one_of(st.builds(StudyStep, NAMES, st.one_of(st.just("d"), ODD), RUNS), ODD)
ADAPTERS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.one_of(st.sampled_from(["local", "slurm", "lsf", "flux"]), ODD)},
        optional={"host": ODD, "bank": ODD, "queue": ODD, "shell": ODD, "nodes": ODD, "args": ODD},
    ),
    ODD,
)
PATHS = st.one_of(st.sampled_from(["a", "b", "sub/c"]), ODD)

#: The arguments of each public method.
METHODS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "add_step": {"name": NAMES, "step": STEPS, "workspace": PATHS, "restart_limit": COUNTS, "params": ODD},
    "add_connection": {"parent": NAMES, "step": NAMES},
    "add_node": {"name": NAMES, "obj": STEPS},
    "add_edge": {"src": NAMES, "dest": NAMES},
    "remove_edge": {"src": NAMES, "dest": NAMES},
    "bfs_subtree": {"src": NAMES},
    "dfs_subtree": {"src": NAMES, "par": NAMES},
    "add_description": {"name": NAMES, "description": NAMES},
    "update_throttle": {"new_submission_throttle": COUNTS},
    "update_rlimit": {"new_restart_limit": COUNTS},
    "set_adapter": {"adapter": ADAPTERS},
    "hold": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "release": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "skip": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "retry": {
        "steps": st.lists(NAMES, max_size=2), "failed": FLAGS, "descendants": FLAGS, "restart_limit": COUNTS,
        "hardware_limit": COUNTS, "reason": REASONS,
    },
    "pause": {"reason": REASONS},
    "resume": {"reason": REASONS},
    "cancel": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "end_steps": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "update": {
        "submission_throttle": COUNTS, "restart_limit": COUNTS, "hardware_limit": COUNTS, "sleep_seconds": COUNTS,
        "reason": REASONS,
    },
    "env": {"values": ODD, "unset": ODD, "refresh": FLAGS, "reason": REASONS},
    "share": {"group_reads": FLAGS},
    "retry_lost": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "retry_doubted": {"steps": st.lists(NAMES, max_size=2), "reason": REASONS},
    "reopen": {"reason": REASONS},
    "cancel_study": {"reason": REASONS},
    "at": {"seq": COUNTS, "time": st.one_of(st.none(), ODD)},
    "as_of": {"when": MOMENTS},
    "summary": {"at": MOMENTS},
    "overview": {"at": MOMENTS},
    "select": {"patterns": st.lists(NAMES, max_size=2), "states": ODD, "params": ODD, "at": MOMENTS},
    "show": {"step": NAMES, "at": MOMENTS},
    "why": {"step": st.one_of(st.none(), NAMES), "at": MOMENTS, "utc": FLAGS},
    "blame": {"step": NAMES},
    "chronicle": {},
    "diagram": {"each_step": FLAGS},
    "diff": {"since": MOMENTS, "until": MOMENTS},
    "query": {"sql": st.one_of(st.just("SELECT :a"), ODD), "values": ODD},
    "edits": {"steps": st.lists(NAMES, max_size=2)},
    "history": {"step": st.one_of(st.none(), NAMES), "after": COUNTS},
    "write_status": {"path": ODD},
    "replay": {"events": st.just(())},
    **{
        name: {}
        for name in (
            "execute_ready_steps", "check_study_status", "generate_scripts", "cleanup", "log_description",
            "topological_sort", "detect_cycle", "tick", "is_settled", "steps_to_end", "diff_since_last", "environment",
            "is_ours", "scheduler_facts", "rebuild", "failures", "status_table",
        )
    },
}  # fmt: skip

#: Those that are called elsewhere: in this module; by commands, with values that these have made; or on a directory.
OTHERS = {
    "batch", "close", "correct", "count_by", "create", "export", "follow", "from_plan", "import_log", "note_seen",
    "open", "open_ours", "pickle", "preview", "prove", "recover", "run_until_ended", "search", "take_over",
    "advance", "advance_next", "tick_next", "unpickle", "verify", "checkup", "notify", "end_notification",
}  # fmt: skip

CALLS = st.lists(
    st.sampled_from(sorted(METHODS)).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(METHODS[name]))
    ),
    min_size=1,
    max_size=8,
)
SETTINGS = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])


@contextlib.contextmanager
def _root() -> Iterator[Path]:
    """Make a directory for a study, in a current directory that any relative path may be written to."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder) / "study"
        finally:
            os.chdir(before)


def test_every_public_method_is_called():
    public = {name for name, value in inspect.getmembers(ExecutionGraph, callable) if not name.startswith("_")}
    assert public == METHODS.keys() | OTHERS


def _call(graph: ExecutionGraph, name: str, given: Mapping[str, Any]) -> None:
    named = dict(given)
    steps = named.pop("steps", ())
    if "name" in named and name == "add_step":
        _attempt(graph.add_step, **named)
    else:
        _attempt(getattr(graph, name), *steps, **named)


def _attempt(function: Any, *args: Any, **named: Any) -> Any:
    try:
        return function(*args, **named)
    except REFUSALS as error:
        message, one_line = str(error), not isinstance(error, MaestroError)
    assert message
    assert not (one_line and "\n" in message)
    return None


def _goes_on(root: Path) -> None:
    """Check that a log can be replayed, rebuilt after a reboot, verified and ticked."""
    rebooted = Runtime(host=this_host()._replace(boot_id="another"))
    with ExecutionGraph.open(root, rebooted) as graph:
        log = graph._study.log
        replayed = replay(log.events())
        assert list(replayed.steps()) == list(log.graph.steps())
        assert replayed.study.settings == log.graph.study.settings
        log.rebuild()
        verify(log)
        graph.execute_ready_steps()
        verify(log)


@given(CALLS)
@SETTINGS
def test_a_graph_takes_or_refuses_any_argument(calls: list[tuple[str, dict[str, Any]]]):
    with _root() as root:
        with ExecutionGraph.create(root, dry_run=True) as graph:
            graph.add_step("a", StudyStep("a", "d", {"cmd": "true"}), "first", 0)
            for name, given_ in calls:
                _call(graph, name, given_)
        _goes_on(root)


@given(st.data())
@SETTINGS
def test_a_batch_takes_or_refuses_any_argument(data: st.DataObject):
    """Errors that are caught inside a batch don't spoil it."""
    with _root() as root:
        with ExecutionGraph.create(root, dry_run=True) as graph:
            for _ in range(2):
                with graph.batch():
                    for name in ("add_step", "add_step", "hold", "add_connection"):
                        _call(graph, name, data.draw(st.fixed_dictionaries(METHODS[name])))
        _goes_on(root)


@given(st.fixed_dictionaries({}, optional={
    "submission_attempts": COUNTS, "submission_throttle": COUNTS, "use_tmp": FLAGS, "dry_run": FLAGS, "path": ODD,
}))  # fmt: skip
@SETTINGS
def test_a_graph_is_made_or_refused_with_any_argument(named: dict[str, Any]):
    with _root() as root:
        if "path" in named:
            _attempt(ExecutionGraph.open, named.pop("path"))
        graph = _attempt(ExecutionGraph.create, root, **named)
        if graph is not None:
            graph.close()
            _goes_on(root)


def _environment(data: st.DataObject) -> StudyEnvironment:
    environment = StudyEnvironment()
    made = _attempt(Variable, data.draw(NAMES), data.draw(NAMES))
    _attempt(environment.add, made or data.draw(ODD))
    _attempt(environment.add, _attempt(Script, data.draw(NAMES)) or data.draw(ODD))
    _attempt(PathDependency, data.draw(NAMES), data.draw(ODD))
    _attempt(GitDependency, data.draw(NAMES), data.draw(ODD), data.draw(ODD), tag=data.draw(ODD))
    return environment


def _maestro_step(data: st.DataObject) -> MaestroStep:
    step = MaestroStep()
    vars(step).update(name=data.draw(NAMES), description=data.draw(NAMES))
    step.run.update(
        data.draw(st.fixed_dictionaries({"cmd": st.one_of(st.just("true"), ODD)}, optional={"nodes": ODD}))
    )
    return step


@given(st.data())
@SETTINGS
def test_a_study_takes_or_refuses_any_argument(data: st.DataObject):
    with _root() as root:
        environment = _environment(data)
        parameters = ParameterGenerator()
        _attempt(
            parameters.add_parameter, data.draw(NAMES), data.draw(st.one_of(st.just([1, 2]), ODD)), data.draw(REASONS)
        )
        about = data.draw(st.one_of(st.just({"description": "d"}), ODD))
        study = _attempt(Study, data.draw(NAMES), about, environment, parameters, [_maestro_step(data)], root)
        _attempt(Study, data.draw(NAMES), about, data.draw(ODD), data.draw(ODD), data.draw(ODD), data.draw(ODD))
        _attempt(YAMLSpecification.load_specification, data.draw(LEAVES))
        if study is None:
            return
        _attempt(study.add_step, data.draw(ODD))
        flags = {name: data.draw(FLAGS) for name in ("use_tmp", "hash_ws")}
        _attempt(study.configure_study, data.draw(COUNTS), data.draw(COUNTS), data.draw(COUNTS), **flags)
        study.setup_workspace()
        study.setup_environment()
        staged = _attempt(study.stage)
        if staged is not None:
            staged[1].hold("*")
            staged[1].close()
            _goes_on(root)
