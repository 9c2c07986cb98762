from __future__ import annotations

from typing import Any

import pytest

from maestro_es.adapters.base import Faults
from maestro_es.adapters.host import Host
from maestro_es.adapters.script import ADDED, arguments
from maestro_es.adapters.slurm.adapter import SlurmAdapter, anchored, options_in
from maestro_es.core.environment import Environment

BATCH = {"type": "slurm", "host": "h", "bank": "b", "queue": "q"}
NAMES = ['--job-name="sim"', '--output="sim.out"', '--error="sim.err"', '--comment "what it does"']
START = ["--partition=q", "--account=b"]


def adapter(**batch: object) -> SlurmAdapter:
    return SlurmAdapter({**BATCH, **batch}, Host("host", "boot", 1))


def header(run: dict[str, Any], **batch: object) -> list[str]:
    """Return the lines of a header without the shebang and without ``#SBATCH``."""
    lines = adapter(**batch).header("sim", "what it does", run).split("\n")
    assert lines[0] == f"#!{batch.get('shell', '/bin/bash')}"
    return [line.removeprefix("#SBATCH ") for line in lines[1:]]


def test_a_header_has_maestro_s_lines_in_maestro_s_order():
    run = {
        "cmd": "hi",
        "nodes": 2,
        "procs": 8,
        "walltime": "01:00:00",
        "reservation": "maintenance",
        "gpus": 4,
        "exclusive": True,
        "qos": "high",
    }

    assert adapter(procs=6).header("sim", "what it does", run).split("\n") == [
        "#!/bin/bash",
        "#SBATCH --nodes=2",
        "#SBATCH --partition=q",
        "#SBATCH --account=b",
        "#SBATCH --time=01:00:00",
        '#SBATCH --job-name="sim"',
        '#SBATCH --output="sim.out"',
        '#SBATCH --error="sim.err"',
        '#SBATCH --comment "what it does"',
        '#SBATCH --reservation="maintenance"',
        "#SBATCH --gres=gpu:4",
        "#SBATCH --ntasks=8",
        "#SBATCH --exclusive",
        "#SBATCH --qos=high",
    ]


@pytest.mark.parametrize(
    ("run", "lines"),
    [
        ({"nodes": 1}, ["--nodes=1", *START, *NAMES]),
        ({"procs": 3}, [*START, *NAMES, "--ntasks=3"]),
        ({"nodes": 1, "procs": 3}, ["--nodes=1", *START, *NAMES]),
        ({"nodes": "2", "procs": "3"}, ["--nodes=2", *START, *NAMES]),
        ({"nodes": 1, "walltime": 90}, ["--nodes=1", *START, "--time=90", *NAMES]),
        ({"nodes": 1, "walltime": ""}, ["--nodes=1", *START, *NAMES]),
        ({"nodes": 1, "gpus": 0}, ["--nodes=1", *START, *NAMES]),
        ({"nodes": 1, "reservation": "r"}, ["--nodes=1", *START, *NAMES, '--reservation="r"']),
        ({"nodes": 1, "qos": "q"}, ["--nodes=1", *START, *NAMES, "--qos=q"]),
        ({"nodes": 1, "exclusive": "True"}, ["--nodes=1", *START, *NAMES, "--exclusive"]),
        ({"nodes": 1, "exclusive": "False"}, ["--nodes=1", *START, *NAMES]),
        ({"nodes": 1, "exclusive": {"allocation": True}}, ["--nodes=1", *START, *NAMES, "--exclusive"]),
        ({"nodes": 1, "exclusive": {"launcher": True}}, ["--nodes=1", *START, *NAMES]),
        ({}, []),
        ({"nodes": "", "procs": "", "walltime": 5, "memory": 1}, []),
    ],
)
def test_what_a_step_does_not_say_has_no_line(run: dict[str, Any], lines: list[str]):
    assert header(run) == lines


