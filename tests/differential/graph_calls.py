"""Calls that a program may make on Maestro's ExecutionGraph, its records and its base classes, for both classes.

Each call takes a `Kit`, and returns a plain value or raises an exception. `DIFFERENT` lists the calls with different
outcomes, and the words of ``docs/differences-from-maestro.md`` about each.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import logging
import pickle
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: The module of each class that the calls need, by Maestro's name.
_HOMES = {
    "maestrowf": {
        "ExecutionGraph": "maestrowf.datastructures.core.executiongraph",
        "StudyStep": "maestrowf.datastructures.core.study",
        "Study": "maestrowf.datastructures.core",
        "StudyEnvironment": "maestrowf.datastructures.core",
        "ParameterGenerator": "maestrowf.datastructures.core",
        "Variable": "maestrowf.datastructures.environment",
        "DAG": "maestrowf.datastructures.dag",
        "Graph": "maestrowf.abstracts.graph",
        "PickleInterface": "maestrowf.abstracts",
    },
    "maestro_es": {
        "ExecutionGraph": "maestro_es.execution_graph",
        "StudyStep": "maestro_es.compat",
        "Study": "maestro_es.compat",
        "StudyEnvironment": "maestro_es.compat",
        "ParameterGenerator": "maestro_es.compat",
        "Variable": "maestro_es.compat",
        "DAG": "maestro_es.execution_graph.dag",
        "Graph": "maestro_es.compat.abstracts",
        "PickleInterface": "maestro_es.compat.pickles",
    },
}

DEADLINE = 60.0


class Kit(SimpleNamespace):
    """The classes of one program, and a directory for its files."""

    ExecutionGraph: Any
    StudyStep: Any
    Study: Any
    StudyEnvironment: Any
    ParameterGenerator: Any
    Variable: Any
    place: Path

    def __init__(self, program: str, place: Path) -> None:
        homes = _HOMES[program]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Maestro's
            super().__init__(**{name: getattr(importlib.import_module(home), name) for name, home in homes.items()})
        place.mkdir()
        self.place = place
        self.made = 0

    def empty(self, **settings: Any) -> Any:
        """Return a new graph with Maestro's root, which Maestro's programs add themselves."""
        graph = self.ExecutionGraph(**settings)
        graph.add_node("_source", None)
        return graph

    def step(self, name: str, cmd: str = "true", **run: Any) -> Any:
        """Return a step."""
        step = self.StudyStep()
        step.name, step.description = name, f"is {name}"
        step.run.update(cmd=cmd, **run)
        return step

    def add(self, graph: Any, name: str, cmd: str = "true", params: Any = None, limit: int = 2, **run: Any) -> None:
        """Add a step in a workspace of its own below the place."""
        self.made += 1
        graph.add_step(name, self.step(name, cmd, **run), str(self.place / f"{name}-{self.made}"), limit, params)

    def diamond(self, **settings: Any) -> Any:
        """Return a graph of four steps with two paths from top to bottom.

        The order of its edges differs from that of its steps.
        """
        graph = self.empty(**settings)
        for name in ("top", "left", "right", "bottom"):
            self.add(graph, name)
        edges = [("_source", "top"), ("top", "right"), ("top", "left"), ("left", "bottom"), ("right", "bottom")]
        for parent, child in edges:
            graph.add_connection(parent, child)
        graph.set_adapter({"type": "local"})
        graph.add_description("diamond", "four steps")
        return graph

    def one(self, cmd: str = "true", **more: Any) -> Any:
        """Return a graph of one step."""
        graph = self.empty()
        self.add(graph, "only", cmd, **more)
        graph.add_connection("_source", "only")
        graph.set_adapter({"type": "local"})
        graph.add_description("one", "a step")
        return graph

    def ended(self, graph: Any) -> Any:
        """Run a graph to its end."""
        deadline = time.monotonic() + DEADLINE
        while graph.execute_ready_steps().name == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.05)
        return graph


def names(found: Any) -> list[str]:
    """Return the names in a set."""
    return sorted(found)


class Collector(logging.Handler):
    """Keeps the logged records unchanged."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """Yield the records that are logged meanwhile.

    No other handler gets them, because pytest's handler would raise an error for Maestro's wrong formats.
    """
    records: list[logging.LogRecord] = []
    root = logging.getLogger()
    before, level = root.handlers, root.level
    root.handlers = [Collector(records)]
    root.setLevel(logging.INFO)
    try:
        yield records
    finally:
        root.handlers = before
        root.setLevel(level)


def said(make: Callable[[], Any], call: Callable[[Any], object]) -> list[str]:
    """Return the levels of the warnings and errors that a call logs."""
    graph = make()
    with logged() as records:
        call(graph)
    return [record.levelname for record in records if record.levelno >= logging.WARNING]


def then(graph: Any, call: Callable[[Any], object], ask: Callable[[Any], Any]) -> Any:
    """Return the answer of a graph after a call."""
    call(graph)
    return ask(graph)


def refused(call: Callable[[], object]) -> str:
    """Return the kind warnings of Maestro's modules exception for what is refused; empty if it is not."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - of either program
        return (
            "refused" if isinstance(error, (ValueError, TypeError, KeyError, RuntimeError)) else type(error).__name__
        )
    return ""


