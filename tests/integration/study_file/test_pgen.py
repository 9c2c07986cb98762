from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import io
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.compat.modules import MODULES
from maestro_es.core.events import StepAdded, StepTemplateAdded
from maestro_es.core.step_keys import substitute
from maestro_es.errors import SpecError
from maestro_es.study_file import pgen_tools
from maestro_es.study_file.plan import StudyPlan, plan_study

STUDY = """\
description: {name: s, description: d}
env:
  variables: {COUNT: 2, DATA: $(OUTPUT_PATH)/data}
study:
- {name: a, description: d, run: {cmd: x $(P) $(P.name)}}
global.parameters:
  P: {values: [replaced], label: P.%%}
"""

GENERATOR = """\
from maestrowf.datastructures.core import ParameterGenerator

def get_custom_generator(env, **kwargs):
    generator = ParameterGenerator()
    count = int(kwargs.get("count", env.find("COUNT").value))
    generator.add_parameter("P", [kwargs.get("prefix", "") + str(i) for i in range(count)], "P.%%", "the p")
    return generator
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_maestro(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "maestrowf" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    for name in [name for name in sys.modules if name.partition(".")[0] == "maestrowf"]:
        monkeypatch.delitem(sys.modules, name)


def plan(generator: str, *pargs: str) -> StudyPlan:
    Path("study.yaml").write_text(STUDY, "utf-8")
    Path("pg.py").write_text(generator, "utf-8")
    return plan_study(Path("study.yaml"), SCHEDULERS, output=None, timestamp="x", pgen=Path("pg.py"), pargs=pargs)


def refused(generator: str, *pargs: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        plan(generator, *pargs)
    return caught.value.problems


def names(made: StudyPlan) -> list[str]:
    return [event.name for _, event in made.events if isinstance(event, StepAdded)]


@pytest.mark.usefixtures("without_maestro")
def test_a_generator_replaces_the_parameters_of_the_file(here: Path):
    made = plan(GENERATOR)

    assert names(made) == ["a_P.0", "a_P.1"]
    assert made.pgen_path == here / "pg.py"
    assert next(event for _, event in made.events if isinstance(event, StepAdded)).params[0].name == "the p"


@pytest.mark.usefixtures("without_maestro")
def test_a_generator_leaves_nothing_behind(here: Path):
    plan(GENERATOR)

    assert not [name for name in sys.modules if name.partition(".")[0] == "maestrowf"]
    assert sorted(path.name for path in here.iterdir()) == ["pg.py", "study.yaml"]


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
def test_maestros_own_class_is_taken_where_it_is_installed():
    pytest.importorskip("maestrowf")

    assert names(plan(GENERATOR)) == ["a_P.0", "a_P.1"]


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
def test_a_class_derived_from_maestros_may_choose_among_combinations():
    pytest.importorskip("maestrowf")
    generator = """\
from maestrowf.datastructures.core import ParameterGenerator

class Odd(ParameterGenerator):
    def get_combinations(self):
        return (combo for i, combo in enumerate(super().get_combinations()) if i % 2)

def get_custom_generator(env, **kwargs):
    generator = Odd()
    generator.add_parameter("P", [1, 2, 3, 4])
    return generator
"""
    assert names(plan(generator)) == ["a_P.2", "a_P.4"]


@pytest.mark.usefixtures("without_maestro")
def test_arguments_are_split_at_the_first_colon_and_stripped():
    assert names(plan(GENERATOR, "count: 1", " prefix : a:b")) == ["a_P.a:b0"]


@pytest.mark.usefixtures("without_maestro")
def test_an_argument_without_a_colon_is_refused():
    assert refused(GENERATOR, "count=1") == (
        "study.yaml:1: The argument --pargs 'count=1' has no ':'. Write it as --pargs 'key:value'.",
    )


@pytest.mark.usefixtures("without_maestro")
def test_a_generator_sees_the_environment_resolved(here: Path):
    generator = f"""\
from maestrowf.datastructures.core.parameters import ParameterGenerator
import maestrowf.datastructures.environment

def get_custom_generator(env, OUTPUT_PATH, SPECROOT):
    assert OUTPUT_PATH == env.find("OUTPUT_PATH").value == {str(here / "s_x")!r}
    assert SPECROOT.value == env.find("SPECROOT").value == {str(here)!r} == SPECROOT == str(SPECROOT)
    assert env.find("DATA").value == OUTPUT_PATH + "/data"
    assert env.find("COUNT").value == 2
    assert env.find("nothing") is None
    generator = ParameterGenerator()
    generator.add_parameter("P", ["ok"])
    return generator
