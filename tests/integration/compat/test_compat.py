"""Studies that are made in Python with Maestro's names."""

from __future__ import annotations

import copy
import datetime as dt
import io
import pickle
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest

import maestro_es.compat
from maestro_es.adapters import spawner
from maestro_es.adapters.base import Job
from maestro_es.adapters.host import this_host
from maestro_es.compat import (
    Combination,
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
from maestro_es.core.events import StepAdded
from maestro_es.errors import RequestRefused, SpecError
from maestro_es.study.invocation import Runtime
from maestro_es.study_file.study_environment import Dependency


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield
    spawner.reap()


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
    text = str(maestro_es.compat.__doc__).partition("::\n")[2].partition("There are two differences")[0]
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


def test_a_study_that_is_staged_again_continues():
    with study(step("a", "echo once >> ran")).stage()[1] as graph:
        while graph.execute_ready_steps() is StudyStatus.RUNNING:
            time.sleep(0.05)

    with study(step("a", "echo once >> ran")).stage()[1] as again:
        assert again.execute_ready_steps() is StudyStatus.FINISHED

    assert Path("out/a/ran").read_text() == "once\n"


def test_another_study_is_not_staged_into_the_directory_of_one():
    study(step("a", "true")).stage()[1].close()

    with pytest.raises(RequestRefused, match="out: there is another study in this directory"):
        study(step("a", "false")).stage()


def test_everything_that_is_wrong_with_a_study_is_said_at_once():
    with pytest.raises(SpecError) as caught:
        study(step("a", "true", "nowhere"), step("b", "$(c.workspace)")).stage()

    assert len(caught.value.problems) == 2


def test_an_output_path_that_is_not_the_studys_is_a_variable_like_any_other():
    """As in Merlin, whose studies are in a directory below it."""
    environment = StudyEnvironment()
    environment.add(Variable("OUTPUT_PATH", "/elsewhere"))
    environment.add(Variable("DATA", "$(OUTPUT_PATH)/data"))
    made = study(step("a", "ls $(DATA) $(OUTPUT_PATH)"), environment=environment)
    made.configure_study(dry_run=True)

    with made.stage()[1] as graph:
        graph.execute_ready_steps()

    assert "ls /elsewhere/data /elsewhere\n" in Path("out/a/a.sh").read_text()


def test_specroot_is_what_the_program_says():
    environment = StudyEnvironment()
    environment.add(Variable("SPECROOT", "/specs"))
    made = study(step("a", "ls $(SPECROOT)"), environment=environment)
    made.configure_study(dry_run=True)

    with made.stage()[1] as graph:
        graph.execute_ready_steps()

    assert "ls /specs" in Path("out/a/a.sh").read_text()


def test_a_study_is_a_graph_of_its_steps_with_the_environment_in_them():
    environment = StudyEnvironment()
    environment.add(Variable("WORD", "hello"))
    made = study(
        step("first", "echo $(WORD)"), step("last", "true", "left", "right_*"), step("left", "true", "first"),
        step("right", "true", "first"), environment=environment,
    )  # fmt: skip

    assert made.adjacency_table == {
        "_source": ["first"], "first": ["left", "right"], "last": [], "left": ["last"], "right": ["last"],
    }  # fmt: skip
    assert made.values["first"].run["cmd"] == "echo hello"
    assert [name for _, name, _ in made.walk_study()] == ["_source", "first", "left", "last", "right", "last"]
    assert made.topological_sort() == ["_source", "first", "right", "left", "last"]
    assert made.bfs_subtree("left") == (["left", "last"], {"left": None, "last": "left"})


def test_an_edge_that_is_added_by_hand_is_a_dependency():
    made = study(step("a", "true"), step("b", "true"))
    made.add_edge("a", "b")

    with made.stage()[1] as graph:
        events = [recorded.event for recorded in graph.history("b")]
    assert [event.parents for event in events if isinstance(event, StepAdded)] == [(1,)]


def test_edges_that_make_no_sense_are_refused_or_ignored_as_in_maestro():
    made = study(step("a", "true"), step("b", "true", "a"))
    with pytest.raises(ValueError, match="the edge from 'b' to 'a' would close a cycle"):
        made.add_edge("b", "a")
    with pytest.raises(ValueError, match="there is no node 'c'"):
        made.add_edge("c", "a")
    before = copy.deepcopy(made.adjacency_table)
    made.add_edge("a", "a")
    made.add_edge("a", "c")
    made.remove_edge("c", "a")
    made.remove_edge("a", "c")
    made.add_node("a", None)
    with pytest.raises(ValueError, match="there is no edge from 'b' to 'a', so none is removed"):
        made.remove_edge("b", "a")

    assert made.adjacency_table == before
    assert made.values["a"].run["cmd"] == "true"
    assert not made.detect_cycle()


def test_what_staging_finds_out_is_kept_and_written():
    parameters = ParameterGenerator()
    parameters.add_parameter("N", [1, 2], "N.%%")
    made = study(step("a", "echo $(N)"), step("b", "true", "a_*"), parameters=parameters)
    made.stage()[1].close()

    assert made.used_params == {"_source": set(), "a": {"N"}, "b": set()}
    assert made.step_combos == {"_source": set(), "a": {"a_N.1", "a_N.2"}, "b": {"b"}}
    assert (made.depends["b"], made.hub_depends["b"]) == (set(), {"a"})
    assert made.workspaces == {"_source": "out", "a_N.1": "out/a/N.1", "a_N.2": "out/a/N.2", "b": "out/b"}
    shutil.rmtree("out/meta")
    made.store_metadata()
    other = study(step("a", "true"))
    other.load_metadata()
    assert (other.used_params, other.hub_depends) == (made.used_params, made.hub_depends)


def test_what_a_program_changes_in_a_step_counts():
    made = study(step("a", "true"))
    made.values["a"].run["cmd"] = "echo changed"
    made.configure_study(dry_run=True)

    with made.stage()[1] as graph:
        graph.execute_ready_steps()
    assert "echo changed" in Path("out/a/a.sh").read_text()


def test_a_workspace_that_can_not_be_made_is_reported_when_the_study_is_staged():
    Path("file").touch()
    made = Study("pi", "about pi", steps=[step("a", "true")], out_path="file/out")
    assert made.setup_workspace() is False
    with pytest.raises(RequestRefused, match="file/out: there is no such directory"):
        made.stage()


def test_a_study_can_be_pickled():
    made = study(step("a", "true"))
    made.pickle("study.pkl")

    assert Study.unpickle("study.pkl").adjacency_table == made.adjacency_table
    assert pickle.loads(pickle.dumps(made)).values == made.values  # noqa: S301 - our own words
    assert copy.deepcopy(made).values == made.values


def test_a_step_that_would_close_a_cycle_is_not_added():
    made = Study("pi", "about pi", steps=[step("a", "true", "c"), step("b", "true", "a_*")], out_path="out")
    table = copy.deepcopy(made.adjacency_table)
    for _ in range(2):
        with pytest.raises(ValueError, match="the edge from 'c' to 'a' would close a cycle"):
            made.add_step(step("c", "true", "b"))
        assert made.adjacency_table == table
    made.add_step(step("c", "true"))
    assert made.topological_sort() == ["_source", "c", "a", "b"]


def test_a_step_with_keys_that_contain_themselves_is_not_added():
    made = Study("pi", "about pi", out_path="out")
    endless = step("a", "true")
    endless.run["more"] = endless.run
    with pytest.raises(ValueError, match=r"run of step 'a'\['more'\] must not be nested deeper than"):
        made.add_step(endless)
    assert list(made.values) == ["_source"]


def test_parameters_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="parameters must be a ParameterGenerator, not int"):
        Study("pi", "about pi", parameters=5)  # type: ignore[arg-type]


class Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("called"),)


def test_reading_a_pickle_calls_no_functions():
    Path("bad.pkl").write_bytes(pickle.dumps(Calls()))
    with pytest.raises(pickle.UnpicklingError, match="which is not read"):
        Study.unpickle("bad.pkl")
    Path("list.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(TypeError, match=r"list\.pkl holds a list, not a Study"):
        Study.unpickle("list.pkl")
    assert not Path("called").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"cmaestro_es.adapters.base\nJob\nN}X\6\0\0\0runnerK\1s\x86b.", id="another class of ours"),
        pytest.param(b"cmaestro_es.compat.study\nStudy\nN}X\5\0\0\0stageK\1s\x86b.", id="attribute of a class"),
        pytest.param(b"cpathlib\nPosixPath\nN}X\4\0\0\0openK\1s\x86b.", id="attribute of a plain class"),
        pytest.param(b"cmaestro_es.compat.study_step\nStudyStep\n)\x81N}\x86b.", id="slots"),
        pytest.param(b"cmaestro_es.core.model\nState\nK\1\x85R}X\7\0\0\0_value_K\2sb.", id="a shared object"),
        pytest.param(b"cmaestro_es.execution_graph\nExecutionGraph\n)R.", id="a class with effects"),
        pytest.param(b"cmaestro_es.compat.study\nExecutionGraph\n)R.", id="the same by another name"),
        pytest.param(f"c{__name__}\nExecutionGraph\n)R.".encode(), id="the same in a program"),
        pytest.param(b"\x8c\x19maestro_es.compat.pickles\x8c\x08os.write\x93.", id="a name with a dot"),
        pytest.param(b"cbuiltins\ngetattr\ncpathlib\nPath\nX\4\0\0\0open\x86R.", id="attribute that is read"),
    ],
)
def test_a_pickle_changes_no_class_and_calls_nothing(content: bytes):
    before = {kind: dict(vars(kind)) for kind in (Job, Study, Path, State)}
    Path("bad.pkl").write_bytes(b"\x80\4" + content)
    with pytest.raises(
        pickle.UnpicklingError, match=r"^bad\.pkl: the file (holds|sets|reads) .*; build the study in Python"
    ):
        Study.unpickle("bad.pkl")
    assert {kind: dict(vars(kind)) for kind in before} == before
    assert [path.name for path in Path().iterdir()] == ["bad.pkl"]


