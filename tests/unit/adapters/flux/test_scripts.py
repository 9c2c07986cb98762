from __future__ import annotations

from typing import Any

import pytest

from maestro_es.adapters.flux.adapter import FluxAdapter
from maestro_es.adapters.flux.options import urgency, walltime
from maestro_es.adapters.host import Host
from maestro_es.adapters.script import ADDED, arguments
from maestro_es.core.environment import Environment

BATCH = {"type": "flux", "bank": "b", "queue": "q"}
END = ["-t 0s", "-q q", "--bank=b", '--job-name="sim"', "--output=sim.{{id}}.out", "--error=sim.{{id}}.err"]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FLUX_URI", raising=False)


def adapter(**batch: object) -> FluxAdapter:
    return FluxAdapter({**BATCH, **batch}, Host("host", "boot", 1))


def header(run: dict[str, Any], **batch: object) -> list[str]:
    """Return the directives of a header, without ``#flux:``."""
    lines = adapter(**batch).header("sim", "what it does", run).split("\n")
    assert lines[:3] == ["#!/bin/bash", "#MAESTRO-INFO (flux adapter version) 0.49.0", "#"]
    return [line.removeprefix("#flux: ") for line in lines[3:]]


def test_a_header_has_maestro_s_lines_in_maestro_s_order():
    run = {"nodes": 2, "procs": 8, "walltime": "01:00:00", "reservation": "r", "qos": "high"}
    batch = {"uri": "local:///x", "shell": "/bin/tcsh", "allocation_args": {"setopt": {"a": 1}}}

    assert adapter(**batch).header("sim", "what it does", run).split("\n") == [
        "#!/bin/tcsh",
        "#MAESTRO-INFO (flux adapter version) 0.49.0",
        "#MAESTRO-INFO (flux_uri) local:///x",
        "#",
        "#flux: -N 2",
        "#flux: -n 8",
        "#flux: -t 3600.0s",
        "#flux: -q q",
        "#flux: --bank=b",
        '#flux: --job-name="sim"',
        "#flux: --output=sim.{{id}}.out",
        "#flux: --error=sim.{{id}}.err",
        "#flux: --setopt=a=1",
    ]


def test_the_broker_s_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLUX_URI", "local:///env")
    recorded = FluxAdapter(BATCH, Host("host", "boot", 1, Environment({"FLUX_URI": "local:///recorded"})))

    assert "#MAESTRO-INFO (flux_uri) local:///env" in adapter().header("sim", "", {})
    assert "#MAESTRO-INFO (flux_uri) local:///recorded" in recorded.header("sim", "", {})
    assert "#MAESTRO-INFO (flux_uri) local:///x" in adapter(uri="local:///x").header("sim", "", {})


@pytest.mark.parametrize(
    ("run", "lines"),
    [
        ({}, END),
        ({"nodes": "", "procs": "", "cores per task": 2, "priority": "high", "args": {"x": 1}}, END),
        ({"nodes": 1}, ["-N 1", *END]),
        ({"procs": "4"}, ["-n 4", *END]),
        ({"nodes": 1, "procs": 4, "exclusive": True}, ["-N 1", *END, "--exclusive"]),
        ({"nodes": 1, "procs": 4, "exclusive": {"launcher": True}}, ["-N 1", "-n 4", *END]),
        ({"nodes": 1, "procs": 4, "exclusive": "False"}, ["-N 1", "-n 4", *END]),
    ],
)
def test_what_a_step_does_not_say_has_no_line(run: dict[str, Any], lines: list[str]):
    assert header(run) == lines


def test_without_queue_and_bank_there_are_no_lines_for_them():
    assert header({}, queue="", bank=None) == [END[0], *END[3:]]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (None, "0"),
        ("", "0"),
        ("inf", "0"),
        (0, "0"),
        (5, "300"),
        ("5", "300"),
        ("00:60", "60.0"),
        ("10:30", "630.0"),
        ("01:00:00", "3600.0"),
        ("1-00:00:00", "86400.0"),
        ("1-0", "86400"),
    ],
)
def test_a_walltime_becomes_seconds(asked: object, seconds: str):
    assert walltime(asked) == seconds


@pytest.mark.parametrize(
    ("priority", "number"),
    [
        (None, ""),
        ("", ""),
        ("HELD", "0"),
        ("minimal", "1"),
        ("Low", "9"),
        ("medium", "16"),
        ("high", "24"),
        ("EXPEDITED", "31"),
        (0, "0"),
        (0.5, "16"),
        (1, "31"),
        ("0.1", "4"),
    ],
)
def test_a_priority_becomes_an_urgency(priority: object, number: str):
    assert urgency(priority) == number


@pytest.mark.parametrize("priority", ["soon", 2, -0.1, "nan", "inf"])
def test_another_priority_is_refused(priority: object):
    with pytest.raises(ValueError, match="write held, minimal, low, medium, high, expedited, or a number from 0 to 1"):
        urgency(priority)