"""
    assert names(plan(generator)) == ["a_P.ok"]


@pytest.mark.usefixtures("without_maestro")
@pytest.mark.parametrize(
    ("generator", "problem"),
    [
        (
            GENERATOR.replace("COUNT", "CUONT"),
            "pg.py:5: The parameter generator failed: AttributeError: 'NoneType' object has no attribute 'value'. ",
        ),
        (GENERATOR + "  x = 1\n", "pg.py:8: The parameter generator failed: IndentationError: "),
        (
            "import nothing_of_that_name\n",
            (
                "pg.py:1: The parameter generator needs nothing_of_that_name, which the Python that runs maestro-es "
                f"lacks. Install it there: '{sys.executable} -m pip install nothing_of_that_name'."
            ),
        ),
        (
            "import yaml.nothing\n",
            "pg.py:1: The parameter generator needs yaml.nothing, which the Python that runs maestro-es lacks. ",
        ),
        (
            "from maestrowf.utils import start_processes\n",
            (
                "pg.py:1: The parameter generator can't import a name of Maestro's: maestro-es has no "
                "maestrowf.utils.start_processes. If Maestro 1.2.1 has it, install that beside maestro-es: "
                f"'{sys.executable} -m pip install maestrowf==1.2.1'. If not, correct the import."
            ),
        ),
        (
            "from maestrowf.datastructures import YAMLSpecification\n",
            (
                "pg.py:1: The parameter generator can't import a name of Maestro's: maestro-es has no "
                "maestrowf.datastructures.YAMLSpecification, but it has maestrowf.specification.YAMLSpecification. "
                "If Maestro 1.2.1 has it, "
            ),
        ),
        (
            "import maestrowf.nothing\n",
            "pg.py:1: The parameter generator can't import a name of Maestro's: maestro-es has no maestrowf.nothing. ",
        ),
        (
            GENERATOR.replace("get_custom", "get_custum"),
            (
                "pg.py:1: The parameter generator failed: AttributeError: it has no function "
                "get_custom_generator(env, **kwargs). Did you mean 'get_custum_generator'?"
            ),
        ),
        (GENERATOR.replace("return generator", "raise SystemExit(3)"), "pg.py:7: The parameter generator failed: Sys"),
        (
            GENERATOR.replace("return generator", 'generator.add_parameter("Q", [1])'),
            "pg.py:7: The parameter generator failed: ValueError: parameter 'Q' has 1 values, and those ",
        ),
        (
            GENERATOR.replace("return generator", "return"),
            "pg.py:1: get_custom_generator returned NoneType, not a ParameterGenerator. ",
        ),
        (GENERATOR.replace("range(count)", "range(0)"), "pg.py:1: The parameter generator made parameters without "),
    ],
)
def test_a_generator_that_fails_is_one_line_with_its_own_file_and_line(generator: str, problem: str):
    (found,) = refused(generator)

    assert found.startswith(problem)
    assert "\n" not in found


@pytest.mark.usefixtures("without_maestro")
def test_a_generator_that_is_not_there_is_one_line():
    Path("study.yaml").write_text(STUDY, "utf-8")

    with pytest.raises(
        SpecError, match=r"^none.py: The parameter generator does not exist. Name an existing file with --pgen.$"
    ):
        plan_study(Path("study.yaml"), SCHEDULERS, output=None, timestamp="x", pgen=Path("none.py"))


ADDS = """\
from maestrowf.datastructures.core import ParameterGenerator
from maestrowf.datastructures.environment import PathDependency, Script, Variable

def get_custom_generator(env, **kwargs):
    {does}
    generator = ParameterGenerator()
    generator.add_parameter("P", [1], "P.%%")
    return generator
"""

CHANGES = {
    "a variable is added": ('env.add(Variable("SEASON", "spring"))', "1 2 data spring $(BED)"),
    "a label is added": ('env.add(Variable("BED", "$(COUNT)-$(P)"))', "1 2 data $(SEASON) 2-1"),
    "a variable is removed": ('env.remove("COUNT")', "1 $(COUNT) data $(SEASON) $(BED)"),
    "one is put in the place of another": (
        'env.remove("COUNT"); env.add(Variable("COUNT", 7))',
        "1 7 data $(SEASON) $(BED)",
    ),
    "a value is changed": ('env.find("COUNT").value = 8', "1 8 data $(SEASON) $(BED)"),
    "labels are read": ('env.add(Variable("BED", ",".join(env.labels)))', "1 2 data $(SEASON) PLACE"),
    "substitutions are read": (
        'env.add(Variable("BED", ",".join(env.substitutions)))',
        "1 2 data $(SEASON) COUNT,SPECROOT,OUTPUT_PATH",
    ),
    "labels are filled": ('env.labels["BED"] = Variable("BED", "$(COUNT)x")', "1 2 data $(SEASON) 2x"),
    "a path is added": ('env.add(PathDependency("SEASON", "."))', "1 2 data <HERE> $(BED)"),
    "a line is added": ('env.add(Script("cd here"))', "1 2 data $(SEASON) $(BED)"),
}

WITH_NAMES = """\
description: {name: s, description: d}
env:
  variables: {COUNT: 2}
  labels: {PLACE: data$(NOTHING)}