class Mine(Study):
    """A program's own class."""


def test_a_pickle_keeps_all_that_a_study_holds():
    environment = StudyEnvironment()
    for item in (Variable("A", "1"), Script("x=1"), PathDependency("HERE", "."), GitDependency("g", "url", ".")):
        environment.add(item)
    parameters = ParameterGenerator()
    parameters.add_parameter("P", [1, 2])
    made = Mine("pi", "about pi", environment, parameters, [step("a", "echo $(A)")], "out")
    made.more = [State.FINISHED, UUID(int=1), {Path("a"): dt.timedelta(1)}]  # type: ignore[attr-defined]
    made.pickle("study.pkl")
    again: Any = Mine.unpickle("study.pkl")

    assert (type(again), again.more) == (Mine, made.more)  # type: ignore[attr-defined]
    assert (again.values, again.environment.section()) == (made.values, environment.section())
    assert again.parameters.get_metadata() == parameters.get_metadata()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "this is not a whole pickle"),
        (b"what", "this is not a whole pickle"),
        (
            b"\x80\4cmaestrowf.datastructures.core.study\nStudy\n)\x81.",
            "this is a pickle of Maestro's, with a .* not read",
        ),
    ],
)
def test_a_file_that_is_no_pickle_of_ours_is_reported_with_a_remedy(content: bytes, reason: str):
    Path("bad.pkl").write_bytes(content)
    with pytest.raises(pickle.UnpicklingError, match=rf"^bad\.pkl: {reason}; build the study in Python again, and "):
        Study.unpickle("bad.pkl")


def test_an_object_that_can_not_be_pickled_leaves_the_earlier_file():
    made: Any = study(step("a", "true"))
    made.pickle("study.pkl")
    made.more = lambda: 0
    with pytest.raises((pickle.PicklingError, AttributeError)):
        made.pickle("study.pkl")
    assert list(Study.unpickle("study.pkl").values) == ["_source", "a"]