def table(graph: Any, kit: Kit) -> list[list[str]]:
    """Return status.csv without times, ids and paths."""
    graph.write_status(str(kit.place))
    lines = (kit.place / "status.csv").read_text().splitlines()
    cut = [[*line.split(",")] for line in lines]
    return [[row[0], re.sub(r"^(?:maestro|ours)/|-\d+$", "", row[2]), row[3], row[9], row[10]] for row in cut]


def record(graph: Any, name: str, attribute: str) -> Any:
    """Return an attribute of a step's record."""
    return getattr(graph.values[name], attribute)


_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_SPAN = re.compile(r"\d+d:\d\dh:\d\dm:\d\ds")


def like(text: str) -> str:
    """Return the format of a time or a duration."""
    return _SPAN.sub("SPAN", _TIME.sub("TIME", text))


def log_lines(graph: Any) -> list[str]:
    """Return the lines of a logged description that contain a name."""
    with logged() as records:
        graph.log_description()
    return sorted(line for record in records for line in record.getMessage().splitlines() if ": " in line)


def staged(kit: Kit) -> Any:
    """Return the graph of a study with parameters and a funnel."""
    environment, parameters = kit.StudyEnvironment(), kit.ParameterGenerator()
    environment.add(kit.Variable("OUTPUT_PATH", str(kit.place)))
    parameters.add_parameter("SIZE", ["1", "2", "3"], "SIZE.%%")
    parameters.add_parameter("ITER", ["7", "8", "9"], "ITER.%%")
    steps = [
        kit.step("make", "make"),
        kit.step("sim", "sim $(SIZE)", depends=["make"], walltime="00:10:00", restart="sim $(SIZE) --continue"),
        kit.step("post", "post $(ITER) $(WORKSPACE)", depends=["sim"]),
        kit.step("all", "ls $(sim.workspace)", depends=["sim_*", "make"]),
        kit.step("alone", "true"),
    ]
    about = {"name": "night", "description": "a study"}
    study = kit.Study("night", about, environment, parameters, steps, str(kit.place))
    study.setup_workspace()
    study.configure_study()
    study.setup_environment()
    return study.stage()[1]


def pictured(kit: Kit) -> dict[str, Any]:
    """Return all data of a staged graph and its records before it runs, without its path."""
    graph = staged(kit)
    found = {
        "values": list(graph.values),
        "edges": {name: list(children) for name, children in graph.adjacency_table.items()},
        "walks": [graph.topological_sort(), graph.bfs_subtree("_source"), graph.dfs_subtree("_source")],
        "status": graph.status_subtree,
        "about": [graph.name, graph.description],
    }
    for name, view in graph.values.items():
        if view is not None:
            attributes = (view.name, view.params, view.walltime, view.restart_limit, view.restarts, view.status.name)
            step = (view.step.name, view.step.real_name, view.step.description, dict(view.step.run))
            found[name] = repr((attributes, view.workspace.value, step)).replace(str(kit.place), "PLACE")
    return found


