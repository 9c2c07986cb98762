from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from maestro_es.adapters.base import Job
from maestro_es.adapters.host import Host
from maestro_es.adapters.lsf.adapter import FACTS, LsfAdapter, walltime
from maestro_es.adapters.script import ADDED, arguments
from maestro_es.core.submission import ScriptFailed

BATCH = {"type": "lsf", "host": "h", "bank": "b", "queue": "q"}


def adapter(**batch: object) -> LsfAdapter:
    return LsfAdapter({**BATCH, **batch}, Host("host", "boot", 1))


def header(run: dict[str, Any], **batch: object) -> list[str]:
    """Return the lines of a header without the shebang and without ``#BSUB``."""
    lines = adapter(**batch).header("sim", "what it does", run).split("\n")
    assert lines[0] == "#!/bin/bash"
    return [line.removeprefix("#BSUB ") for line in lines[1:]]


def test_a_header_has_maestro_s_lines_in_maestro_s_order():
    run = {"nodes": 2, "procs": 8, "walltime": "1:30:01", "exclusive": True, "gpus": 4, "qos": "high"}
    batch = {"reservation": "r", "shell": "/bin/tcsh"}

    assert adapter(**batch).header("sim", "what it does", run).split("\n") == [
        "#!/bin/bash",
        "#BSUB -nnodes 2",
        "#BSUB -q q",
        "#BSUB -G b",
        "#BSUB -W 01:31",
        "#BSUB -J sim",
        "#BSUB -o sim.%J.out",
        "#BSUB -U r",
        "#BSUB -e sim.%J.err",
    ]


@pytest.mark.parametrize(
    ("batch", "run", "nodes"),
    [
        ({}, {"procs": 1}, "1"),
        ({"nodes": 3}, {"procs": 1}, "3"),
        ({"nodes": 3}, {"nodes": 2}, "2"),
        ({}, {"nodes": "2"}, "2"),
    ],
)
def test_a_job_has_the_nodes_of_the_step_or_of_the_batch_block_or_one(
    batch: dict[str, Any], run: dict[str, Any], nodes: str
):
    assert header(run, **batch)[0] == f"-nnodes {nodes}"


def test_what_a_step_does_not_say_has_no_line():
    assert header({"procs": 1}) == ["-nnodes 1", "-q q", "-G b", "-J sim", "-o sim.%J.out", "-e sim.%J.err"]
    assert header({"procs": 1, "reservation": "s"}, reservation="r")[5] == "-U s"
    assert header({"walltime": "1:00"}) == []


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, ""),
        ("", ""),
        (0, ""),
        (90, "90"),
        ("90", "90"),
        ("1:30", "1:30"),
        ("01:30:00", "01:30"),
        ("1:30:00", "01:30"),
        ("00:00:01", "00:01"),
        ("00:59:59", "01:00"),
        ("00:59:60", "01:00"),
        ("1:90:30", "02:31"),
        ("25:00:00", "25:00"),
        ("100:00:00", "100:00"),
        ("1-00:00:00", "24:00"),
        ("1-1", "25:00"),
        ("1:00:00:00", "24:00"),
        ("90/host", "90/host"),
        ("1:00:00/host", "01:00/host"),
    ],
)
def test_a_walltime_becomes_hours_and_minutes_if_it_has_seconds_or_days(asked: object, text: str):
    assert walltime(asked) == text


def test_what_is_no_time_is_refused():
    with pytest.raises(ValueError, match="walltime 'soon' is not a time"):
        header({"nodes": 1, "walltime": "soon"})


def test_what_maestro_leaves_out_stands_below_its_lines():
    batch = {"args": {"P": "proj", "alloc_flags": "smt4"}}
    run = {"nodes": 1, "memory": "4G", "args": {"-x": None, "P": "other"}}

    assert header(run, **batch)[-5:] == [ADDED, "-R rusage[mem=4G]", "-P other", "-alloc_flags smt4", "-x"]


@pytest.mark.parametrize("name", ["J", "K", "Is", "cwd", "-r"])
def test_options_that_the_submission_rests_on_are_refused(name: str):
    with pytest.raises(ValueError, match=f"args: {name} can't be passed through"):
        header({"nodes": 1, "args": {name: "x"}})


def test_the_arguments_for_bsub_say_what_the_script_shows():
    assert arguments(adapter().directives("sim", {"nodes": 2, "walltime": "1:00:00"})) == [
        *("-nnodes", "2", "-q", "q", "-G", "b", "-W", "01:00"),
        *("-J", "sim", "-o", "sim.%J.out", "-e", "sim.%J.err"),
    ]


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ({"nodes": 2, "procs": 8}, "jsrun --nrs 8 -b rs -a 1 -r 1 -c 1"),
        ({"procs": "8"}, "jsrun --nrs 8 -b rs -a 1 -r 1 -c 1"),
        ({"nodes": 2, "procs": 8, "bind": "none", "gpus": 2}, "jsrun --nrs 8 -b none -g 2 -a 1 -r 1 -c 1"),
        (
            {"procs": 8, "bind gpus": "x", "tasks per rs": 2, "rs per node": 3, "cpus per rs": 4},
            "jsrun --nrs 8 -b rs -B x -a 2 -r 3 -c 4",
        ),
        ({"nodes": "2", "rs per node": "3"}, "jsrun --nrs 6 -b rs -a 1 -r 3 -c 1"),
        ({"nodes": 2, "procs": 8, "gpus": 0, "cores per task": 4}, "jsrun --nrs 8 -b rs -a 1 -r 1 -c 1"),
    ],
)
def test_a_bare_launcher_takes_all_that_the_step_has(run: dict[str, Any], command: str):
    assert adapter().command("$(LAUNCHER) app", run) == f"{command} app"


