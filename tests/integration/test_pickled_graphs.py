"""A pickle of a graph says where its study is, and nothing else; no other pickle is executed."""

from __future__ import annotations

import copy
import multiprocessing
import operator
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStatus
from maestro_es.compat.pickles import PickleInterface
from maestro_es.errors import NotAPointer, NotAStudy, RequestRefused, StudyElsewhere, StudyError
from tests.fakes.python_graphs import add, run_to_end

Copy = Callable[[ExecutionGraph, Path], ExecutionGraph]


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[ExecutionGraph]:
    with ExecutionGraph.create(tmp_path / "stüdy \\ one") as graph:
        add(graph, "a")
        yield graph


def load(content: bytes) -> ExecutionGraph:
    found: ExecutionGraph = pickle.loads(content)  # noqa: S301 - which a test has made
    return found


def through_a_file(graph: ExecutionGraph, folder: Path) -> ExecutionGraph:
    graph.pickle(folder / "graph.pkl")
    return ExecutionGraph.unpickle(folder / "graph.pkl")


def through_a_file_of_ours_and_pickle(graph: ExecutionGraph, folder: Path) -> ExecutionGraph:
    graph.pickle(folder / "graph.pkl")
    return load((folder / "graph.pkl").read_bytes())


def through_bytes(graph: ExecutionGraph, _folder: Path) -> ExecutionGraph:
    return load(pickle.dumps(graph))


COPIES: list[Copy] = [
    through_a_file,
    through_a_file_of_ours_and_pickle,
    through_bytes,
    lambda graph, _: copy.copy(graph),
    lambda graph, _: copy.deepcopy(graph),
]


@pytest.mark.parametrize("copied", COPIES, ids=["file", "file and loads", "dumps", "copy", "deepcopy"])
def test_a_copy_is_open_on_the_same_study(graph: ExecutionGraph, tmp_path: Path, copied: Copy):
    assert isinstance(graph, PickleInterface)
    with copied(graph, tmp_path) as other:
        assert other is not graph
        assert other.path == graph.path
        add(graph, "b")
        assert list(other.values) == ["_source", "a", "b"]
        assert run_to_end(other) is StudyStatus.FINISHED
    assert graph.completed_steps == {"_source", "a", "b"}


def test_a_pickle_is_the_same_however_far_the_study_is(graph: ExecutionGraph, tmp_path: Path):
    graph.pickle(tmp_path / "before.pkl")
    run_to_end(graph)
    graph.pickle(tmp_path / "after.pkl")
    assert (tmp_path / "before.pkl").read_bytes() == (tmp_path / "after.pkl").read_bytes()
    assert (tmp_path / "before.pkl").stat().st_size < 300


def test_another_process_reads_a_pickle(graph: ExecutionGraph, tmp_path: Path):
    graph.pickle(tmp_path / "graph.pkl")
    for read in ("ExecutionGraph.unpickle(sys.argv[1])", "pickle.load(open(sys.argv[1], 'rb'))"):
        program = f"import pickle, sys; from maestro_es import ExecutionGraph; print({read}.status_subtree)"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, "graph.pkl"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.stdout == "['a']\n"


def test_a_class_of_a_program_keeps_its_kind(graph: ExecutionGraph):
    with Special.open(graph.path) as special:
        assert type(copy.deepcopy(special)) is type(load(pickle.dumps(special))) is Special


class Special(ExecutionGraph):
    """A class that a program derives."""


@pytest.mark.parametrize("how", ["moved", "deleted", "emptied", "replaced"])
@pytest.mark.parametrize("read", [ExecutionGraph.unpickle, lambda file: load(file.read_bytes())])
def test_a_study_that_is_not_there_is_reported(
    graph: ExecutionGraph, tmp_path: Path, how: str, read: Callable[[Path], ExecutionGraph]
):
    file, path, study_id = tmp_path / "graph.pkl", graph.path, graph.at(seq=2).study.study_id
    graph.pickle(file)
    graph.close()
    if how == "moved":
        path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(path)
    if how == "emptied":
        path.mkdir()
    if how == "replaced":
        ExecutionGraph.create(path).close()
    expected = "another study, [0-9a-f]{32}, is here" if how == "replaced" else "was moved or deleted"
    with pytest.raises(StudyElsewhere, match=expected) as raised:
        read(file)
    assert study_id in str(raised.value)
    assert str(raised.value).count("\n") == 0
    assert not isinstance(raised.value, NotAStudy)