def test_options_for_the_allocation_are_grouped_as_maestro_groups_them():
    batch = {
        "conf": {"r.z": 2},
        "o": {"a.b": 1, "c": None, "a.d": True},
        "S": {"system": {"x": "y"}},
        "setopt": {"a": {"b": 3}, "zero": 0, "empty": ""},
        "x": None,
        "foo": {"a": 1},
    }

    assert header({}, allocation_args=batch)[len(END) :] == [
        *("--setattr=system.x=y", "--setopt=a.b=3", "--setopt=a.d=true", "--setopt=c", "--setopt=zero=0"),
        *("--setopt=empty", "--conf=r.z=2"),
    ]


def test_a_value_for_a_path_takes_the_place_of_what_stood_there():
    assert header({}, allocation_args={"o": {"a": 1, "a.b": 2}})[-1] == "--setopt=a.b=2"


def test_options_are_a_mapping():
    with pytest.raises(ValueError, match="not a mapping of options to values"):
        header({}, allocation_args=["x"])


@pytest.mark.parametrize(
    ("run", "added"),
    [
        ({"nodes": 2, "cores per task": 4}, ["-c 4"]),
        ({"nodes": 2, "gpus": 3}, ["-g 2"]),
        ({"nodes": 2, "gpus": "3", "nested": False}, ["-g 3"]),
        ({"nodes": 2, "gpus": "3", "nested": "False"}, ["-g 3"]),
        ({"nodes": 2, "priority": "held"}, ["--urgency=0"]),
        ({"nodes": 2, "waitable": True}, ["--flags=waitable"]),
        ({"nodes": 2, "args": {"requires": "a b", "x": None}}, ['--requires="a b"', "-x"]),
    ],
)
def test_what_maestro_leaves_out_of_the_script_stands_below_its_lines(run: dict[str, Any], added: list[str]):
    assert header(run) == ["-N 2", *END, ADDED, *added]


def test_gpus_without_nodes_are_the_launcher_s_alone():
    assert header({"procs": 4, "gpus": 1}) == ["-n 4", *END]
    assert header({"procs": 4, "gpus": "0", "nested": False}) == ["-n 4", *END]


def test_who_has_the_nodes_alone_needs_no_cores_and_gpus():
    run = {"nodes": 2, "procs": 4, "cores per task": 4, "gpus": 2, "exclusive": True}

    assert header(run) == ["-N 2", *END, "--exclusive"]


@pytest.mark.parametrize("name", ["wrap", "--dry-run", "job-name", "flags"])
def test_options_that_the_submission_rests_on_are_refused(name: str):
    with pytest.raises(ValueError, match=f"args: {name} can't be passed through"):
        header({"nodes": 1, "args": {name: "x"}})


def test_the_arguments_for_flux_say_what_the_script_shows():
    assert arguments(adapter().directives("sim", {"nodes": 2, "walltime": 1})) == [
        *("-N", "2", "-t", "60s", "-q", "q", "--bank=b", "--job-name=sim"),
        *("--output=sim.{{id}}.out", "--error=sim.{{id}}.err"),
    ]


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ({"nodes": 2, "procs": 8}, "flux run -N 2 -n 8"),
        ({"nodes": 2}, "flux run -N 2"),
        ({"procs": "8"}, "flux run -n 8"),
        ({"procs": 8, "cores per task": 2, "gpus": 1}, "flux run -n 8 -c 2 -g 1"),
        ({"procs": 8, "gpus": 0, "exclusive": True}, "flux run -n 8"),
        (
            {"nodes": 1, "procs": 8, "cores per task": 2, "gpus": 1, "exclusive": {"launcher": True}},
            "flux run -N 1 -n 8 --exclusive",
        ),
    ],
)
def test_a_bare_launcher_takes_all_that_the_step_has(run: dict[str, Any], command: str):
    assert adapter().command("$(LAUNCHER) app", run) == f"{command} app"


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (
            {"launcher_args": {"o": {"mpi": "none", "fast": None}, "S": {"q": False}}},
            "--setattr=q=false --setopt=mpi=none --setopt=fast",
        ),
        ({"launcher_args": {"exclusive": None}}, "--exclusive"),
        (
            {"launcher_args": {"x": None, "env": {"A": 1}, "l": None, "mpi": "none", "conf": {"a": 1}}},
            "--exclusive --conf=a=1 --env=A=1 -l --mpi=none",
        ),
        ({"launcher_args": {"z": {"a": "b c"}}}, '-z "a=b c"'),
        ({"args": {"verbose": 2, "k": None}}, "--setopt=verbose=2 --setopt=k"),
        ({"args": {"k": 1}, "launcher_args": {"o": {"m": 1}, "env": {"A": 1}}}, "--setopt=m=1 --env=A=1 --setopt=k=1"),
    ],
)
def test_options_for_the_launcher_follow_what_it_asks_for(batch: dict[str, Any], options: str):
    assert adapter(**batch).command("$(LAUNCHER)[1p] app", {"procs": 1}) == f"flux run -n 1 {options} app"


def test_a_step_may_say_that_it_shares_its_nodes():
    run = {"nodes": 1, "exclusive": {"launcher": False}}

    assert adapter(launcher_args={"x": None}).command("$(LAUNCHER)", run) == "flux run -N 1"
