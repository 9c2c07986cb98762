from __future__ import annotations

import pytest

from maestro_es.adapters.script import (
    ADDED,
    Directive,
    arguments,
    comment_of,
    exclusive,
    header,
    option,
    passed_through,
    resources,
    shebang,
)


@pytest.mark.parametrize(
    ("directive", "text", "words"),
    [
        (Directive("--nodes", "2"), "--nodes=2", ["--nodes=2"]),
        (Directive("-N", "2"), "-N 2", ["-N", "2"]),
        (Directive("-nnodes", "2"), "-nnodes 2", ["-nnodes", "2"]),
        (Directive("--exclusive"), "--exclusive", ["--exclusive"]),
        (Directive("--job-name", "a", quoted=True), '--job-name="a"', ["--job-name=a"]),
        (Directive("--comment", "a b", quoted=True, gap=" "), '--comment "a b"', ["--comment=a b"]),
        (Directive("--mail-user", "me you"), '--mail-user="me you"', ["--mail-user=me you"]),
        (Directive("--x", 'a"b'), '--x="a\\"b"', ['--x=a"b']),
        (Directive("--x", "a\\b"), '--x="a\\\\b"', ["--x=a\\b"]),
        (Directive("--x", "a#b"), '--x="a#b"', ["--x=a#b"]),
        (Directive("--x", ""), '--x=""', ["--x="]),
    ],
)
def test_a_directive_is_shown_in_the_script_and_given_as_arguments(directive: Directive, text: str, words: list[str]):
    assert directive.text == text
    assert arguments([directive]) == words


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\0", "\x1b[0m", "a\u2028b", "\x85", "a\tb"])
def test_no_directive_holds_a_control_character(value: str):
    with pytest.raises(ValueError, match=r"--account is .* and no option can hold a control character"):
        Directive("--account", value)


@pytest.mark.parametrize(
    ("description", "comment"),
    [("a", "a"), ("a\nb\n", "a b "), ("a\tb\r\nc", "a b  c"), ('"é" \\', '"é" \\')],
)
def test_a_description_becomes_one_line(description: str, comment: str):
    assert comment_of(description) == comment


def test_a_header_shows_what_is_added_below_a_comment_and_none_if_nothing_is():
    maestro = [Directive("--nodes", "2"), Directive("--exclusive")]

    assert header(["#!/bin/sh"], "#SBATCH", maestro) == "#!/bin/sh\n#SBATCH --nodes=2\n#SBATCH --exclusive"
    assert header(["#!/bin/sh"], "#X", [*option("--mem", "4G", added=True), *maestro]).split("\n") == [
        "#!/bin/sh",
        "#X --nodes=2",
        "#X --exclusive",
        ADDED,
        "#X --mem=4G",
    ]
    assert ADDED.startswith("# added by maestro-es: ")


@pytest.mark.parametrize("value", [None, "", 0, False])
def test_a_value_that_says_nothing_is_no_directive(value: object):
    assert option("--qos", value) == []


@pytest.mark.parametrize(("shell", "line"), [(None, "#!/bin/bash"), ("", "#!/bin/bash"), ("/bin/tcsh", "#!/bin/tcsh")])
def test_a_script_begins_with_its_shell(shell: object, line: str):
    assert shebang(shell) == line


def test_a_shell_is_one_line():
    with pytest.raises(ValueError, match="control character"):
        shebang("/bin/sh\nrm -r x")


def test_a_step_overrides_the_batch_block_where_it_says_a_thing():
    batch = {"nodes": 3, "qos": "low", "bank": "", "host": "h"}

    assert resources(batch, ("nodes", "qos", "bank"), {"nodes": "", "qos": "high", "cmd": "hi"}) == {
        "nodes": 3,
        "qos": "high",
        "cmd": "hi",
    }


@pytest.mark.parametrize(
    ("asked", "allocation", "launcher"),
    [
        (None, False, False),
        (True, True, False),
        (False, False, False),
        ("True", True, False),
        ("False", False, False),
        ("yes", True, False),
        ("0", False, False),
        ({}, False, False),
        ({"allocation": True}, True, False),
        ({"launcher": True}, False, True),
        ({"allocation": "false", "launcher": "true"}, False, True),
        ({"allocation": True, "launcher": None}, True, False),
    ],
)
def test_exclusive_as_a_scalar_means_the_allocation(asked: object, allocation: bool, launcher: bool):
    assert exclusive(asked, "allocation") is allocation
    assert exclusive(asked, "launcher") is launcher


def test_the_step_overrides_what_is_exclusive_for_all():
    assert exclusive(None, "launcher", True)
    assert exclusive(True, "launcher", True)
    assert exclusive({"allocation": True}, "launcher", True)
    assert not exclusive({"launcher": False}, "launcher", True)


def test_exclusive_must_be_true_or_false():
    with pytest.raises(ValueError, match="exclusive is 'maybe'; write true or false"):
        exclusive("maybe", "allocation")


def test_options_are_passed_through_and_the_step_overrides_the_batch_block():
    batch = {"mail-user": "me", "-C": "haswell", "overcommit": None}
    found = passed_through([batch, {"--mail-user": "you", "nice": 3}, None, ""], ())

    assert [directive.text for directive in found] == ["--mail-user=you", "-C haswell", "--overcommit", "--nice=3"]
    assert all(directive.added for directive in found)
    assert passed_through([{"P": "proj", "alloc_flags": "smt4"}], (), single_dash=True) == [
        Directive("-P", "proj", added=True),
        Directive("-alloc_flags", "smt4", added=True),
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["x"], "the options ['x'] are not a mapping of options to values"),
        ({"a b": 1}, "args: 'a b' is not the name of an option"),
        ({"---x": 1}, "args: '---x' is not the name of an option"),
        ({"": 1}, "args: '' is not the name of an option"),
        ({"x\ny": 1}, "args: 'x\\ny' is not the name of an option"),
        ({"x": True}, "args: x is True; write a string or a number, or null for a flag"),
        ({"x": [1]}, "args: x is [1]; write a string or a number, or null for a flag"),
        ({"xy": "a\nb"}, "--xy is 'a\\nb', and no option can hold a control character"),
        ({"--array": "1-9"}, "args: --array can't be passed through, because maestro-es controls this option"),
    ],
)
def test_what_can_t_be_passed_through_is_refused_by_name(args: object, message: str):
    with pytest.raises(ValueError, match=r"option|flag|decides") as refusal:
        passed_through([args], {"array"})
    assert str(refusal.value) == message