Call = Callable[[Kit], Any]

_SETS = ("completed_steps", "in_progress", "failed_steps", "cancelled_steps", "ready_steps")


def names_of(attribute: str, *, ended: bool = False) -> Call:
    """Return a call that reads a set of steps of a graph."""
    return lambda kit: names(getattr(kit.ended(kit.diamond()) if ended else kit.diamond(), attribute))


def attribute_of(name: str, *, ended: bool = False) -> Call:
    """Return a call that reads an attribute of a record."""

    def call(kit: Kit) -> Any:
        graph = kit.one(walltime="00:10:00", restart="again")
        found = record(kit.ended(graph) if ended else graph, "only", name)
        plain = found.name if hasattr(found, "name") else found
        return like(plain) if isinstance(plain, str) else plain

    return call


def called(name: str, *given: object) -> Call:
    """Return a call of a record's method."""
    return lambda kit: getattr(kit.one().values["only"], name)(*given) is None


#: The calls on the graph as a DAG.
DAG_CALLS: dict[str, Call] = {
    "is a DAG": lambda k: isinstance(k.empty(), k.DAG),
    "is a Graph": lambda k: isinstance(k.empty(), k.Graph),
    "is a PickleInterface": lambda k: isinstance(k.empty(), k.PickleInterface),
    "values of a new graph": lambda k: list(k.ExecutionGraph().values),
    "values": lambda k: list(k.diamond().values),
    "values: the root": lambda k: k.diamond().values["_source"],
    "values: number": lambda k: len(k.diamond().values),
    "values: get": lambda k: k.diamond().values.get("nowhere"),
    "values: unknown": lambda k: k.diamond().values["nowhere"],
    "values: in": lambda k: ["top" in k.diamond().values, "nowhere" in k.diamond().values],
    "values: items": lambda k: [name for name, _ in k.diamond().values.items()],
    "values: assigned": lambda k: k.diamond().values.update(x=None),
    "adjacency_table": lambda k: {name: list(found) for name, found in k.diamond().adjacency_table.items()},
    "adjacency_table: unknown": lambda k: k.diamond().adjacency_table["nowhere"],
    "topological_sort": lambda k: k.diamond().topological_sort(),
    "bfs_subtree": lambda k: k.diamond().bfs_subtree("_source"),
    "bfs_subtree: a part": lambda k: k.diamond().bfs_subtree("left"),
    "bfs_subtree: unknown": lambda k: k.diamond().bfs_subtree("nowhere"),
    "dfs_subtree": lambda k: k.diamond().dfs_subtree("_source"),
    "dfs_subtree: with a parent": lambda k: k.diamond().dfs_subtree("top", par="_source"),
    "dfs_subtree: unknown": lambda k: k.diamond().dfs_subtree("nowhere"),
    "detect_cycle": lambda k: k.diamond().detect_cycle(),
    "add_node: returns": lambda k: k.empty().add_node("_source", None),
    "add_node: again": lambda k: then(
        k.diamond(), lambda g: g.add_node("top", k.step("top")), lambda g: len(g.values)
    ),
    "add_node: again, logged": lambda k: said(k.diamond, lambda g: g.add_node("top", g.values["top"])),
    "add_edge: returns": lambda k: k.diamond().add_edge("left", "right"),
    "add_edge": lambda k: then(
        k.diamond(), lambda g: g.add_edge("left", "right"), lambda g: list(g.adjacency_table["left"])
    ),
    "add_edge: again": lambda k: then(
        k.diamond(), lambda g: g.add_edge("top", "left"), lambda g: list(g.adjacency_table["top"])
    ),
    "add_edge: to itself": lambda k: k.diamond().add_edge("top", "top"),
    "add_edge: to itself, logged": lambda k: said(k.diamond, lambda g: g.add_edge("top", "top")),
    "add_edge: from an unknown step": lambda k: k.diamond().add_edge("nowhere", "top"),
    "add_edge: to an unknown step": lambda k: k.diamond().add_edge("top", "nowhere"),
    "add_edge: a cycle": lambda k: refused(lambda: k.diamond().add_edge("bottom", "top")) != "",
    "add_edge: a cycle stays": lambda k: then(
        k.diamond(), lambda g: refused(lambda: g.add_edge("bottom", "top")), lambda g: g.detect_cycle()
    ),
    "add_connection": lambda k: then(
        k.diamond(), lambda g: g.add_connection("left", "right"), lambda g: list(g.adjacency_table["left"])
    ),
    "add_connection: returns": lambda k: k.diamond().add_connection("left", "right"),
    "add_connection: from an unknown step": lambda k: k.diamond().add_connection("nowhere", "top"),
    "add_connection: to an unknown step": lambda k: k.diamond().add_connection("top", "nowhere"),
    "add_connection: to itself": lambda k: k.diamond().add_connection("top", "top"),
    "remove_edge: returns": lambda k: k.diamond().remove_edge("top", "left"),
    "remove_edge": lambda k: then(
        k.diamond(), lambda g: g.remove_edge("top", "left"), lambda g: list(g.adjacency_table["top"])
    ),
    "remove_edge: the step then waits for nothing": lambda k: then(
        k.diamond(), lambda g: g.remove_edge("top", "left"), lambda g: list(g.adjacency_table["_source"])
    ),
    "remove_edge: of an unknown step": lambda k: k.diamond().remove_edge("nowhere", "top"),
    "remove_edge: of an unknown step, logged": lambda k: said(k.diamond, lambda g: g.remove_edge("nowhere", "top")),
    "remove_edge: to an unknown step": lambda k: k.diamond().remove_edge("top", "nowhere"),
    "remove_edge: that is not there": lambda k: k.diamond().remove_edge("left", "right"),
    "remove_edge: from the root": lambda k: k.diamond().remove_edge("_source", "top"),
    "remove_edge: from the root, of a step that waits": lambda k: k.diamond().remove_edge("_source", "left"),
    "remove_edge: of a step that has ended": lambda k: k.ended(k.diamond()).remove_edge("top", "left"),
}