@pytest.mark.parametrize(
    ("batch", "run", "lines"),
    [
        ({"nodes": 3}, {"procs": 2}, ["--nodes=3", *START, *NAMES]),
        ({"nodes": 3}, {"nodes": 2}, ["--nodes=2", *START, *NAMES]),
        ({"procs": 6}, {"nodes": 2}, ["--nodes=2", *START, *NAMES, "--ntasks=6"]),
        ({"procs": 6}, {"nodes": 2, "procs": 4}, ["--nodes=2", *START, *NAMES, "--ntasks=4"]),
        (
            {"reservation": "r", "qos": "q"},
            {"procs": 1},
            [*START, *NAMES, '--reservation="r"', "--ntasks=1", "--qos=q"],
        ),
        (
            {"reservation": "r", "qos": "q"},
            {"nodes": 1, "qos": "p"},
            ["--nodes=1", *START, *NAMES, '--reservation="r"', "--qos=p"],
        ),
        (
            {"gpus": 2, "walltime": "1:00", "exclusive": True, "memory": "1G"},
            {"nodes": 1},
            ["--nodes=1", *START, *NAMES],
        ),
        ({"shell": "/bin/tcsh"}, {"nodes": 1}, ["--nodes=1", *START, *NAMES]),
        ({"bank": "", "queue": None}, {"nodes": 1}, ["--nodes=1", *NAMES]),
    ],
)
def test_a_step_takes_over_what_maestro_lets_it_take_over(
    batch: dict[str, Any], run: dict[str, Any], lines: list[str]
):
    assert header(run, **batch) == lines


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("#SBATCH --mem=4G\nsrun ./sim", ["--mem=4G"]),
        ("\n# memory\n  \n#SBATCH -C 'a b' --mem 4G # of 8\n#SBATCH\t--signal=B:USR1@60\ntrue", [
            "-C", "a b", "--mem", "4G", "--signal=B:USR1@60"
        ]),
        ("#SBATCH -J other --requeue", ["-J", "other", "--requeue"]),
        ("#SBATCH --wait-all-nodes=1", ["--wait-all-nodes=1"]),
        ("source env.sh\n#SBATCH --mem=4G", []),
        (" #SBATCH --mem=4G\n##SBATCH --mem=4G\n#SBATCHES", []),
        ("true", []),
    ],
)  # fmt: skip
def test_options_in_front_of_a_steps_first_command_are_options_of_its_job(command: str, words: list[str]):
    assert options_in(command) == words


@pytest.mark.parametrize(
    "option", ["--array=1-9", "--arr=1-9", "-a1-9", "--chdir /tmp", "-D/tmp", "--wait", "-M other", "--cluster=x"]
)
@pytest.mark.parametrize("key", ["cmd", "restart"])
def test_options_there_that_are_ours_to_give_are_refused(key: str, option: str):
    with pytest.raises(ValueError, match="can't be used there, because maestro-es controls this option"):
        adapter().header("sim", "d", {"nodes": 1, key: f"#SBATCH {option}\ntrue"})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("#SBATCH --ntasks", "#SBATCH --ntasks has no value"),
        ("#SBATCH -n", "#SBATCH -n has no value"),
        ("#SBATCH --mem --exclusive", "#SBATCH --mem has no value"),
        ("#SBATCH hetjob", "#SBATCH hetjob makes several jobs of one step"),
    ],
)
def test_options_that_would_take_the_runner_for_their_value_are_refused(line: str, says: str):
    with pytest.raises(ValueError, match=says):
        options_in(f"{line}\ntrue")
    assert options_in("#SBATCH --time 5 -n 2 --exclusive --nice -w node1 --comment -x") == [
        "--time", "5", "-n", "2", "--exclusive", "--nice", "-w", "node1", "--comment", "-x"
    ]  # fmt: skip


def test_a_line_of_options_that_can_not_be_read_is_named():
    with pytest.raises(ValueError, match='#SBATCH --comment="half: No closing quotation'):
        options_in('#SBATCH --comment="half')


def test_a_description_is_one_line_that_sbatch_reads_as_it_is():
    lines = adapter().header("sim", 'a "b"\nc\\d\n', {"nodes": 1}).split("\n")

    assert lines[-1] == '#SBATCH --comment "a \\"b\\" c\\\\d "'


