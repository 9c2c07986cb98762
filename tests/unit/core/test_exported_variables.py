from __future__ import annotations

from functools import partial

import pytest

from maestro_es.adapters import schedulers
from maestro_es.core import exported_variables as exports
from maestro_es.core.environment import Environment, for_node, for_runner
from maestro_es.core.exported_variables import ExportChoice, read_export, remarks

choose = partial(exports.choose, schedulers=schedulers.ALL)
not_exported = partial(exports.not_exported, schedulers=schedulers.ALL)

USER = {"HOME": "/home/ada", "PATH": "/bin", "EDITOR": "vi", "DATA": "/data"}


@pytest.mark.parametrize(
    ("text", "export"),
    [
        ("ALL", ExportChoice()),
        ("all", ExportChoice()),
        ("NONE", ExportChoice(everything=False)),
        ("NIL", ExportChoice(everything=False)),
        ("A,B", ExportChoice(False, ("A", "B"))),
        ("ALL,A=1,B", ExportChoice(True, ("B",), {"A": "1"})),
        ("A=x=y", ExportChoice(False, (), {"A": "x=y"})),
        ("A='x,y',B=\"z\"", ExportChoice(False, (), {"A": "x,y", "B": "z"})),
        ("A=", ExportChoice(False, (), {"A": ""})),
        ("SLURM_*,BASH_FUNC_*", ExportChoice(False, ("SLURM_*", "BASH_FUNC_*"))),
        ("BASH_FUNC_module%%", ExportChoice(False, ("BASH_FUNC_module%%",))),
    ],
)
def test_export_is_read_as_sbatch_reads_it(text: str, export: ExportChoice):
    assert read_export(text) == export


@pytest.mark.parametrize("text", ["", ",", "A-B", "1=2", "A='x", "A B", "*=1"])
def test_what_can_be_no_export_is_refused(text: str):
    with pytest.raises(ValueError, match=r"write ALL, NONE|is not closed"):
        read_export(text)


@pytest.mark.parametrize("text", ["ALL", "NONE", "A,B", "ALL,A"])
def test_an_export_without_values_can_be_read_again(text: str):
    assert str(read_export(text)) == text


def test_the_values_of_an_export_are_not_told():
    assert str(read_export("ALL,TOKEN=secret,B")) == "ALL,B,TOKEN"


def test_all_leaves_out_what_is_of_one_login_or_one_process():
    here = {
        **USER, "SSH_AUTH_SOCK": "/a", "DISPLAY": ":0", "TMUX": "x", "PWD": "/", "_": "/bin/env", "SSHX": "mine",
        "MAESTRO_ES_TOKEN": "t", "MAESTRO_ES_HOME": "/h", "http_proxy": "p", "BASH_FUNC_ml%%": "() {  :\n}",
    }  # fmt: skip
    chosen = choose(here, ExportChoice())
    assert chosen.variables == {
        **USER, "SSHX": "mine", "MAESTRO_ES_HOME": "/h", "http_proxy": "p", "BASH_FUNC_ml%%": "() {  :\n}",
    }  # fmt: skip
    assert remarks(chosen) == []