#: The calls that build and describe a graph.
BUILDING: dict[str, Call] = {
    "no attempts": lambda k: k.ExecutionGraph(submission_attempts=0),
    "a negative throttle": lambda k: k.ExecutionGraph(submission_throttle=-1),
    "add_step: returns": lambda k: k.empty().add_step("a", k.step("a"), str(k.place / "a"), 0),
    "add_step: again": lambda k: k.diamond().add_step("top", k.step("top"), str(k.place / "x"), 0),
    "add_step: pairs": lambda k: record(k.one(params=[("A", "1"), ("B", "2")]), "only", "params"),
    "add_step: an iterator": lambda k: record(k.one(params=iter([("A", "1")])), "only", "params"),
    "add_step: a number as a parameter": lambda k: record(k.one(params=[("A", 1)]), "only", "params"),
    "add_step: no parameters": lambda k: record(k.one(), "only", "params"),
    "name": lambda k: k.diamond().name,
    "name: of a new graph": lambda k: k.empty().name,
    "name: set": lambda k: then(k.diamond(), lambda g: setattr(g, "name", "other"), lambda g: g.name),
    "description": lambda k: k.diamond().description,
    "description: of a new graph": lambda k: k.empty().description,
    "description: set": lambda k: then(k.diamond(), lambda g: setattr(g, "description", "x"), lambda g: g.description),
    "add_description: returns": lambda k: k.empty().add_description("a", "b"),
    "log_description": lambda k: log_lines(k.diamond()),
    "log_description: more": lambda k: then(
        k.empty(), lambda g: g.add_description("a", "b", team="x", owner="y"), log_lines
    ),
    "set_adapter: returns": lambda k: k.empty().set_adapter({"type": "local"}),
    "set_adapter: None": lambda k: k.diamond().set_adapter(None),
    "set_adapter: empty": lambda k: k.diamond().set_adapter({}),
    "set_adapter: no dictionary": lambda k: k.empty().set_adapter("local"),
    "set_adapter: unknown": lambda k: k.empty().set_adapter({"type": "condor"}),
    "set_adapter: without a type": lambda k: k.empty().set_adapter({"host": "x"}),
    "generate_scripts: returns": lambda k: k.diamond().generate_scripts(),
    "generate_scripts: without an adapter": lambda k: then(
        k.diamond(), lambda g: g.set_adapter(None), lambda g: g.generate_scripts()
    ),
    "generate_scripts: of a new graph": lambda k: k.empty().generate_scripts(),
    "generate_scripts: the script": lambda k: then(
        k.one("echo x"), lambda g: g.generate_scripts(), lambda g: Path(record(g, "only", "script")).read_text()
    ),
    "update_throttle: returns": lambda k: k.diamond().update_throttle(3),
    "update_rlimit": lambda k: then(
        k.one(restart="again"), lambda g: g.update_rlimit(5), lambda g: record(g, "only", "restart_limit")
    ),
    "update_rlimit: without a restart script": lambda k: then(
        k.one(), lambda g: g.update_rlimit(5), lambda g: record(g, "only", "restart_limit")
    ),
    "cleanup: returns": lambda k: k.diamond().cleanup(),
}