@pytest.mark.parametrize(
    ("run", "added"),
    [
        ({"nodes": 1, "memory": "4G"}, ["--mem=4G"]),
        ({"nodes": 1, "memory": 4096}, ["--mem=4096"]),
        (
            {"nodes": 1, "args": {"mail-user": "me", "C": "a|b", "overcommit": None}},
            ["--mail-user=me", "-C a|b", "--overcommit"],
        ),
    ],
)
def test_what_maestro_leaves_out_stands_below_its_lines(run: dict[str, Any], added: list[str]):
    assert header(run) == ["--nodes=1", *START, *NAMES, ADDED, *added]


@pytest.mark.parametrize(
    ("command", "run", "added"),
    [
        ("$(LAUNCHER) app", {"nodes": 1, "procs": 2}, ["--mincpus=2"]),
        ("$(LAUNCHER) app", {"nodes": "2", "procs": "7", "cores per task": "3"}, ["--mincpus=12"]),
        ("$(LAUNCHER) app", {"nodes": 1, "cores per task": 4}, ["--mincpus=4"]),
        ("$(LAUNCHER)[1n,3p] app", {"nodes": 2, "procs": 100}, ["--mincpus=3"]),
        ("$(LAUNCHER)[5p] app; $(LAUNCHER)[2,4] other", {"nodes": 2, "procs": 100}, ["--mincpus=3"]),
        ("$(LAUNCHER)[2p] a >& o & $(LAUNCHER)[2p] b & wait", {"nodes": 1, "procs": 8}, ["--mincpus=8"]),
        ("$(LAUNCHER)[2p] a > o 2>&1 && $(LAUNCHER)[3p] b &> o", {"nodes": 1, "procs": 8}, ["--mincpus=3"]),
        ("$(LAUNCHER) app", {"procs": 8, "cores per task": 4}, ["--cpus-per-task=4"]),
        ("$(LAUNCHER)[4p] app", {"procs": 32, "cores per task": 4}, []),
        ("$(LAUNCHER)[20p] app", {"procs": 32, "cores per task": 4}, ["--cpus-per-task=3"]),
        ("$(LAUNCHER) app", {"procs": 8}, []),
        ("$(LAUNCHER) app", {"nodes": 2, "procs": 2}, []),
        ("$(LAUNCHER) app", {"nodes": 4}, []),
        ("$(LAUNCHER) app", {"nodes": "2-4", "procs": 8}, []),
        ("srun app", {"nodes": 2, "procs": 4, "cores per task": 3}, []),
        ("true\n  # $(LAUNCHER) app", {"nodes": 1, "procs": 32, "cores per task": 4}, []),
        (
            "true; # don't $(LAUNCHER) app\n$(LAUNCHER)[2p] app # isn't & all",
            {"nodes": 1, "procs": 8},
            ["--mincpus=2"],
        ),
        ("curl 'h/?a=1&b=2' \"c&d\" e\\&f\n$(LAUNCHER)[2p] x", {"nodes": 1, "procs": 60}, ["--mincpus=2"]),
        ("echo '&'; $(LAUNCHER)[2p] a >'o'& $(LAUNCHER)[2p] b", {"nodes": 1, "procs": 8}, ["--mincpus=8"]),
        ("$(LAUNCHER) app -n 1 --overcommit", {"nodes": 1, "procs": 8}, ["--mincpus=8"]),
        ("$(LAUNCHER) -n 1 x; $(LAUNCHER)[3p] y", {"nodes": 1, "procs": 8}, ["--mincpus=3"]),
        ("$(LAUNCHER) -n 1 x & $(LAUNCHER) -n 2 y", {"nodes": 1, "procs": 8}, []),
        ("$(LAUNCHER) -O app", {"procs": 8, "cores per task": 4}, []),
        ("SLURM_OVERCOMMIT=1 $(LAUNCHER) app", {"nodes": 1, "procs": 70}, []),
        ("#SBATCH -N 1 --overcommit\n$(LAUNCHER) app", {"nodes": 1, "procs": 70}, []),
    ],
)
def test_a_job_asks_for_the_cpus_that_its_launchers_take(command: str, run: dict[str, Any], added: list[str]):
    """A script without one asks for nothing that Maestro's does not: sbatch might refuse it, srun start more tasks."""
    lines = header({**run, "cmd": command})

    assert lines[len(header(run)) :] == ([ADDED, *added] if added else [])


