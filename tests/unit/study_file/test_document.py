from __future__ import annotations

import contextlib

import pytest

from maestro_es.errors import SpecError
from maestro_es.study_file import document
from maestro_es.study_file.document import Document, read_document
from maestro_es.study_file.findings import Findings


def read(text: str) -> Document:
    return read_document(text, Findings("study.yaml"))


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_a_key_and_a_list_item_have_lines():
    made = read("a:\n  b:\n  - x\n  -\n    c: 1\n")

    assert made.line("a") == 1
    assert made.line("a", "b") == 2
    assert made.line("a", "b", 0) == 3
    assert made.line("a", "b", 1, "c") == 5


def test_what_is_not_there_has_the_line_of_what_it_would_be_in():
    assert read("a:\n  b: 1\n").line("a", "b", "c", 7) == 2


def test_a_byte_order_mark_is_no_part_of_the_study():
    assert read("\ufeffa: 1\n").data == {"a": 1}


def test_words_are_read_as_yaml_1_1_has_them():
    assert read("a: [on, 'on', 0o7, 010, ~]").data == {"a": [True, "on", "0o7", 8, None]}


def test_a_merge_key_takes_over_what_is_not_said():
    assert read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}").data["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: 1\nb: [\n", "study.yaml:3: This is not valid YAML: "),
        ("a: 1\nb: %x\n", "study.yaml:2: This is not valid YAML: "),
        (
            "a: 1\n--- \nb: 2\n",
            "study.yaml:2: This is not valid YAML: expected a single document in the stream, but found another",
        ),
        ("a: !!python/object:os.system {}\n", "study.yaml:1: This is not valid YAML: could not determine a constr"),
        (
            "a: 1\nb:\n- 2024-13-45\n",
            "study.yaml:3: YAML reads '2024-13-45' as a date, but it is not valid. Correct it.",
        ),
        ('a: 1\nb: !!timestamp "zz"\n', "study.yaml:2: YAML reads 'zz' as a date, but it is not valid. Correct it."),
        ("a: 1\nb: {c: !!int zz}\n", "study.yaml:2: YAML reads 'zz' as a number, but it is not valid. Correct it."),
        ("a: 1\nb: !!float '1,5'\n", "study.yaml:2: YAML reads '1,5' as a number, but it is not valid. Correct it."),
        ("a: 1\nb: !!bool maybe\n", "study.yaml:2: YAML reads 'maybe' as true or false, but it is not valid. Correct"),
        ("a: 1\n2: x\n", "study.yaml:2: The key '2' is read as a number. Put it in quotes."),
        ("on: x\n", "study.yaml:1: The key 'on' is read as true or false. Put it in quotes."),
        ("? [a]\n: x\n", "study.yaml:1: The key of this entry is read as no string. Put it in quotes."),
        ("a: &x [*x]\n", "study.yaml:1: A value contains itself through an alias"),
        ('a: "\\0"\n', "study.yaml:1: A string holds the character NUL"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, start: str):
    findings = Findings("study.yaml")
    with contextlib.suppress(SpecError):
        read_document(text, findings)

    assert [problem[: len(start)] for problem in findings.problems()] == [start]


def test_all_values_that_are_not_what_they_are_to_be_read_as_are_reported():
    findings = Findings("study.yaml")
    with pytest.raises(SpecError):
        read_document("a: &x 2024-13-45\nb: *x\nc: [!!int zz, 3]\n", findings)

    assert [problem.partition(" as ")[0] for problem in findings.problems()] == [
        "study.yaml:1: YAML reads '2024-13-45'",
        "study.yaml:3: YAML reads 'zz'",
    ]


def test_deep_nesting_is_refused_without_a_traceback():
    assert refused("a: " + "[" * 5000 + "]" * 5000).startswith("study.yaml:1: ")


def test_aliases_that_unfold_without_end_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    assert "expand to too many values" in refused("\n".join(lines))


def test_a_file_may_have_more_values_than_aliases_may_add(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(document, "_MOST_VALUES", 100)
    values = ", ".join(["x"] * 1000)

    assert len(read(f"a: [{values}]").data["a"]) == 1000
    assert len(read(f"a: [&x {values}]\nb: *x").data["a"]) == 1000
    assert "The aliases in this file expand to too many values" in refused(f"a: &a [{values}]\nb: *a")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: [&x VALUES]", "study.yaml:2: A file of more than 100 values can't have a tag or an anchor."),
        (
            "a: 1\nb: [VALUES]\na: 2",
            "study.yaml:3: A file of more than 100 values can't have a key that appears twice.",
        ),
    ],
)
def test_what_takes_much_memory_is_refused_in_a_large_file(text: str, problem: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(document, "_MOST_NODES", 100)

    assert refused(text.replace("VALUES", ", ".join(["x"] * 1000))).startswith(problem)


def test_a_key_that_stands_twice_is_a_problem_with_both_lines():
    findings = Findings("study.yaml")
    read_document("a: 1\nb: 2\na: 3\n", findings)

    assert findings.problems() == (
        "study.yaml:3: The key 'a' appears twice, first in line 1. Remove one of the two: only the last would count.",
    )