def test_the_nodes_of_the_job_limit_its_launchers():
    run = {"procs": 8}

    assert adapter().command("$(LAUNCHER)[1n,4p]", run) == "jsrun --nrs 4 -b rs -a 1 -r 1 -c 1"
    with pytest.raises(ValueError, match="asks for 2 nodes, but the step has 1"):
        adapter().command("$(LAUNCHER)[2n,4p]", run)
    assert adapter(nodes=2).command("$(LAUNCHER)[2n]", run) == "jsrun --nrs 2 -b rs -a 1 -r 1 -c 1"


# -- clusters without jsrun -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ({"procs": 4}, ["-n 4"]),
        ({"nodes": 2, "procs": 8}, ["-n 8", "-R span[ptile=4]"]),
        ({"nodes": 2, "procs": 5}, ["-n 5", "-R span[ptile=3]"]),
        ({"nodes": 2}, ["-n 2", "-R span[ptile=1]"]),
        ({"nodes": 1, "procs": 2, "cores per task": 4}, ["-n 8", "-R span[ptile=8]"]),
        ({"nodes": 1, "gpus": 2, "exclusive": True}, ["-n 1", "-R span[ptile=1]", "-gpu num=2", "-x"]),
    ],
)
def test_with_a_launcher_a_job_gets_slots(run: dict[str, Any], options: list[str]):
    assert header(run, launcher="mpirun")[: len(options)] == options
    assert header(run, launcher="mpirun")[len(options)] == "-q q"


@pytest.mark.parametrize(
    ("launcher", "command"),
    [
        ("mpirun", "mpirun -n 8"),
        ("mpirun -np {procs} --map-by ppr:{per_node}:node", "mpirun -np 8 --map-by ppr:4:node"),
        ("blaunch -z {nodes}", "blaunch -z 2"),
        ("run ${HOSTS} {procs}", "run ${HOSTS} 8"),
        ("jsrun", "jsrun --nrs 8 -b rs -a 1 -r 1 -c 1"),
    ],
)
def test_the_launcher_of_a_cluster_starts_its_programs(launcher: str, command: str):
    assert adapter(launcher=launcher).command("$(LAUNCHER) app", {"nodes": 2, "procs": 8}) == f"{command} app"


def test_launchers_take_no_more_than_the_slots_of_the_job():
    with pytest.raises(ValueError, match="asks for 9 procs, but the step has 8"):
        adapter(launcher="mpirun").command("$(LAUNCHER)[9p] app", {"nodes": 2, "procs": 8})


def test_a_name_makes_no_job_array():
    assert "-J a_1-3_" in adapter().header("a[1-3]", "", {"nodes": 1})


def test_options_in_the_text_of_a_step_are_passed_on_unless_they_are_ours():
    assert adapter().header("a", "", {"nodes": 1, "cmd": "#BSUB -P proj # why\n#BSUB -J name\ntrue\n#BSUB -K"})
    with pytest.raises(ValueError, match="#BSUB -K can't be used there"):
        adapter().header("a", "", {"nodes": 1, "cmd": "#BSUB -K\ntrue"})


def job(**fields: Any) -> Job:
    folder = Path("/a 'study'")
    return Job("feedfeed-1-1-cafe", "a", folder / "a_1", "./a.lsf.sh", folder, lambda *_: True, **fields)


def test_the_runner_is_one_quoted_argument_with_the_token_as_a_word():
    argv = adapter().submission(job(run={"nodes": 1}, command="#BSUB -P proj"))

    assert argv[argv.index("-o") + 1] == "/a 'study'/a_1/a.%J.out"
    assert argv[argv.index("-P") + 1] == "proj"
    assert argv[-6:-1] == ["-rn", "-Q", "253", "-cwd", "/a 'study'/a_1"]
    assert shlex.split(argv[-1]) == [
        "/a 'study'/.maestro-es/runner.sh", "feedfeed-1-1-cafe", "/a 'study'/a_1", "./a.lsf.sh", "/a 'study'"
    ]  # fmt: skip
    assert " feedfeed-1-1-cafe " in argv[-1]


def test_a_command_that_is_too_long_for_bsub_is_no_job():
    long = structs.replace(job(run={"nodes": 1}), study=Path("/" + "x" * 2100))

    assert isinstance(adapter().submit(long), ScriptFailed)


STEP = {"qos": "high", "cores per task": 2, "exclusive": True, "bind": "none", "walltime": "01:00:30"}


@pytest.mark.parametrize(
    ("batch", "remarked"),
    [({}, ["qos", "cores per task", "exclusive", "walltime"]), ({"launcher": "mpirun"}, ["qos", "bind", "walltime"])],
)
def test_values_that_lsf_does_not_take_as_they_are_are_remarked_on(batch: dict[str, str], remarked: list[str]):
    remarks = [*FACTS.review(batch, [(0, STEP), (1, {"walltime": "01:00:00"}), (2, {"walltime": "30"})])]

    assert [remark.path for remark in remarks] == [("study", 0, "run", key) for key in remarked]
    assert "Write 01:01:00." in remarks[-1].remedy


def test_a_shell_other_than_maestro_s_is_remarked_on():
    assert [remark.path for remark in FACTS.review({"shell": "/bin/zsh"}, [])] == [("batch", "shell")]
    assert not [*FACTS.review({"shell": "/bin/bash"}, [])]