study:
- {name: a, description: d, run: {cmd: "$(P) $(COUNT) $(PLACE) $(SEASON) $(BED)"}}
"""


def _changed(does: str, here: Path) -> str:
    Path("study.yaml").write_text(WITH_NAMES, "utf-8")
    Path("pg.py").write_text(ADDS.format(does=does), "utf-8")
    made = plan_study(Path("study.yaml"), SCHEDULERS, output=None, timestamp="x", pgen=Path("pg.py"))
    [(cmd, params)] = [
        (template.run["cmd"], step.params)
        for _, template in made.events
        if isinstance(template, StepTemplateAdded)
        for _, step in made.events
        if isinstance(step, StepAdded)
    ]
    return substitute(cmd, params).replace("$(NOTHING)", "").replace(str(here), "<HERE>")


@pytest.mark.usefixtures("without_maestro")
@pytest.mark.parametrize("change", CHANGES)
def test_steps_get_the_environment_as_the_generator_leaves_it(here: Path, change: str):
    does, expected = CHANGES[change]
    lines = _changed(does, here).split("\n")

    assert lines[-1] == expected
    assert lines[:-1] == (["cd here"] if "Script" in does else [])


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
@pytest.mark.parametrize("change", CHANGES)
def test_so_they_do_with_maestros_own_classes(here: Path, change: str):
    pytest.importorskip("maestrowf")
    does, expected = CHANGES[change]

    assert _changed(does, here).split("\n")[-1] == expected


@pytest.mark.usefixtures("without_maestro")
def test_a_name_is_added_once():
    assert refused(ADDS.format(does='env.add(Variable("DATA", 1))')) == (
        (
            "pg.py:5: The parameter generator failed: ValueError: there are two items 'DATA' in the environment; "
            "give one of them another name. Correct this file, or its arguments given with --pargs."
        ),
    )


@pytest.mark.usefixtures("without_maestro")
def test_a_generator_may_import_each_of_them():
    modules = {f"maestrowf.{name}".rstrip("."): words for name, words in MODULES.items()}
    imports = "".join(
        f"import {name}\n" + "".join(f"from {name} import {word}\n" for word in words)
        for name, words in modules.items()
    )
    assert names(plan(imports + "assert maestrowf.__version__ == '1.2.1'\n" + GENERATOR)) == ["a_P.0", "a_P.1"]


@pytest.mark.usefixtures("without_maestro")
def test_a_class_derived_from_ours_may_choose_among_combinations():
    generator = """\
from maestrowf.datastructures.core import ParameterGenerator

class Odd(ParameterGenerator):
    def get_combinations(self):
        return (combo for i, combo in enumerate(super().get_combinations()) if i % 2)

def get_custom_generator(env, **kwargs):
    generator = Odd()
    generator.add_parameter("P", [1, 2, 3, 4], ["a", "b", "c", "d"])
    return generator
"""
    assert names(plan(generator)) == ["a_b", "a_d"]


@pytest.mark.usefixtures("without_maestro")
def test_a_module_beside_the_generator_is_said_to_need_a_path(here: Path):
    (here / "helpers.py").touch()

    assert refused("import helpers\n") == (
        (
            "pg.py:1: The parameter generator can't import helpers: its directory is not searched, as in Maestro. "
            "Name the directory in PYTHONPATH."
        ),
    )


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
def test_the_functions_for_generators_do_what_maestros_do(here: Path):
    utils = pytest.importorskip("maestrowf.utils")
    (here / "file.txt").touch()
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("make_safe_path", ("a/b", "c d", "e/f:g")),
        ("make_safe_path", ("a",)),
        ("create_dictionary", (["a:1", " b : c:d "],)),
        ("apply_function", ({"a": ["x", "", 3]}, str.upper)),
        ("get_duration", (dt.timedelta(days=2, hours=3, seconds=4.9),)),
        ("round_datetime_seconds", (dt.datetime(2026, 1, 31, 12, 0, 0, 500_000, dt.timezone.utc),)),
        ("round_datetime_seconds", (dt.datetime(2026, 1, 31, 12, 0, 0, 499_999, dt.timezone.utc),)),
        ("generate_filename", (str(here / "new.txt"), False)),
    ]
    for name, arguments in calls:
        assert getattr(pgen_tools, name)(*arguments) == getattr(utils, name)(*arguments), name
    for table in ("a,b\n1,2\n3,4\n", "a,b\n1,2\n3\n\n"):
        assert pgen_tools.csvtable_to_dict(io.StringIO(table)) == utils.csvtable_to_dict(io.StringIO(table))
    assert pgen_tools.generate_filename(str(here / "file.txt"), append_time=False) == str(here / "file_00000.txt")
    pgen_tools.create_parentdir(str(here / "x" / "y"))
    assert (here / "x" / "y").is_dir()
    with pytest.raises(ValueError, match="'a' has no ':'"):
        pgen_tools.create_dictionary(["a"])
