"""``graph`` draws studies and study files as SVG, DOT and Mermaid."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from maestro_es import ExecutionGraph, StudyStep
from tests.e2e.command import maestro_es

SPEC = """\
description: {name: meshes, description: d}
study:
- {name: mesh, description: d, run: {cmd: "true $(SIZE)"}}
- {name: solve, description: d, run: {cmd: "[ $(SIZE) != 40 ]", depends: [mesh]}}
- {name: post, description: d, run: {cmd: "true $(SIZE)", depends: [solve]}}
- {name: report, description: d, run: {cmd: "true", depends: [mesh_*]}}
global.parameters:
  SIZE: {values: [10, 20, 40], label: SIZE.%%}
"""

DOT = """\
digraph "meshes" {
    rankdir=LR
    node [shape=box, style="filled,rounded"]
    "mesh" [label="mesh\\n3 steps\\n3 finished", fillcolor="#0CA16F", fontcolor="#000000"]
    "report" [label="report\\n1 step\\n1 finished", fillcolor="#0CA16F", fontcolor="#000000"]
    "solve" [label="solve\\n3 steps\\n2 finished, 1 failed", fillcolor="#8F1D10", fontcolor="#FFFFFF"]
    "post" [label="post\\n3 steps\\n2 finished, 1 not run", fillcolor="#F1C9C4", fontcolor="#000000"]
    "mesh" -> "report" [style=bold]
    "mesh" -> "solve"
    "solve" -> "post"
}
"""

MERMAID = """\
flowchart LR
    n0["mesh<br/>3 steps<br/>3 finished"]:::finished
    n1["report<br/>1 step<br/>1 finished"]:::finished
    n2["solve<br/>3 steps<br/>2 finished, 1 failed"]:::failed
    n3["post<br/>3 steps<br/>2 finished, 1 not run"]:::not-run
    n0 ==> n1
    n0 --> n2
    n2 --> n3
    classDef failed fill:#8F1D10,color:#FFFFFF,stroke:#555555
    classDef finished fill:#0CA16F,color:#000000,stroke:#555555
    classDef not-run fill:#F1C9C4,color:#000000,stroke:#555555
"""

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a study that has failed."""
    folder = tmp_path_factory.mktemp("graph")
    (folder / "meshes.yaml").write_text(SPEC)
    assert maestro_es("run", "-y", "--wait", "-o", "s", "meshes.yaml", cwd=folder).returncode == 2
    return folder


def titles(svg: str) -> list[str]:
    """Return what a picture says about its boxes."""
    nodes = ET.fromstring(svg).iter(f"{_SVG}g")  # noqa: S314 - ours
    return [str(node.findtext(f"{_SVG}title")) for node in nodes if node.get("class") == "node"]


def test_the_templates_of_a_study_are_drawn_with_their_states(folder):
    assert maestro_es("graph", "s", cwd=folder).stdout == DOT
    assert maestro_es("graph", "s", "-f", "mermaid", cwd=folder).stdout == MERMAID
    assert maestro_es("graph", "s", "-o", "s.svg", cwd=folder).stdout == ""
    svg = (folder / "s.svg").read_text()
    assert titles(svg) == [
        "mesh: 3 finished", "report: 1 finished", "solve: 2 finished, 1 failed", "post: 2 finished, 1 not run"
    ]  # fmt: skip
    assert svg.count('class="edge"') == 2
    assert svg.count('class="edge all"') == 1


@pytest.mark.parametrize("steps", [[], ["--steps"]], ids=["templates", "steps"])
def test_a_study_file_gives_the_same_boxes_and_edges_as_its_study(folder, steps):
    def edges(what: str) -> list[str]:
        done = maestro_es("graph", what, *steps, cwd=folder)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if " -> " in line]

    assert edges("meshes.yaml") == edges("s")
    assert len(edges("s")) == (9 if steps else 3)


def test_a_study_may_have_the_name_of_a_study_file(folder):
    assert maestro_es("run", "-y", "--dry", "-o", "dry.yaml", "meshes.yaml", cwd=folder).returncode == 0
    assert maestro_es("graph", "dry.yaml", "-f", "dot", cwd=folder).stdout.startswith("digraph")


def test_each_step_can_be_drawn(folder):
    dot = maestro_es("graph", "s", "--steps", cwd=folder).stdout
    assert '"solve_SIZE.40" [label="solve_SIZE.40\\nfailed"' in dot
    assert '"mesh_SIZE.10" -> "solve_SIZE.10"' in dot
    assert '"mesh_SIZE.40" -> "report"' in dot
    assert maestro_es("graph", "s", "--steps", "-f", "svg", cwd=folder).stdout.count('class="node"') == 10


def test_many_steps_are_refused_with_a_way_out(folder):
    values = ", ".join(map(str, range(300)))
    (folder / "many.yaml").write_text(SPEC.replace("10, 20, 40", values))
    done = maestro_es("graph", "--steps", "many.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "at most 500 steps" in done.stderr
    assert "leave out --steps" in done.stderr


def test_a_file_with_an_unknown_ending_is_refused_before_anything_is_written(folder):
    done = maestro_es("graph", "s", "-o", "s.png", cwd=folder)
    assert done.returncode == 1
    assert "svg, dot, mermaid" in done.stderr
    assert not (folder / "s.png").exists()


@pytest.mark.parametrize(("words", "output"), [
    (["graph", "s", "-f", "svg"], "s/events.db"), (["report", "s"], "s/events.db"),
    (["graph", "meshes.yaml", "-f", "dot"], "meshes.yaml"),
])  # fmt: skip
def test_what_is_read_is_not_written_over(words, output, folder):
    before = (folder / output).read_bytes()
    done = maestro_es(*words, "-o", output, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "itself; choose another file" in done.stderr
    assert (folder / output).read_bytes() == before


def test_a_report_in_a_directory_that_is_missing_is_refused_in_one_line(folder):
    done = maestro_es("report", "s", "-o", "nowhere/s.html", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nowhere/s.html: can't be written: No such file or directory" in done.stderr


def test_names_can_end_neither_text_nor_markup(tmp_path):
    names = [
        '"]; x -> y [label="',
        "</title></svg><script>alert(1)</script>",
        "a\x1b]0;t\x07b\u202ec",
        "&lt;`${x}`\\n",
    ]
    with ExecutionGraph.create(tmp_path / "study") as graph:
        graph.set_adapter({"type": "local"})
        for name in names:
            graph.add_step(name, StudyStep(name, "d", {"cmd": "true"}), f"w{names.index(name)}", 0)
        graph.add_connection(names[0], names[1])
    svg, dot, mermaid = (
        maestro_es("graph", tmp_path / "study", "-f", form).stdout for form in ("svg", "dot", "mermaid")
    )
    assert [title.partition(":")[0] for title in titles(svg)][3] == names[3]
    assert "<script" not in svg
    assert '\\"]; x -> y [label=\\"' in dot
    assert '"]' not in mermaid.partition("classDef")[0].replace('"]:::', "")
    assert not any(character in text for text in (svg, dot, mermaid) for character in "\x1b\x07\u202e")
