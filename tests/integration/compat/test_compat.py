"""Studies that are made in Python with Maestro's names."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest

import maestro_es.compat
from maestro_es.adapters import process
from maestro_es.compat import (
    ExecutionGraph,
    GitDependency,
    ParameterGenerator,
    PathDependency,
    Script,
    State,
    Study,
    StudyEnvironment,
    StudyStatus,
    StudyStep,
    Variable,
    YAMLSpecification,
)
from maestro_es.errors import RequestRefused, SpecError
from maestro_es.study.invocation import Runtime


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield
    process.reap()


def step(name: str, cmd: str, *depends: str) -> StudyStep:
    made = StudyStep()
    made.name, made.description = name, f"does {name}"
    made.run["cmd"] = cmd
    made.run["depends"] = list(depends)
    return made


def study(*steps: StudyStep, environment: StudyEnvironment | None = None, **more: Any) -> Study:
    made = Study("pi", "about pi", environment, steps=steps, out_path="out", **more)
    made.setup_workspace()
    made.setup_environment()
    return made


def test_the_example_in_the_documentation_runs_to_its_end(tmp_path):
    text = str(maestro_es.compat.__doc__).partition("::\n")[2].partition("What differs")[0]
    names: dict[str, object] = {}

    exec("\n".join(line.removeprefix("    ") for line in text.splitlines()), names)  # noqa: S102 - our own words

    graph = names["graph"]
    assert isinstance(graph, ExecutionGraph)
    assert graph.status is StudyStatus.FINISHED
    assert (tmp_path / "hello" / "count" / "words.txt").read_text().strip() == "4"
    with ExecutionGraph.open("hello") as again:
        assert {record.state for record in again.steps.values()} == {State.FINISHED}
    graph.close()


def test_the_program_in_coming_from_maestro_runs_to_its_end(tmp_path):
    root = Path(maestro_es.compat.__file__).parents[2]
    text = (root / "docs" / "coming-from-maestro.md").read_text().partition("```python\n")[2].partition("```")[0]
    shutil.copy(root / "examples" / "hello_world" / "hello_world.yaml", "study.yaml")
    names: dict[str, object] = {}

    exec(text.replace("time.sleep(1)", "time.sleep(0.05)"), names)  # noqa: S102 - our own words

    graph = names["graph"]
    assert isinstance(graph, ExecutionGraph)
    assert graph.status is StudyStatus.FINISHED
    graph.close()


def test_a_staged_study_has_its_file_beside_it_from_which_it_can_be_run_again(tmp_path):
    parameters = ParameterGenerator()
    parameters.add_parameter("N", [1, 2], "N.%%")
    environment = StudyEnvironment()
    environment.add(Variable("WORD", "hello"))
    _, graph = study(step("a", "echo $(WORD) $(N)"), environment=environment, parameters=parameters).stage()
    graph.close()

    again = YAMLSpecification.load_specification(tmp_path / "out" / "pi.yaml")

    assert again.name == "pi"
    assert again.desc == "about pi"
    assert again.get_parameters().parameters == {"N": [1, 2]}
    assert [made.run["cmd"] for made in again.get_study_steps()] == ["echo $(WORD) $(N)"]


def test_values_that_a_file_can_not_hold_are_parameters_too():
    parameters = ParameterGenerator()
    parameters.add_parameter("WHERE", [Path("/a"), Path("/b")], ["one", "two"], name="place")
    _, graph = study(step("a", "ls $(WHERE) $(WHERE.name)"), parameters=parameters).stage()

    with graph:
        assert {name: found.params[0].value for name, found in graph.steps.items()} == {"a_one": "/a", "a_two": "/b"}


def test_what_is_configured_are_the_settings_of_the_study():
    made = study(step("a", "true"))
    made.configure_study(submission_attempts=3, restart_limit=5, throttle=7, use_tmp=True, dry_run=True)
    assert made.is_configured

    with made.stage()[1] as graph:
        settings = graph.replay(graph.history()).study.settings
        assert graph.execute_ready_steps() is StudyStatus.FINISHED

    assert (settings.submission_attempts, settings.restart_limit, settings.submission_throttle) == (3, 5, 7)
    assert (settings.use_tmp, settings.dry_run) == (True, True)


def test_a_scheduler_that_is_chosen_after_staging_runs_the_steps_that_ask_for_nodes():
    big = step("big", "true")
    big.run["nodes"] = 1
    with study(big, step("small", "true")).stage()[1] as graph:
        graph.set_adapter({"type": "slurm", "host": "h", "bank": "b", "queue": "q"})
        assert {name: found.scheduled for name, found in graph.steps.items()} == {"big": True, "small": False}


def test_a_study_is_staged_after_its_workspace_and_its_environment_are_set_up():
    made = Study("pi", "about pi", steps=[step("a", "true")], out_path="out")
    with pytest.raises(RequestRefused, match="call setup_workspace first"):
        made.stage()
    made.setup_workspace()
    with pytest.raises(RequestRefused, match="call setup_environment first"):
        made.stage()


def test_a_study_is_staged_once():
    made = study(step("a", "true"))
    made.stage()[1].close()

    with pytest.raises(RequestRefused, match="there is a study in this directory"):
        made.stage()


def test_everything_that_is_wrong_with_a_study_is_said_at_once():
    with pytest.raises(SpecError) as caught:
        study(step("a", "true", "nowhere"), step("b", "$(c.workspace)")).stage()

    assert len(caught.value.problems) == 2


def test_an_output_path_that_is_not_the_studys_is_refused():
    environment = StudyEnvironment()
    environment.add(Variable("OUTPUT_PATH", "elsewhere"))

    with pytest.raises(ValueError, match="OUTPUT_PATH is 'elsewhere' and the study's out_path 'out'; make them one"):
        study(step("a", "true"), environment=environment).stage()


def test_specroot_is_what_the_program_says():
    environment = StudyEnvironment()
    environment.add(Variable("SPECROOT", "/specs"))
    made = study(step("a", "ls $(SPECROOT)"), environment=environment)
    made.configure_study(dry_run=True)

    with made.stage()[1] as graph:
        graph.execute_ready_steps()

    assert "ls /specs" in Path("out/a/a.sh").read_text()


# -- the environment ------------------------------------------------------------------------------------------------


def test_an_environment_finds_and_removes_by_name():
    environment = StudyEnvironment()
    assert not environment
    word = Variable("WORD", "hello")
    environment.add(word)

    assert environment
    assert environment.find("WORD") is word
    assert environment.find("other") is None
    assert environment.remove("WORD") is word
    assert environment.remove("WORD") is None


def test_an_environment_has_each_name_once_and_nothing_else_than_its_items():
    environment = StudyEnvironment()
    environment.add(Variable("WORD", "hello"))
    with pytest.raises(ValueError, match="there are two items 'WORD'"):
        environment.add(PathDependency("WORD", "."))
    with pytest.raises(TypeError, match="not str"):
        environment.add("WORD")  # type: ignore[arg-type]  # which is refused


def test_an_environment_is_applied_to_texts_in_lists_and_mappings():
    environment = StudyEnvironment()
    environment.add(Variable("A", "1$(B)"))
    environment.add(Variable("B", 2))

    assert environment.apply_environment({"cmd": "echo $(A)", "all": ["$(B)", 3]}) == {
        "cmd": "echo 12",
        "all": ["2", 3],
    }


def test_an_environment_is_set_up_until_something_is_added():
    environment = StudyEnvironment()
    environment.acquire_environment()
    assert environment.is_set_up
    environment.add(Variable("A", 1))
    assert not environment.is_set_up


def test_a_variable_substitutes_itself():
    assert Variable("A", 5).substitute("$(A) and $(B)") == "5 and $(B)"
    with pytest.raises(ValueError, match="needs a name and a value"):
        Variable("A", None)
    with pytest.raises(ValueError, match="begin with"):
        Variable("A", 1, "@")


def test_a_repository_has_one_of_hash_tag_and_branch():
    assert GitDependency("R", "url", "$(OUTPUT_PATH)", tag="v1").substitute("$(R)") == "$(OUTPUT_PATH)/R"
    with pytest.raises(ValueError, match="takes one of hash, tag and branch, not hash, tag"):
        GitDependency("R", "url", ".", hash="a", tag="b")
    with pytest.raises(ValueError, match="not commit"):
        GitDependency("R", "url", ".", commit="a")


# -- the study file -------------------------------------------------------------------------------------------------

TEXT = """
description: {name: pi, description: about pi}
env:
    variables: {OUTPUT_PATH: ./there, WORD: hello}
    labels: {TAG: $(WORD)-1}
    sources: [source env.sh]
    dependencies:
        paths: [{name: HERE, path: .}]
        git: [{name: R, path: $(OUTPUT_PATH), url: there, tag: v1}]