@pytest.mark.parametrize("args", [{"overcommit": None}, {"O": None}])
def test_a_step_whose_tasks_share_cpus_by_an_option_asks_for_none(args: dict[str, None]):
    added = [f"-{name}" if len(name) == 1 else f"--{name}" for name in args]

    assert header({"cmd": "$(LAUNCHER) app", "nodes": 1, "procs": 70, "args": args})[-2:] == [ADDED, *added]


def test_a_step_whose_tasks_share_cpus_by_a_variable_of_its_environment_asks_for_none():
    host = Host("host", "boot", 1, environment=Environment({"SLURM_OVERCOMMIT": "1"}))
    lines = SlurmAdapter(BATCH, host).header("sim", "d", {"cmd": "$(LAUNCHER) app", "nodes": 1, "procs": 70})

    assert ADDED not in lines


@pytest.mark.parametrize("memory", ["4G", "4GB", "4g", 4096, "+4", " 4", "0", "12k", "3TB"])
def test_memory_is_what_sbatch_takes(memory: object):
    assert header({"nodes": 1, "memory": memory})[-1].startswith("--mem=")


@pytest.mark.parametrize("memory", ["lots", "4.5G", "4 G", "4kx", "4b", "-1", "4P"])
def test_other_memory_is_refused(memory: str):
    with pytest.raises(ValueError, match=f"memory is '{memory}'; write a whole number of megabytes, or one with K"):
        header({"nodes": 1, "memory": memory})


def test_all_that_is_wrong_with_a_header_comes_at_once():
    run = {
        "nodes": 1,
        "exclusive": "maybe",
        "memory": "lots",
        "args": {"array": "1-3", "wrap": "x", "chdir": "/scratch", "nice": 3, "deadline": True},
        "cmd": "#SBATCH --array=1-4 --wait\n#SBATCH --mem='5\n#SBATCH --wrap=x\ntrue",
    }
    with pytest.raises(Faults) as refusal:
        header(run)

    assert [" ".join(message.split()[:2]) for message in refusal.value.messages] == [
        "exclusive is",
        "memory is",
        "args: array",
        "args: wrap",
        "args: chdir",
        "args: deadline",
        "#SBATCH --array=1-4",
        "#SBATCH --wait",
        "#SBATCH --mem='5:",
        "#SBATCH --wrap=x",
    ]


@pytest.mark.parametrize(
    ("run", "args", "passed"),
    [
        ({"nodes": 1, "walltime": "1:00"}, {"time": 90, "nice": 3}, ["--nice=3"]),
        ({"nodes": 1, "walltime": "1:00"}, {"t": 90, "tim": 90, "N": 2}, []),
        ({"nodes": 1}, {"time": 90}, ["--time=90"]),
        ({"nodes": 1, "exclusive": False}, {"exclusive": None}, []),
        ({"nodes": 1, "memory": 50}, {"mem-per-cpu": 1, "mem-bind": "local"}, ["--mem=50", "--mem-bind=local"]),
        ({"nodes": 1, "qos": "high", "args": {"qos": "low"}}, {"qos": "normal"}, ["--qos=low"]),
    ],
)
def test_a_key_of_a_step_comes_before_args_of_the_batch_block(
    run: dict[str, Any], args: dict[str, Any], passed: list[str]
):
    lines = header(run, args=args)

    assert lines[lines.index(ADDED) + 1 :] == passed if passed else ADDED not in lines


def test_options_of_the_batch_block_are_passed_through_and_overridden_by_the_step_s():
    batch = {"args": {"mail-user": "me", "nice": 3}}

    assert header({"nodes": 1}, **batch)[-3:] == [ADDED, "--mail-user=me", "--nice=3"]
    assert header({"nodes": 1, "args": {"nice": 5}}, **batch)[-2:] == ["--mail-user=me", "--nice=5"]
    assert header({"nodes": "", "args": {"nice": 5}}, **batch) == []