#: The calls that run a graph, and read its state afterwards.
RUNNING: dict[str, Call] = {
    **{f"{name} of a new graph": names_of(name) for name in _SETS},
    **{f"{name} of a finished graph": names_of(name, ended=True) for name in _SETS},
    "failed_steps": lambda k: names(k.ended(failing(k)).failed_steps),
    "completed_steps beside failed ones": lambda k: names(k.ended(failing(k)).completed_steps),
    "sets together": lambda k: names((g := k.ended(failing(k))).completed_steps | g.failed_steps | g.cancelled_steps),
    "is_canceled": lambda k: k.diamond().is_canceled,
    "dry_run": lambda k: k.diamond().dry_run,
    "dry_run: asked for": lambda k: k.diamond(dry_run=True).dry_run,
    "dry_run: set": lambda k: then(k.diamond(), lambda g: setattr(g, "dry_run", True), lambda g: g.dry_run),
    "completed_steps of a dry run": lambda k: names(k.ended(k.diamond(dry_run=True)).completed_steps),
    "status of a dry run": lambda k: k.ended(k.diamond(dry_run=True)).values["top"].status.name,
    "execute_ready_steps of a finished graph": lambda k: k.ended(k.diamond()).execute_ready_steps().name,
    "execute_ready_steps of a failed graph": lambda k: k.ended(failing(k)).execute_ready_steps().name,
    "execute_ready_steps without an adapter": lambda k: then(
        k.one(), lambda g: g.set_adapter(None), lambda g: k.ended(g).execute_ready_steps().name
    ),
    "check_study_status": lambda k: [
        part if isinstance(part, dict) else part.name for part in k.diamond().check_study_status()
    ],
    "cancel_study": lambda k: k.diamond().cancel_study().name,
    "cancel_study: is_canceled": lambda k: then(k.diamond(), lambda g: g.cancel_study(), lambda g: g.is_canceled),
    "cancel_study: again": lambda k: then(k.diamond(), lambda g: g.cancel_study(), lambda g: g.cancel_study().name),
    "cancel_study: then execute_ready_steps": lambda k: then(
        k.diamond(), lambda g: g.cancel_study(), lambda g: g.execute_ready_steps().name
    ),
    "cancel_study: of a finished graph": lambda k: k.ended(k.diamond()).cancel_study().name,
    "cancel_study: is_canceled of a finished graph": lambda k: then(
        k.ended(k.diamond()), lambda g: g.cancel_study(), lambda g: g.is_canceled
    ),
    "status_subtree": lambda k: k.one().status_subtree,
    "status_subtree: of a diamond": lambda k: k.diamond().status_subtree,
    "write_status": lambda k: table(k.one(params=[("A", "1")]), k),
    "write_status: of a finished graph": lambda k: table(k.ended(k.one(params=[("A", "1")])), k),
    "write_status: returns": lambda k: k.one().write_status(str(k.place)),
    "write_status: takes a path": lambda k: k.one().write_status(k.place),
    "write_status: leaves": lambda k: then(
        k.one(), lambda g: g.write_status(str(k.place)), lambda _: sorted(p.name for p in k.place.iterdir())
    ),
    "pickle: returns": lambda k: k.diamond().pickle(str(k.place / "g.pkl")),
    "pickle and unpickle": lambda k: then(
        k.diamond(),
        lambda g: g.pickle(str(k.place / "g.pkl")),
        lambda _: list(k.ExecutionGraph.unpickle(str(k.place / "g.pkl")).values),
    ),
    "unpickle: the class": lambda k: then(
        k.diamond(),
        lambda g: g.pickle(str(k.place / "g.pkl")),
        lambda _: type(k.ExecutionGraph.unpickle(str(k.place / "g.pkl"))).__name__,
    ),
    "unpickle: no file": lambda k: k.ExecutionGraph.unpickle(str(k.place / "nowhere")),
    "unpickle: something else": lambda k: then(
        (k.place / "x").write_bytes(pickle.dumps({"a": 1})),
        lambda _: None,
        lambda _: k.ExecutionGraph.unpickle(str(k.place / "x")),
    ),
    "unpickle: an older state": lambda k: then(
        k.one(),
        lambda g: (g.pickle(str(k.place / "g.pkl")), k.ended(g)),
        lambda _: k.ExecutionGraph.unpickle(str(k.place / "g.pkl")).values["only"].status.name,
    ),
    "deepcopy": lambda k: list(copy.deepcopy(k.diamond()).values),
    "deepcopy: apart": lambda k: then(
        k.diamond(), lambda g: k.add(copy.deepcopy(g), "more"), lambda g: "more" in g.values
    ),
}