batch: {type: slurm, host: h, bank: b, queue: q}
study:
    - {name: a, description: d, run: {cmd: echo, nodes: 2}}
"""


def test_a_study_file_is_the_objects_that_a_study_is_made_of():
    spec = YAMLSpecification.load_specification_from_stream(io.StringIO(TEXT))

    environment = spec.get_study_environment()
    assert (spec.output_path, spec.batch["type"], spec.path) == ("./there", "slurm", "")
    assert {name: type(environment.find(name)).__name__ for name in ("WORD", "TAG", "HERE", "R")} == {
        "WORD": "Variable", "TAG": "Variable", "HERE": "PathDependency", "R": "GitDependency",
    }  # fmt: skip
    assert [source.source for source in environment.sources] == ["source env.sh"]
    [made] = spec.get_study_steps()
    assert (made.name, made.real_name, made.run["nodes"], made.run["restart"]) == ("a", "a", 2, "")
    assert not spec.get_parameters()


def test_a_wrong_study_file_says_so_with_its_name(tmp_path):
    (tmp_path / "wrong.yaml").write_text(TEXT.replace("cmd: echo, ", ""))

    with pytest.raises(SpecError, match=r"wrong\.yaml:12: .*'cmd'"):
        YAMLSpecification.load_specification("wrong.yaml")


def test_a_script_is_a_line_before_the_commands_of_each_step():
    environment = StudyEnvironment()
    environment.add(Script("export WORD=hello"))
    made = study(step("a", "echo $WORD"), environment=environment)
    made.configure_study(dry_run=True)

    with made.stage()[1] as graph:
        graph.execute_ready_steps()

    assert "export WORD=hello\necho $WORD" in Path("out/a/a.sh").read_text()


def test_flags_that_are_none_are_off_and_wrong_settings_are_refused_by_name():
    """As Merlin calls it."""
    made = study(step("a", "true"))
    made.configure_study(throttle=0, submission_attempts=1, restart_limit=0, use_tmp=None, hash_ws=None)  # type: ignore[arg-type]
    path, graph = made.stage()
    graph.close()
    with ExecutionGraph.open(path, Runtime(host=process.this_host()._replace(boot_id="the next"))) as again:
        assert list(again.steps) == ["a"]
    with pytest.raises(TypeError, match="throttle must be a whole number, not '3'"):
        made.configure_study(throttle="3")  # type: ignore[arg-type]  # which is refused
    with pytest.raises(ValueError, match="restart_limit must not be negative"):
        made.configure_study(restart_limit=-1)