def test_a_name_or_value_that_is_asked_for_counts_even_if_it_is_of_a_login():
    here = {**USER, "DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}
    assert choose(here, read_export("ALL,DISPLAY,EDITOR=emacs")).variables == {
        **USER, "DISPLAY": ":0", "EDITOR": "emacs",
    }  # fmt: skip
    assert choose(here, read_export("SSH_*")).variables == {
        "HOME": "/home/ada",
        "PATH": "/bin",
        "SSH_TTY": "/dev/pts/1",
    }


def test_less_than_all_is_who_the_user_is_where_programs_are_and_what_is_said_to_slurm():
    here = {**USER, "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a", "USER": "ada"}
    least = {"HOME": "/home/ada", "PATH": "/bin", "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a", "USER": "ada"}
    assert choose(here, read_export("NONE")).variables == least
    assert choose(here, read_export("DATA,X=1")).variables == {**least, "DATA": "/data", "X": "1"}
    assert choose(here, read_export("DATA,GONE")).unset == ("GONE",)


def test_inside_a_job_what_slurm_has_set_there_is_left_out_and_named():
    here = {
        **USER,
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "4",
        "SLURM_CPU_BIND": "x",
        "SLURM_CONF": "/c",
        "PMI_RANK": "0",
    }
    found = choose(here, ExportChoice())
    assert found.variables == {**USER, "SLURM_CONF": "/c"}
    assert found.job == ("PMI_RANK", "SLURM_CPU_BIND", "SLURM_JOB_ID", "SLURM_NTASKS")
    [line] = remarks(found)
    assert "SLURM_NTASKS" in line
    assert line.endswith("--export 'ALL,PMI_*,SLURM_*' passes them on")
    assert choose(here, read_export("ALL,PMI_*,SLURM_*")).variables == here
    assert choose(here, read_export("ALL,SLURM_*")).variables["SLURM_NTASKS"] == "4"


def test_an_empty_variable_of_a_job_is_of_no_job():
    here = {**USER, "FLUX_URI": "", "SLURM_JOB_ID": ""}
    found = choose(here, ExportChoice())
    assert (found.variables, remarks(found)) == (here, [])


def test_outside_of_a_job_what_a_user_asks_of_slurm_is_kept():
    here = {**USER, "SLURM_NTASKS": "4", "SBATCH_PARTITION": "low"}
    assert choose(here, ExportChoice()).variables == here


def test_what_would_break_the_protocol_is_left_out_however_it_is_asked_for_and_named():
    here = {**USER, "SBATCH_ARRAY_INX": "1-9", "SBATCH_WAIT": "1"}
    for text in ("ALL", "ALL,SBATCH_WAIT", "SBATCH_*", "ALL,SBATCH_WAIT=1"):
        found = choose(here, read_export(text))
        assert not {"SBATCH_WAIT", "SBATCH_ARRAY_INX"} & found.variables.keys()
        assert "SBATCH_WAIT" in remarks(found)[0]


def test_a_name_that_no_shell_passes_on_is_left_out_and_named():
    found = choose({**USER, "A-B": "1", "BASH_FUNC_\udcff%%": "() { :; }"}, ExportChoice())
    assert found.variables == USER
    assert "A-B" in remarks(found)[0]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("run $DATA ${EDITOR:-x} $HOME", ["DATA", "EDITOR"]),
        ("DATA=1; run $DATA", []),
        ("export DATA=1\nrun $DATA", []),
        ("read -r DATA\nrun $DATA", []),
        ("for DATA in a b; do run $DATA; done", []),
        (r"run \$DATA $(DATA) $NOT_SET $PWD", []),
        ("MY_DATA=1 run $DATA", ["DATA"]),
    ],
)
def test_a_variable_that_a_command_uses_and_will_not_have_is_found(command: str, names: list[str]):
    assert not_exported(command, {**USER, "PWD": "/"}, {"HOME": "/home/ada"}) == names


def test_the_job_of_a_step_has_variables_of_its_own():
    assert not_exported("echo $SLURM_JOB_ID", {"SLURM_JOB_ID": "7"}, {}) == []


def test_names_that_a_shell_drops_or_changes_travel_under_others():
    given = {"A": "1", "output": "mine", "BASH_FUNC_module%%": "() {  :\n}", "http_proxy": "p", "SHELLOPTS": "errexit"}
    assert for_runner(given) == {
        "A": "1",
        "MAESTRO_ES_KEPT": "output http_proxy",
        "MAESTRO_ES_KEPT_output": "mine",
        "MAESTRO_ES_KEPT_http_proxy": "p",
        "MAESTRO_ES_FUNCTION_1": "BASH_FUNC_module%%=() {  :\n}",
        "MAESTRO_ES_FUNCTION_2": "SHELLOPTS=errexit",
    }


def test_limits_reach_a_node_in_the_letters_and_units_of_ulimit():
    environment = Environment(limits={"stack": 65536 * 1024, "nofile": -1, "core": 0, "rss": 5}, nice=3)
    assert for_node(environment) == {"MAESTRO_ES_LIMITS": "s:65536 c:0 n:unlimited", "MAESTRO_ES_NICE": "3"}
    assert for_node(Environment(nice=0)) == {}