_NEW = (
    "name", "status", "jobid", "script", "restart_script", "to_be_scheduled", "restart_limit", "restarts", "params",
    "walltime", "time_submitted", "time_start", "time_end", "run_time", "elapsed_time", "can_restart", "is_local_step",
)  # fmt: skip


#: The calls on a record.
RECORDS: dict[str, Call] = {
    **{f"record: {name} of a new step": attribute_of(name) for name in _NEW},
    **{
        f"record: {name} of a finished step": attribute_of(name, ended=True)
        for name in ("status", "time_submitted", "time_start", "time_end", "run_time", "elapsed_time", "restarts")
    },
    "record: workspace": lambda k: (
        (w := record(k.one(), "only", "workspace")).name, w.value.startswith(str(k.place)), w.get_var()
    ),
    "record: step.name": lambda k: record(k.one(), "only", "step").name,
    "record: step.real_name": lambda k: record(k.one(), "only", "step").real_name,
    "record: step.description": lambda k: record(k.one(), "only", "step").description,
    "record: step.run": lambda k: dict(record(k.one(nodes=2), "only", "step").run),
    "record: the workspace in the command": lambda k: (
        record(g := k.one("ls $(WORKSPACE)"), "only", "step").run["cmd"]
        == f"ls {record(g, 'only', 'workspace').value}"
    ),
    "record: no walltime": lambda k: record(k.one(), "only", "walltime"),
    "record: jobs of a finished step": lambda k: len(record(k.ended(k.one()), "only", "jobid")),
    "record: kind of a job id": lambda k: type(record(k.ended(k.one()), "only", "jobid")[0]).__name__,
    "record: can_restart with scripts": lambda k: then(
        k.one(restart="again"), lambda g: g.generate_scripts(), lambda g: record(g, "only", "can_restart")
    ),
    "record: script of a finished step": lambda k: Path(record(k.ended(k.one()), "only", "script")).name,
    "record: restart_script with scripts": lambda k: then(
        k.one(restart="again"),
        lambda g: g.generate_scripts(),
        lambda g: Path(record(g, "only", "restart_script")).name,
    ),
    "record: no restart_script": lambda k: then(
        k.one(), lambda g: g.generate_scripts(), lambda g: record(g, "only", "restart_script")
    ),
    **{
        f"record: {name}": called(name, *given)
        for name, given in {
            "mark_submitted": (), "mark_running": (), "mark_end": ("FINISHED",), "mark_restart": (),
            "add_params": ([("A", "1")],),
            "setup_workspace": (),
        }.items()
    },
    "record: status set": lambda k: setattr((g := k.one()).values["only"], "status", g.values["only"].status),
}  # fmt: skip


