from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from maestro_es.adapters.base import Job
from maestro_es.adapters.host import Host
from maestro_es.adapters.pbs.adapter import FACTS, PbsAdapter, walltime
from maestro_es.adapters.pbs.client import starter
from maestro_es.core.environment import Environment

BATCH = {"type": "pbs", "queue": "q"}


def adapter(**batch: object) -> PbsAdapter:
    return PbsAdapter({**BATCH, **batch}, Host("host", "boot", 1))


def header(run: dict[str, Any], **batch: object) -> list[str]:
    """Return the lines of a header without the shebang and without ``#PBS``."""
    lines = adapter(**batch).header("sim", "what it does", run).split("\n")
    assert lines[0] == "#!/bin/bash"
    return [line.removeprefix("#PBS ") for line in lines[1:]]


def test_a_script_shows_the_options_of_the_job():
    run = {"nodes": 2, "procs": 8, "walltime": "1:30:01", "exclusive": True, "gpus": 4, "memory": "4G"}
    batch = {"bank": "b", "shell": "/bin/tcsh", "args": {"l": "filesystems=home", "m": "n"}}

    assert adapter(**batch).header("sim", "what it does", run).split("\n") == [
        "#!/bin/tcsh",
        "#PBS -l select=2:ncpus=4:mpiprocs=4:ngpus=4:mem=4gb",
        "#PBS -l place=scatter:excl",
        "#PBS -q q",
        "#PBS -A b",
        "#PBS -l walltime=01:30:01",
        "#PBS -N sim",
        "#PBS -o sim.out",
        "#PBS -e sim.err",
        "#PBS -l filesystems=home",
        "#PBS -m n",
    ]


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ({"procs": 4}, ["-l select=4:ncpus=1:mpiprocs=1"]),
        ({"procs": 4, "cores per task": 2}, ["-l select=4:ncpus=2:mpiprocs=1"]),
        ({"nodes": 3}, ["-l select=3:ncpus=1:mpiprocs=1", "-l place=scatter"]),
        ({"nodes": 2, "procs": 8, "cores per task": 2}, ["-l select=2:ncpus=8:mpiprocs=4", "-l place=scatter"]),
        ({"nodes": 2, "procs": 5}, ["-l select=1:ncpus=3:mpiprocs=3+1:ncpus=2:mpiprocs=2", "-l place=scatter"]),
        ({"procs": 4, "gpus": 2}, ["-l select=1:ncpus=4:mpiprocs=4:ngpus=2", "-l place=scatter"]),
        ({"procs": 1, "memory": 500}, ["-l select=1:ncpus=1:mpiprocs=1:mem=500mb", "-l place=scatter"]),
        ({"procs": 2, "exclusive": True}, ["-l select=2:ncpus=1:mpiprocs=1", "-l place=excl"]),
    ],
)
def test_nodes_and_procs_become_chunks(run: dict[str, Any], options: list[str]):
    assert header(run)[: len(options) + 1] == [*options, "-q q"]


def test_a_reservation_is_a_queue():
    assert "-q R12" in header({"procs": 1, "reservation": "R12"})
    assert "-q q" not in header({"procs": 1}, reservation="R12")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, ""), ("", ""), (0, ""), (90, "01:30:00"), ("90", "01:30:00"), ("1:30", "00:01:30"),
        ("01:30:00", "01:30:00"), ("1-01:00:00", "25:00:00"), ("unlimited", ""),
    ],
)  # fmt: skip
def test_a_walltime_is_read_as_for_slurm(asked: object, text: str):
    assert walltime(asked) == text


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        ({"procs": "many"}, "procs is 'many'"),
        ({"procs": 1, "walltime": "soon"}, "walltime 'soon' is not a time"),
        ({"procs": 1, "memory": "lots"}, "memory is 'lots'"),
        ({"procs": 1, "args": {"J": "1-3"}}, "args: J can't be passed through"),
        ({"procs": 1, "cmd": "#PBS -V\n#PBS -J 1-3\ntrue"}, "#PBS -J can't be used there"),
        ({"procs": 1, "cmd": "#PBS -J1-3\ntrue"}, "#PBS -J1-3 can't be used there"),
    ],
)
def test_what_qsub_would_misread_is_refused(run: dict[str, Any], fault: str):
    with pytest.raises(ValueError, match=fault):
        header(run)


