from __future__ import annotations

import pytest

from maestro_es.adapters.base import Faults
from maestro_es.adapters.launcher import Resources, fill_in

STEP = {"nodes": 4, "procs": 16}
LIMITS = Resources("4", "16")


def launch(asked: Resources) -> str:
    return f"run(n={asked.nodes},p={asked.procs})"


def filled(text: str, limits: Resources = LIMITS) -> str:
    return fill_in(text, Resources.by(STEP), limits, launch)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("echo hi", "echo hi"),
        ("$(LAUNCHER) app", "run(n=4,p=16) app"),
        ("$(LAUNCHER)[4p] app", "run(n=,p=4) app"),
        ("$(LAUNCHER)[2n] app", "run(n=2,p=) app"),
        ("$(LAUNCHER)[2n,4p] app", "run(n=2,p=4) app"),
        ("$(LAUNCHER)[4p, 2n] app", "run(n=2,p=4) app"),
        ("$(LAUNCHER)[4p 2n] app", "run(n=2,p=4) app"),
        ("$(LAUNCHER)[2,4] app", "run(n=2,p=4) app"),
        ("$(LAUNCHER)[ 2 , 4 ] app", "run(n=2,p=4) app"),
        ("$(LAUNCHER)[4n,16p] app", "run(n=4,p=16) app"),
        ("$(LAUNCHER)[1p] app x[0]", "run(n=,p=1) app x[0]"),
        ("$(LAUNCHER) app x[0]", "run(n=4,p=16) app x[0]"),
        ("$(LAUNCHER)[1p] a; $(LAUNCHER)[2p] b", "run(n=,p=1) a; run(n=,p=2) b"),
        ("$(LAUNCHER)[1p] a\n$(LAUNCHER) b", "run(n=,p=1) a\nrun(n=4,p=16) b"),
        ("$(LAUNCHER) a\n$(LAUNCHER) b", "run(n=4,p=16) a\nrun(n=4,p=16) b"),
        ("$(LAUNCHERS) $(LAUNCHER.x) $(date)", "$(LAUNCHERS) $(LAUNCHER.x) $(date)"),
        ("x$(LAUNCHER)", "xrun(n=4,p=16)"),
        ("", ""),
    ],
)
def test_each_form_of_the_token_becomes_a_command(text: str, command: str):
    assert filled(text) == command


@pytest.mark.parametrize(
    "words",
    [
        *("", " ", ",", "4", "p", "4q", "4P", "4 p", "²p", "-1p", "1.5p", "$(P)p"),
        *("4p,2p", "1n,1n", "2,4,6", "4p,2", "0p", "0n,1p", "0,1"),
    ],
)
def test_what_can_t_be_read_as_a_request_is_refused_with_the_forms_that_can(words: str):
    with pytest.raises(ValueError, match=r"can't be read: write \[4p\], \[2n\], \[2n,4p\], or \[2,4\]") as refusal:
        filled(f"$(LAUNCHER)[{words}] app")
    assert str(refusal.value).startswith(f"$(LAUNCHER)[{words}]")


def test_a_bracket_that_is_never_closed_is_refused():
    with pytest.raises(ValueError, match="not closed on its line"):
        filled("$(LAUNCHER)[4p app\n[1]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$(LAUNCHER)[17p] a", "$(LAUNCHER)[17p] asks for 17 procs, but the step has 16"),
        ("$(LAUNCHER)[5n,1p] a", "$(LAUNCHER)[5n,1p] asks for 5 nodes, but the step has 4"),
        ("$(LAUNCHER)[5,1] a", "$(LAUNCHER)[5,1] asks for 5 nodes, but the step has 4"),
        ("$(LAUNCHER)[8p] a\n$(LAUNCHER)[9p] b", "its launchers together ask for 17 procs, but the step has 16"),
        ("$(LAUNCHER)[8p] a\n$(LAUNCHER)[8p] a\n$(LAUNCHER)[1p]", "its launchers together ask for 17 procs"),
        ("$(LAUNCHER)[2n] a\n$(LAUNCHER)[3n] b", "its launchers together ask for 5 nodes, but the step has 4"),
    ],
)
def test_more_than_the_step_has_is_refused_with_request_and_limit(text: str, message: str):
    with pytest.raises(ValueError, match="but the step has") as refusal:
        filled(text)
    assert str(refusal.value).startswith(message)


def test_all_that_is_wrong_with_launchers_comes_at_once():
    with pytest.raises(Faults) as refusal:
        filled("$(LAUNCHER)[17p] a\n$(LAUNCHER)[9n] b\n$(LAUNCHER)[8n] c\n$(LAUNCHER)[x] d\n$(LAUNCHER)[1p e")

    assert refusal.value.messages == (
        "$(LAUNCHER)[x] can't be read: write [4p], [2n], [2n,4p], or [2,4] for nodes and procs",
        "$(LAUNCHER)[1p e: the bracket is not closed on its line",
        "$(LAUNCHER)[9n] asks for 9 nodes, but the step has 4",
        "$(LAUNCHER)[8n] asks for 8 nodes, but the step has 4",
        "$(LAUNCHER)[17p] asks for 17 procs, but the step has 16",
    )


def test_the_bare_form_does_not_count_beside_the_bracketed_ones():
    assert filled("$(LAUNCHER) a\n$(LAUNCHER)[16p] b") == "run(n=4,p=16) a\nrun(n=,p=16) b"


def test_what_the_step_does_not_say_is_no_limit():
    assert filled("$(LAUNCHER)[9n,99p]", Resources("", "99")) == "run(n=9,p=99)"


def test_a_limit_may_come_from_a_token_but_must_be_a_number_to_be_compared_with():
    assert filled("$(LAUNCHER)[2p]", Resources("", " 2 ")) == "run(n=,p=2)"
    assert filled("$(LAUNCHER)", Resources("2-4", "")) == "run(n=4,p=16)"
    with pytest.raises(ValueError, match="nodes is '2-4'; a launcher needs a whole number"):
        filled("$(LAUNCHER)[2n]", Resources("2-4", ""))


@pytest.mark.parametrize(
    ("run", "asked"),
    [
        ({}, Resources()),
        ({"nodes": "", "procs": None}, Resources()),
        ({"nodes": 2, "procs": "4"}, Resources("2", "4")),
    ],
)
def test_keys_that_say_nothing_ask_for_nothing(run: dict[str, object], asked: Resources):
    assert Resources.by(run) == asked