# -- steps and parameters -------------------------------------------------------------------------------------------


def test_a_step_with_parameters_is_another_step():
    parameters = ParameterGenerator()
    parameters.add_parameter("N", [1], "N.%%", "number")
    [combination] = parameters
    plain, made = step("a", "true"), step("a", "echo $(N) $(N.label) $(N.name)")

    modified, applied = made.apply_parameters(combination)

    assert (modified, applied.run["cmd"]) == (True, "echo 1 N.1 number")
    assert plain.apply_parameters(combination) == (False, plain)
    assert made != applied
    applied.nickname = "short"
    assert (applied.name, applied.real_name) == ("short", "a")


def test_parameters_say_what_they_are():
    parameters = ParameterGenerator()
    parameters.add_parameter("N", [1, 2], "N.%%")
    parameters.add_parameter("NP", [4, 8], ["four", "eight"])

    assert parameters.get_metadata() == {
        "N.1.four": {"params": {"$(N)": 1, "$(NP)": 4}, "labels": {"$(N.label)": "N.1", "$(NP.label)": "four"}},
        "N.2.eight": {"params": {"$(N)": 2, "$(NP)": 8}, "labels": {"$(N.label)": "N.2", "$(NP.label)": "eight"}},
    }
    assert parameters.get_used_parameters(step("a", "echo $(NP.label)", "$(M)")) == {"NP"}
    assert [dict(combination.get_param_values(["NP"])) for combination in parameters] == [{"NP": 4}, {"NP": 8}]


def test_a_program_may_have_its_own_kind_of_combination():
    combination = Combination("%")
    combination.add("N", "number", 1, "one")
    assert combination.apply("%(N) %(N.label) %(N.name) $(N)") == "1 one number $(N)"
    assert (str(combination), combination.get_param_string(["N"])) == ("one", "one")


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
    assert Variable("A", 5, "@").substitute("$(A) and @(A)") == "$(A) and 5"


def test_a_repository_has_one_of_hash_tag_and_branch():
    assert GitDependency("R", "url", "$(OUTPUT_PATH)", tag="v1").substitute("$(R)") == "$(OUTPUT_PATH)/R"
    with pytest.raises(ValueError, match="takes one of hash, tag and branch, not hash, tag"):
        GitDependency("R", "url", ".", hash="a", tag="b")
    with pytest.raises(ValueError, match="not commit"):
        GitDependency("R", "url", ".", commit="a")


def test_a_path_that_is_not_there_is_found_out_when_the_environment_is_set_up():
    environment = StudyEnvironment()
    environment.add(PathDependency("DATA", "nowhere"))
    made = Study("pi", "about pi", environment, steps=[step("a", "true")], out_path="out")

    with pytest.raises(ValueError, match=r"The specified path 'DATA' does not exist: .*/nowhere"):
        made.setup_environment()