def test_a_name_that_pbs_refuses_is_changed():
    assert "#PBS -N a_b__c_" in adapter().header("a/b:=c=", "", {"procs": 1})
    assert f"#PBS -N {'x' * 230}\n" in adapter().header("x" * 300, "", {"procs": 1})


@pytest.mark.parametrize(
    ("batch", "run", "command"),
    [
        ({}, {"nodes": 2, "procs": 8}, "mpiexec -n 8"),
        ({"procs": 4}, {}, "mpiexec -n 4"),
        ({"launcher": "mpirun -np {procs} -ppn {per_node}"}, {"nodes": 2, "procs": 8}, "mpirun -np 8 -ppn 4"),
        ({"launcher": "aprun"}, {"procs": 8}, "aprun -n 8"),
    ],
)
def test_the_launcher_is_mpiexec_or_that_of_the_cluster(batch: dict[str, Any], run: dict[str, Any], command: str):
    assert adapter(**batch).command("$(LAUNCHER) app", run) == f"{command} app"


def test_qsub_gets_the_runner_and_the_place_of_its_output():
    folder = Path("/a 'study'")
    environment = Environment({"A": "b"}, umask=0o027)
    job = Job(
        "feedfeed-1-1-cafe", "a", folder / "a_1", "./a.pbs.sh", folder, lambda *_: True,
        run={"procs": 1}, command="#PBS -m n\ntrue", environment=environment,
    )  # fmt: skip
    argv = adapter().submission(job)
    at = argv.index("--")

    assert argv[:2] == ["qsub", "-f"]
    assert argv[argv.index("-o") + 1] == "/a 'study'/a_1/a.out"
    assert argv[at - 8 : at] == ["-m", "n", "-W", "umask=027", "-k", "doe", "-r", "n"]
    assert argv[at + 1] == "/bin/sh"
    assert argv[at + 2].startswith("/a 'study'/.maestro-es/start.")
    assert argv[at + 3 :] == [
        "/a 'study'/.maestro-es/runner.sh", "feedfeed-1-1-cafe", "/a 'study'/a_1", "./a.pbs.sh", "/a 'study'"
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash --posix"])
def test_a_starter_sets_the_variables_and_becomes_the_runner(tmp_path: Path, shell: str):
    values = {"A": 'it\'s "rich"\n$HOME `x`', "TMPDIR": "/mine", "UID": "7", "lower": "case", "F()": "() { :; }"}
    (tmp_path / "start").write_text(starter(Environment(values, limits={"nofile": 512})))
    done = subprocess.run(
        [*shlex.split(shell), str(tmp_path / "start"), "/usr/bin/env", "-0"],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": "/of/the/job"},
        capture_output=True,
        text=True,
        check=True,
    )
    got = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)

    assert done.stderr == ""
    assert got["A"] == values["A"]
    assert got["TMPDIR"] == "/of/the/job"
    assert got["MAESTRO_ES_KEPT_lower"] == "case"
    assert got["MAESTRO_ES_FUNCTION_1"] == "F()=() { :; }"
    assert got["MAESTRO_ES_LIMITS"] == "n:512"


def test_run_warns_of_a_server_that_keeps_no_history():
    assert "job_history_enable" in FACTS.forgets_within({"job_history_enable": "False"}, 60)
    assert FACTS.forgets_within({"job_history_enable": "True"}, 60) == ""
    assert FACTS.forgets_within({}, 60) == ""


def test_keys_without_a_meaning_are_remarked_on():
    remarks = [*FACTS.review({"queue": "q", "reservation": "R1"}, [(0, {"qos": "high"}), (1, {})])]

    assert [remark.path for remark in remarks] == [("batch", "queue"), ("study", 0, "run", "qos")]
