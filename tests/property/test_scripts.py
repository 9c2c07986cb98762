"""Whatever a study asks for: launchers are filled in within their limits, and directives are one line each."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_es.adapters.flux.adapter import FluxAdapter
from maestro_es.adapters.host import Host
from maestro_es.adapters.launcher import Resources, fill_in, read_request
from maestro_es.adapters.lsf.adapter import LsfAdapter
from maestro_es.adapters.script import Directive, arguments, comment_of
from maestro_es.adapters.slurm.adapter import SlurmAdapter

Adapter = SlurmAdapter | LsfAdapter | FluxAdapter

HOST = Host("host", "boot", 1)
BATCH = {"host": "h", "bank": "b", "queue": "q"}

numbers = st.integers(min_value=1, max_value=20)
pairs = st.tuples(numbers, numbers)
requests = st.one_of(
    numbers.map("{}p".format),
    numbers.map("{}n".format),
    pairs.map(lambda pair: "{}n,{}p".format(*pair)),
    pairs.map(lambda pair: "{}p, {}n".format(*pair)),
    pairs.map(lambda pair: "{},{}".format(*pair)),
)
pieces = st.one_of(
    requests.map("$(LAUNCHER)[{}]".format),
    st.just("$(LAUNCHER)"),
    st.sampled_from([" app", "\n", " x[0]", "]", "; ", "$(date)", " $(LAUNCHERS)", "("]),
    st.text(alphabet="[]np019, $(LAUNCHER)\n", max_size=12),
)
commands = st.lists(pieces, max_size=8).map("".join)
one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


@given(commands, st.integers(0, 30), st.integers(0, 30))
def test_a_launcher_is_filled_in_within_the_limits_or_refused(text: str, nodes: int, procs: int):
    bare = Resources.by({"nodes": nodes, "procs": procs})
    launched: list[Resources] = []

    def launch(asked: Resources) -> str:
        if asked is not bare:
            launched.append(asked)
        return "run"

    try:
        command = fill_in(text, bare, bare, launch)
    except ValueError:
        return
    assert "$(LAUNCHER)" not in command
    for index, limit in enumerate((nodes, procs)):
        asked_for = [int(asked[index]) for asked in launched if asked[index]]
        assert not limit or sum(asked_for) <= limit
        assert all(number > 0 for number in asked_for)


@pytest.mark.parametrize("make", [SlurmAdapter, LsfAdapter, FluxAdapter])
@given(
    command=commands,
    nodes=numbers | st.just(""),
    procs=numbers | numbers.map(str),
    exclusive=st.sampled_from([None, True, False, {"launcher": True}]),
)
def test_no_adapter_leaves_a_launcher_behind(
    make: type[Adapter], command: str, nodes: int | str, procs: int | str, exclusive: object
):
    run = {"nodes": nodes, "procs": procs, "exclusive": exclusive}
    try:
        filled = make(BATCH, HOST).command(command, run)
    except ValueError:
        return
    assert "$(LAUNCHER)" not in filled


@given(pairs)
def test_all_spellings_of_a_request_mean_the_same(pair: tuple[int, int]):
    nodes, procs = pair
    spellings = [f"{nodes}n,{procs}p", f"{procs}p,{nodes}n", f"{nodes},{procs}", f"{nodes}, {procs}"]

    assert {read_request(words) for words in spellings} == {Resources(str(nodes), str(procs))}


@given(one_line)
def test_the_script_and_the_arguments_say_the_same(value: str):
    assert shlex.split(Directive("--option", value).text) == arguments([Directive("--option", value)])


@given(st.text())
def test_a_description_becomes_one_line_of_the_same_length(text: str):
    comment = comment_of(text)

    assert len(comment) == len(text)
    assert Directive("--comment", comment).value == comment


values = st.none() | st.text(max_size=6) | st.integers(0, 9)
keys = ("procs", "walltime", "reservation", "qos", "gpus", "memory", "cores per task", "priority")
runs = st.fixed_dictionaries(
    {"nodes": st.integers(1, 9)},
    optional=dict.fromkeys(keys, values) | {"args": st.dictionaries(st.text(max_size=4), values, max_size=2)},
)


@pytest.mark.parametrize(
    ("make", "sentinel"), [(SlurmAdapter, "#SBATCH "), (LsfAdapter, "#BSUB "), (FluxAdapter, "#flux: ")]
)
@given(description=st.text(), run=runs)
def test_a_header_is_comments_and_no_value_begins_a_line_of_its_own(
    make: type[Adapter], sentinel: str, description: str, run: dict[str, Any]
):
    try:
        lines = make(BATCH, HOST).header("job", description, run).splitlines()
    except ValueError:
        return
    assert lines[0] == "#!/bin/bash"
    assert all(line.startswith((sentinel + "-", "#MAESTRO-INFO ", "# added")) or line == "#" for line in lines[1:])