def test_no_other_pickle_is_executed(graph: ExecutionGraph, tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    graph.pickle(tmp_path / "ours")
    ours = (tmp_path / "ours").read_bytes()
    contents = {
        "evil": pickle.dumps(Evil()),
        "evil text": pickle.dumps(Evil(), protocol=0),
        "after ours": ours[:-1] + pickle.dumps(Evil(), protocol=0),
        "in the class": ours.replace(b"ExecutionGraph", b"Path"),
        "cut": ours[:-1],
        "empty": b"",
        "text": b"name: study\n",
    }
    for name, content in contents.items():
        file = tmp_path / name
        file.write_bytes(content)
        for kind in (NotAPointer, TypeError, StudyError):
            with pytest.raises(kind, match=name):
                ExecutionGraph.unpickle(file)
    assert not (tmp_path / "executed").exists()
    (tmp_path / "dumped").write_bytes(pickle.dumps(graph))
    with pytest.raises(NotAPointer, match=r"not written by ExecutionGraph\.pickle; read it with the program that has"):
        ExecutionGraph.unpickle(tmp_path / "dumped")
    with pytest.raises(FileNotFoundError):
        ExecutionGraph.unpickle(tmp_path / "nowhere")


def test_a_pickle_of_maestro_is_refused_and_names_import(tmp_path: Path):
    folder = tmp_path / "their study"
    folder.mkdir()
    (folder / "study.pkl").write_bytes(b"\x80\x04cmaestrowf.datastructures.core.executiongraph\nExecutionGraph\n.")
    with pytest.raises(NotAPointer, match=f"maestro-es import {folder}'") as raised:
        ExecutionGraph.unpickle(folder / "study.pkl")
    assert str(raised.value).count("\n") == 0


def test_the_steps_and_edges_of_a_graph_can_be_pickled_and_copied(graph: ExecutionGraph):
    """As Merlin does, whose tasks carry them to other processes."""
    values, edges = pickle.loads(pickle.dumps((graph.values, graph.adjacency_table)))  # noqa: S301 - our own words
    step = pickle.loads(pickle.dumps(graph.values["a"]))  # noqa: S301 - our own words

    assert dict(values) == dict(graph.values)
    assert {name: [*children] for name, children in edges.items()} == {
        name: [*children] for name, children in graph.adjacency_table.items()
    }
    assert step == graph.values["a"] == copy.deepcopy(graph.values["a"])
    assert step._study is values._study
    plain = copy.deepcopy(vars(step.step))
    plain["run"]["cmd"] = "another"
    assert step.step.run["cmd"] != "another"


@pytest.mark.parametrize(
    "name", ["events.db", "events.db-journal", "status.csv", ".maestro-es/runner.sh", ".maestro-es/inbox/g.pkl"]
)
def test_a_pickle_replaces_no_file_of_a_study(graph: ExecutionGraph, tmp_path: Path, name: str):
    before = graph.history()
    (tmp_path / "link").symlink_to(graph.path)
    for path in (graph.path / name, tmp_path / "link" / name):
        with pytest.raises(RequestRefused, match="write the pickle to another file"):
            graph.pickle(path)
    with ExecutionGraph.open(graph.path) as again:
        assert again.history() == before
    graph.pickle(graph.path / "graph.pkl")
    assert ExecutionGraph.unpickle(graph.path / "graph.pkl").path == graph.path


@pytest.mark.parametrize("path", [rb"/a\u12", rb"/a\U00110000", rb"/a\u0000b", rb"/a\ud800", b""])
def test_a_changed_pointer_is_refused(graph: ExecutionGraph, tmp_path: Path, path: bytes):
    file = tmp_path / "graph.pkl"
    graph.pickle(file)
    before, _, rest = file.read_bytes().partition(b"\nV")
    file.write_bytes(before + b"\nV" + path + b"\n" + rest.partition(b"\n")[2])
    with pytest.raises(NotAPointer, match=r"graph\.pkl: not as ExecutionGraph\.pickle writes it"):
        ExecutionGraph.unpickle(file)


def test_a_step_of_another_study_at_the_same_path_is_another_step(graph: ExecutionGraph, tmp_path: Path):
    before = graph.values["a"]
    (tmp_path / "link").symlink_to(graph.path)
    with ExecutionGraph.open(tmp_path / "link") as linked:
        assert linked.values["a"] == before
        assert len({linked.values["a"], before}) == 1
    shutil.rmtree(graph.path)
    with ExecutionGraph.create(graph.path) as other:
        add(other, "a")
        assert other.values["a"] != before


def test_a_step_can_be_unpickled_after_its_study_was_restored_from_a_copy(graph: ExecutionGraph, tmp_path: Path):
    content = pickle.dumps(graph.values["a"])
    old = pickle.loads(content)  # noqa: S301 - our own
    graph.close()
    shutil.copytree(graph.path, tmp_path / "copy")
    shutil.rmtree(graph.path)
    (tmp_path / "copy").rename(graph.path)
    new = pickle.loads(content)  # noqa: S301 - our own
    assert (new.name, new) == ("a", old)


def test_a_pool_of_processes_takes_graphs_records_and_names(graph: ExecutionGraph):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(operator.attrgetter("name"), [graph.values["a"]] * 3) == ["a"] * 3
        assert pool.map(len, [graph.ready_steps, graph.completed_steps, graph.values]) == [1, 1, 2]
        assert pool.map(operator.attrgetter("path"), [graph]) == [graph.path]


def test_the_names_of_steps_can_be_pickled_and_copied(graph: ExecutionGraph):
    for copied in (lambda names: load(pickle.dumps(names)), copy.copy, copy.deepcopy):
        assert [*copied(graph.completed_steps)] == ["_source"]
        assert [*copied(graph.ready_steps)] == ["a"]


@pytest.mark.parametrize("path", ["/", ".", ".."])
def test_a_directory_is_no_place_for_a_pickle(graph: ExecutionGraph, path: str):
    with pytest.raises(IsADirectoryError, match="give the path of a file"):
        graph.pickle(path)