def failing(kit: Kit) -> Any:
    """Return a graph with a step that fails, a step that depends on it, and an independent step."""
    graph = kit.empty()
    for name, cmd in (("bad", "false"), ("after", "true"), ("good", "true")):
        kit.add(graph, name, cmd)
    for parent, child in (("_source", "bad"), ("bad", "after"), ("_source", "good")):
        graph.add_connection(parent, child)
    graph.set_adapter({"type": "local"})
    graph.add_description("failing", "three steps")
    return graph


def members(kit: Kit) -> dict[str, list[tuple[str, Any]] | None]:
    """Return the public members of a graph and of a record.

    Methods have names and defaults of parameters, attributes None.
    """
    graph = kit.one()
    found: dict[str, list[tuple[str, Any]] | None] = {}
    for owner, instance in (("ExecutionGraph", graph), ("record", graph.values["only"])):
        for name in dir(instance):
            if not name.startswith("_"):
                raw = inspect.getattr_static(type(instance), name, None)
                is_method = inspect.isroutine(raw) or isinstance(raw, classmethod)
                found[f"{owner}.{name}"] = parameters(getattr(instance, name)) if is_method else None
    return found


def parameters(method: Any) -> list[tuple[str, Any]]:
    """Return the names and defaults of the parameters of a method."""
    return [(p.name, p.default) for p in inspect.signature(method).parameters.values()]


CALLS: dict[str, Call] = {**DAG_CALLS, **BUILDING, **RUNNING, **RECORDS}

#: The calls with another outcome, and the words of the page on differences about each.
DIFFERENT: dict[str, str] = {
    "values of a new graph": "`_source` is always there",
    "values: assigned": "They are read-only",
    "add_edge: to an unknown step": "They raise an error that is both a KeyError and a ValueError",
    "add_edge: a cycle stays": "It raises a ValueError, and the edge is not added",
    "add_connection: to itself": "`add_connection` of a step to itself makes it wait for ever",
    "remove_edge: the step then waits for nothing": "every step that waits for nothing is below it",
    "remove_edge: from the root": "It is refused for edges from `_source`",
    "remove_edge: of a step that has ended": "once the step was submitted or has ended",
    "add_step: again": "`add_step` with a name that is taken logs a warning",
    "add_step: a number as a parameter": "`params` of a record have values of any type",
    "name: of a new graph": "They are empty strings",
    "description: of a new graph": "They are empty strings",
    "set_adapter: without a type": "The type is `local`",
    "execute_ready_steps without an adapter": "All steps are local steps",
    "update_rlimit: without a restart script": "It changes the limit of steps with a restart script",
    "ready_steps of a new graph": "`ready_steps` is always up to date",
    "dry_run: set": "It is chosen when the graph is created",
    "cancel_study: is_canceled of a finished graph": "`cancel_study` sets `is_canceled` of a study that has ended",
    "status_subtree: of a diamond": "It has the order in which the steps were added",
    "unpickle: an older state": "It is open on the same study",
    "deepcopy: apart": "It is open on the same study",
    "record: can_restart of a new step": "They have their values as soon as the step is added",
    "record: kind of a job id": "The job id of a local step is a number",
    "record: no restart_script": "`restart_script` of a step without one is None",
    "record: status set": "They are read-only",
    **{
        f"record: {name}": "methods such as `mark_end` raise an error"
        for name in ("mark_submitted", "mark_running", "mark_end", "mark_restart", "add_params", "setup_workspace")
    },
}