def test_a_repository_is_cloned_when_the_environment_is_set_up(tmp_path):
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e"]
    subprocess.run(["git", "init", "-q", "there"], check=True)
    (tmp_path / "there" / "file").write_text("text")
    for words in (["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, "-C", "there", *words], check=True)
    environment = StudyEnvironment()
    environment.add(GitDependency("CODE", str(tmp_path / "there"), "$(OUTPUT_PATH)"))
    made = study(step("a", "cat $(CODE)/file"), environment=environment)

    assert Path("out/CODE/file").read_text() == "text"
    made.configure_study(dry_run=True)
    with made.stage()[1] as graph:
        graph.execute_ready_steps()
    assert f"cat {tmp_path}/out/CODE/file" in Path("out/a/a.sh").read_text()


def test_a_repository_that_can_not_be_had_says_so():
    environment = StudyEnvironment()
    environment.add(GitDependency("CODE", "nowhere", "."))
    with pytest.raises(RuntimeError, match="The git dependency 'CODE' could not be acquired"):
        environment.acquire_environment()


def test_a_program_may_have_its_own_kind_of_dependency():
    class Module(Dependency):
        name, token, acquired = "TOOL", "$", False

        def substitute(self, data: str) -> str:
            return data.replace("$(TOOL)", "/opt/tool")

        def acquire(self, substitutions: object = None) -> None:
            self.acquired = True

        def _verify(self) -> bool:
            return True

    module = Module()
    environment = StudyEnvironment()
    environment.add(module)
    made = study(step("a", "$(TOOL)/run"), environment=environment)
    made.configure_study(dry_run=True)

    assert module.acquired
    with made.stage()[1] as graph:
        graph.execute_ready_steps()
    assert "/opt/tool/run" in Path("out/a/a.sh").read_text()


def test_a_script_is_put_before_commands():
    assert Script("source env.sh").apply(["run", "end"]) == ["source env.sh", "run", "end"]


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
    assert (spec.output_path, spec.batch["type"], spec.path) == ("./there", "slurm", None)
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


def test_a_program_that_handles_maestros_errors_handles_ours(tmp_path):
    (tmp_path / "wrong.yaml").write_text(TEXT.replace("cmd: echo, ", ""))

    with pytest.raises(jsonschema.ValidationError) as caught:
        YAMLSpecification.load_specification("wrong.yaml")
    assert caught.value.message == "Key 'cmd' is missing from study step 'a'."
    with pytest.raises(jsonschema.ValidationError, match="Study must be a list of at least one step") as caught:
        YAMLSpecification.load_specification_from_stream(
            io.StringIO("{description: {name: n, description: d}, study: []}")
        )
    assert caught.value.message == "A study specification MUST contain at least one step in its workflow."
    with pytest.raises(FileNotFoundError):
        YAMLSpecification.load_specification("nowhere.yaml")


def test_a_specification_is_made_and_changed_by_a_program():
    spec = YAMLSpecification()
    assert (spec.path, spec.description, spec.environment, spec.batch, spec.study, spec.globals) == (
        "", {}, {}, {}, [], {},
    )  # fmt: skip
    spec.description = {"name": "n", "description": "d"}
    spec.study = [{"name": "a", "description": "d", "run": {"cmd": "true"}}]
    spec.name, spec.desc = "other", "words"
    spec.verify()

    assert (spec.name, spec.description["name"], spec.desc, spec.output_path) == ("other", "other", "words", "")
    spec.study[0]["run"]["bad"] = 1
    with pytest.raises(jsonschema.ValidationError) as caught:
        spec.verify()
    assert caught.value.message == "Unrecognized key 'bad' found in study step 'a'."


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "list": {"type": "array", "uniqueItems": True},
        "size": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "x"}]},
        "kind": {"enum": ["a"]},
    },
}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "Key 'name' is missing from part."),
        ({"name": ""}, "In part, empty string found as value for name."),
        ({"name": 1}, "In part, name must be of type 'string', but found 'int'."),
        ({"name": "a", "b": 1}, "Unrecognized key 'b' found in part."),
        ({"name": "a", "list": [1, 1]}, "Non-unique step names in part.run.depends."),
        (
            {"name": "a", "size": "two"},
            (
                "The value 'two' in field size of part is not of type 'integer' or does not conform to the format "
                "'$(VARNAME)'."
            ),
        ),
    ],
)
def test_a_program_checks_parts_with_schemas_of_its_own(value: dict[str, Any], words: str):
    """As Merlin does."""
    with pytest.raises(jsonschema.ValidationError) as caught:
        YAMLSpecification.validate_schema("part", value, SCHEMA)
    assert caught.value.message == words
    with pytest.raises(ValueError, match="Validation error: 'b' is not one of"):
        YAMLSpecification.validate_schema("part", {"name": "a", "kind": "b"}, SCHEMA)


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
    with ExecutionGraph.open(path, Runtime(host=this_host()._replace(boot_id="the next"))) as again:
        assert list(again.steps) == ["a"]
    with pytest.raises(TypeError, match="throttle must be a whole number, not '3'"):
        made.configure_study(throttle="3")  # type: ignore[arg-type]  # which is refused
    with pytest.raises(ValueError, match="restart_limit must not be negative"):
        made.configure_study(restart_limit=-1)
