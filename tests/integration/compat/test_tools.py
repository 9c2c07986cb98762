"""What else programs use of ``maestrowf``: versions, nested mappings, logs, generators, and its abstract classes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from maestro_es.compat import DAG, ParameterGenerator, StepPriority, StudyEnvironment, Variable
from maestro_es.compat.abstracts import Graph, Record, Singleton, abstractclassmethod
from maestro_es.compat.tools import (
    LoggerUtility,
    coerce_dict_values,
    dict_to_dot_strings,
    iter_dotpath_items,
    load_parameter_generator,
    parse_version,
    ping_url,
    unflatten_dotpath_dict,
    unflatten_dotpath_tuples,
    update_recursive,
)

NESTED = {"a": {"b": 1, "c": None}, "d": 2}


def test_nested_mappings_are_paths_and_back():
    assert [*iter_dotpath_items(NESTED)] == [("a.b", 1), ("a.c", None), ("d", 2)]
    assert dict_to_dot_strings(NESTED) == ["a.b=1", "a.c=None", "d=2"]
    assert dict_to_dot_strings(NESTED, prefix="x", result=["first"], print_none=False) == [
        "first", "x.a.b=1", "x.a.c", "x.d=2",
    ]  # fmt: skip
    assert unflatten_dotpath_tuples(iter_dotpath_items(NESTED)) == NESTED
    assert unflatten_dotpath_dict({"a/b": 1, "a": 2, "a/c": 3}, sep="/") == {"a": {"c": 3}}
    assert coerce_dict_values(NESTED, str) == {"a": {"b": "1", "c": "None"}, "d": "2"}
    assert update_recursive({"a": {"b": 1}, "d": 1}, {"a": {"c": 2}, "d": {}}) == {"a": {"b": 1, "c": 2}, "d": {}}
    with pytest.raises(TypeError, match="must be a mapping, not list"):
        next(iter_dotpath_items([]))


def test_a_version_is_read_by_either_rule():
    assert str(parse_version("0.50.0rc2")) == "0.50.0rc2"
    assert str(parse_version("0.49.0-225-g53e087510")) == "0.49.0"
    with pytest.raises(ValueError, match="whatever"):
        parse_version("9.8.7-whatever+meta+meta")


def test_a_log_is_written_to_a_file(tmp_path: Path):
    logger = logging.getLogger("a program")
    utility = LoggerUtility(logger)
    utility.add_file_handler(str(tmp_path / "log"), "%(levelname)s %(message)s", 3)
    utility.add_stream_handler("%(message)s")
    logger.warning("hello")
    for handler in logger.handlers[:]:
        handler.close()
        logger.removeHandler(handler)

    assert (tmp_path / "log").read_text() == "WARNING hello\n"
    assert [utility.map_level(level) for level in (1, 2, 3, 4, 5, 9)] == [10, 20, 30, 40, 50, 50]


def test_a_page_is_loaded(tmp_path: Path):
    (tmp_path / "page").touch()
    ping_url((tmp_path / "page").as_uri())
    with pytest.raises(OSError, match="No such file"):
        ping_url((tmp_path / "none").as_uri())


def test_a_generator_is_loaded_from_a_file(tmp_path: Path):
    (tmp_path / "pgen.py").write_text(
        "def get_custom_generator(env, **kwargs):\n"
        "    from maestro_es.compat import ParameterGenerator\n"
        "    made = ParameterGenerator()\n"
        "    made.add_parameter('N', [env.find('FIRST').value, int(kwargs['last'])])\n"
        "    return made\n"
    )
    environment = StudyEnvironment()
    environment.add(Variable("FIRST", 1))
    made = load_parameter_generator(tmp_path / "pgen.py", environment, {"last": "2"})

    assert isinstance(made, ParameterGenerator)
    assert [str(combination) for combination in made] == ["N.1", "N.2"]
    with pytest.raises(ImportError, match="is not a Python file"):
        load_parameter_generator(tmp_path / "pgen", environment, {})


def test_priorities_have_the_words_of_study_files():
    assert [StepPriority.from_str(word) for word in ("low", "Expedited", "HELD")] == [
        StepPriority.LOW, StepPriority.EXPEDITE, StepPriority.HELD,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="priority 'urgent' is unknown; choose one of: HELD, MINIMAL"):
        StepPriority.from_str("urgent")


def test_the_abstract_classes_are_those_that_programs_derive_from():
    class Base:
        @abstractclassmethod
        def load(cls) -> None:  # noqa: N805 - a class method
            """Load it."""

    class Only(Singleton):
        pass

    assert issubclass(DAG, Graph)
    assert vars(Base)["load"].__isabstractmethod__
    assert Only() is Only()
    assert Record().get("nothing", 3) == 3