@pytest.mark.parametrize(
    "name", ["array", "a", "--array", "arr", "--tes", "cluster", "-D", "wrap", "requeue", "job-name", "parsable", "W"]
)
def test_options_that_the_submission_rests_on_are_refused(name: str):
    with pytest.raises(ValueError, match=f"args: {name} can't be passed through"):
        header({"nodes": 1, "args": {name: "x"}})


@pytest.mark.parametrize("key", ["walltime", "qos", "reservation", "memory", "gpus"])
def test_no_value_begins_another_line(key: str):
    with pytest.raises(ValueError, match="no option can hold a control character"):
        header({"nodes": 1, key: "1\n#SBATCH --array=1-9"})


def test_the_arguments_for_sbatch_say_what_the_script_shows():
    run = {"nodes": 2, "memory": "4G", "exclusive": True}

    assert arguments(adapter().directives("sim", 'a "b"', run)) == [
        *("--nodes=2", "--partition=q", "--account=b", "--job-name=sim", "--output=sim.out", "--error=sim.err"),
        *('--comment=a "b"', "--exclusive", "--mem=4G"),
    ]


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ({"nodes": 2, "procs": 8}, "srun -n 8 -N 2"),
        ({"procs": 8}, "srun -n 8"),
        ({"nodes": 2}, "srun -N 2"),
        ({"nodes": "2", "procs": "8"}, "srun -n 8 -N 2"),
        ({"procs": 8, "cores per task": 4}, "srun -n 8 -c 4"),
        ({"nodes": 1, "procs": 8, "gpus": 4, "walltime": 5, "exclusive": {"launcher": True}}, "srun -n 8 -N 1"),
    ],
)
def test_a_bare_launcher_takes_all_that_the_step_has(run: dict[str, Any], command: str):
    assert adapter().command("$(LAUNCHER) app", run) == f"{command} app"


@pytest.mark.parametrize(
    ("option", "folder", "meant"),
    [
        ("--output=sim.out", "/w/sim", "--output=sim.out"),
        ("--output=sim.out", "/w/50%/sim", "--output=/w/50%%/sim/sim.out"),
        ("--error=log.%j", "/w/%j", "--error=/w/%%j/log.%j"),
        ("--output=/scratch/%j", "/w/%j", "--output=/scratch/%j"),
        ("--output=none", "/w/%j", "--output=none"),
        (r"--output=a\b", "/w/%j", r"--output=a\b"),
        ("-o log -elog --input data", "/w/%", "-o /w/%%/log -e/w/%%/log --input /w/%%/data"),
        ("--comment=--output=x -N 2 --exclusive", "/w/%j", "--comment=--output=x -N 2 --exclusive"),
        ("--nodes=2 -o", "/w/%j", "--nodes=2 -o"),
    ],
)
def test_files_of_a_job_lie_in_its_directory_whatever_that_is_called(option: str, folder: str, meant: str):
    assert anchored(option.split(), folder) == meant.split()


@pytest.mark.parametrize(
    ("token", "command"),
    [
        ("$(LAUNCHER)[4p]", "srun -n 4 -c 2"),
        ("$(LAUNCHER)[1n]", "srun -N 1 -c 2"),
        ("$(LAUNCHER)[1n,4p]", "srun -n 4 -N 1 -c 2"),
        ("$(LAUNCHER)[1, 4]", "srun -n 4 -N 1 -c 2"),
    ],
)
def test_a_launcher_takes_what_it_asks_for(token: str, command: str):
    assert adapter().command(token, {"nodes": "2", "procs": "8", "cores per task": 2}) == command


def test_what_the_step_takes_over_from_the_batch_block_limits_its_launchers():
    assert adapter(procs=6).command("$(LAUNCHER)[6p]", {"nodes": 2}) == "srun -n 6"
    with pytest.raises(ValueError, match="asks for 7 procs, but the step has 6"):
        adapter(procs=6).command("$(LAUNCHER)[7p]", {"nodes": 2})
