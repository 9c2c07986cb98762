"""What PBS prints, and what it means. The texts are those of OpenPBS 23.06.06."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from maestro_es.adapters.batch import not_cancelled
from maestro_es.adapters.command import Completed
from maestro_es.adapters.pbs.client import pbs_environment
from maestro_es.adapters.pbs.output import (
    ENDING,
    is_down,
    read_facts,
    read_ids,
    read_jobs,
    read_submission,
    seconds_left,
)
from maestro_es.core.model import JobState
from maestro_es.core.submission import Accepted, InDoubt, QueueFull, Rejected
from maestro_es.errors import Unreachable

USAGE = "usage: qsub [-a date_time] [-A account_string] [-c interval]\n\t[-C directive_prefix]\n"


@pytest.mark.parametrize("job_id", ["0.vm", "4711.pbs-1.site.gov", "9999999"])
def test_an_accepted_job_has_its_id_on_a_line(job_id: str):
    assert read_submission(Completed(0, f"{job_id}\n", "")) == Accepted(job_id)
    assert read_submission(Completed(0, f"Project x is charged\n{job_id}\n", "")) == Accepted(job_id)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (170, "qsub: Unknown queue"),
        (188, "qsub: Job violates queue and/or server resource limits"),
        (187, "qsub: Unknown resource Resource_List.foo"),
        (187, "qsub: Unknown resource: ngpus"),
        (166, "qsub: Illegal attribute or resource value Resource_List.walltime"),
        (2, "qsub: Job name is too long "),
        (2, f"qsub: illegal -N value\n{USAGE}"),
        (2, f"qsub: invalid option -- '-'\n{USAGE}"),
        (175, "qsub: Bad UID for job execution"),
        (159, "qsub: Unauthorized Request"),
    ],
)
def test_a_refusal_proves_that_there_is_no_job(code: int, text: str):
    message = " ".join(text.partition("usage")[0].split())
    assert read_submission(Completed(code, "", f"{text}\n")) == Rejected(message, code)


@pytest.mark.parametrize(
    ("code", "text", "down"),
    [
        (255, "Connection refused\nqsub: cannot connect to server vm (errno=15010)", True),
        (15031 % 256, "qsub: End of File", True),
        (1, "qsub: Something that nobody has seen before", False),
        (-9, "", False),
        (0, "", False),
    ],
)
def test_without_a_clear_answer_there_may_be_a_job(code: int, text: str, down: bool):
    outcome = read_submission(Completed(code, "", text))
    assert isinstance(outcome, InDoubt)
    assert outcome.scheduler_down is down


def test_an_id_with_an_error_is_in_doubt():
    assert isinstance(read_submission(Completed(1, "7.vm\n", "")), InDoubt)
    assert isinstance(read_submission(Completed(0, "7.vm\n8.vm\n", "")), InDoubt)


@pytest.mark.parametrize(
    "text", ["qsub: would exceed queue generic's per-user limit", "qsub: Queue is not enabled"]
)  # fmt: skip
def test_a_limit_on_the_number_of_jobs_is_no_refusal(text: str):
    assert isinstance(read_submission(Completed(188, "", text)), QueueFull)


def line(letter: str = "R", **attributes: object) -> str:
    """Return a job as ``qstat -f -F dsv`` prints it."""
    more = "".join(f"|{name}={value}" for name, value in attributes.items())
    return (
        f"Job Id: 48.vm|Job_Name=s|Job_Owner=you@vm|job_state={letter}|queue=workq{more}"
        "|Variable_List=PBS_O_HOME=/root,PBS_O_PATH=/bin|Submit_arguments=-f -- /bin/sh a\\|b c\\\\d new\\nline"
        "|executable=<jsdl-hpcpa:Executable>/bin/sh</jsdl-hpcpa:Executable>"
        "|argument_list=<jsdl-hpcpa:Argument>/a\\|b &apos;&amp;&apos;/.maestro-es/runner.sh</jsdl-hpcpa:Argument>"
        "<jsdl-hpcpa:Argument>feedfeed-1-1-cafe</jsdl-hpcpa:Argument><jsdl-hpcpa:Argument>c\\\\d</jsdl-hpcpa:Argument>"
        "|project=_pbs_project_default|run_version=1|Submit_Host=vm\n"
    )


@pytest.mark.parametrize(
    ("letter", "state"),
    [
        ("Q", JobState.PENDING), ("T", JobState.PENDING), ("W", JobState.PENDING), ("H", JobState.PENDING),
        ("R", JobState.RUNNING), ("S", JobState.RUNNING), ("U", JobState.RUNNING), ("E", JobState.RUNNING),
        ("B", JobState.RUNNING), ("M", JobState.UNKNOWN), ("X", JobState.UNKNOWN), ("?", JobState.UNKNOWN),
    ],
)  # fmt: skip
def test_each_state_of_pbs_has_a_meaning(letter: str, state: JobState):
    [row] = read_jobs(Completed(0, line(letter), ""), ["48.vm"])
    assert (row.job_id, row.state, row.raw_state) == ("48.vm", state, letter)
    assert row.command == "/bin/sh /a|b '&'/.maestro-es/runner.sh feedfeed-1-1-cafe c\\d"


@pytest.mark.parametrize(
    ("substate", "status", "state", "code"),
    [
        (92, 0, "FINISHED", 0),
        (93, 3, "FAILED", 3),
        (93, 265, "FAILED", 137),  # 256 + 9
        (93, -29, "TIMED_OUT", None),
        (93, -27, "OUT_OF_MEMORY", None),
        (93, -26, "OUT_OF_MEMORY", None),
        (93, -28, "FAILED", None),
        (93, -3, "NODE_FAILED", None),
        (93, -20, "NODE_FAILED", None),
        (93, -31, "NODE_FAILED", None),
        (91, 0, "CANCELLED", 0),  # it has saved its work after qdel
        (91, 271, "CANCELLED", 143),
        (91, None, "CANCELLED", None),  # deleted while it was pending
        (92, None, "CANCELLED", None),  # its dependency can't be satisfied
    ],
)
def test_the_exit_status_and_the_substate_say_how_a_job_ended(
    substate: int, status: int | None, state: str, code: int | None
):
    more = {} if status is None else {"Exit_status": status}
    [row] = read_jobs(Completed(0, line("F", substate=substate, **more), ""), ["48.vm"])
    assert (row.state.name, row.exit_code) == (state, code)


@pytest.mark.parametrize("more", [{}, {"Exit_status": 0}, {"substate": 92, "Exit_status": "0x1"}, {"substate": "new"}])
def test_an_end_without_a_known_exit_status_or_substate_is_no_verdict(more: dict[str, Any]):
    [row] = read_jobs(Completed(0, line("F", **more), ""), ["48.vm"])
    assert row.state is JobState.UNKNOWN


@pytest.mark.parametrize(
    ("letter", "comment", "delay"),
    [
        ("Q", "Not Running: Not enough free nodes available", ""),
        ("Q", "", ""),
        ("Q", "Can Never Run: Insufficient amount of resource: ncpus (R: 36 A: 2 T: 2)", "Can Never Run"),
        ("H", "job held, too many failed attempts to run", "job held"),
        ("H", "", "held"),
        ("R", "Job run at Mon Nov 30 at 12:44 on (vm:ncpus=1)", ""),
    ],
)
def test_a_job_that_will_not_run_by_itself_says_why(letter: str, comment: str, delay: str):
    [row] = read_jobs(Completed(0, line(letter, comment=comment), ""), ["48.vm"])
    assert row.delay.startswith(delay)
    assert bool(row.delay) is bool(delay)


def test_only_a_line_feed_ends_the_line_of_a_job():
    [row] = read_jobs(Completed(0, line(jobdir="/form\x0cfeed/and\u2028more"), ""), ["48.vm"])
    assert "feedfeed-1-1-cafe" in row.command.split()


def test_jobs_that_ended_between_the_two_queries_are_left_out():
    over = "qstat: 42.vm Job has finished, use -x or -H to obtain historical job information\n"
    unknown = "qstat: Unknown Job Id 43.vm\n"

    assert [row.job_id for row in read_jobs(Completed(35, line(), over), ["42.vm", "48.vm"])] == ["48.vm"]
    assert read_jobs(Completed(153, "", over + unknown), ["42.vm", "43.vm"]) == []
    off = "qstat: PBS is not configured to maintain job history 31.vm\n"
    assert read_jobs(Completed(0, "", off), ["31.vm"]) == []


@pytest.mark.parametrize(
    "done",
    [
        Completed(0, "", ""),
        Completed(0, "welcome to the cluster\n", ""),
        Completed(0, line()[:-9], ""),
        Completed(0, line(), ""),  # one of two
        Completed(255, "", "Connection refused\nqstat: cannot connect to server vm (errno=15010)\n"),
    ],
)
def test_what_is_no_list_says_nothing_of_any_job(done: Completed):
    with pytest.raises(Unreachable, match="qstat: "):
        read_jobs(done, ["47.vm", "48.vm"])


def test_the_ids_of_a_user_are_listed_line_by_line():
    assert read_ids(Completed(0, "4.vm\n12[].vm\n", "")) == ["4.vm", "12[].vm"]
    assert read_ids(Completed(0, "", "")) == []
    for done in (Completed(0, "4.v", ""), Completed(0, "welcome\n", ""), Completed(1, "", ""), Completed(0, "", "x")):
        with pytest.raises(Unreachable, match="qselect: "):
            read_ids(done)


@pytest.mark.parametrize(
    ("code", "err", "message"),
    [
        (0, "", ""),
        (35, "qdel: Job has finished 19.vm\n", ""),
        (153, "qdel: Job has finished 2.vm\nqdel: Unknown Job Id 999.vm\n", ""),
        (159, "qdel: Unauthorized Request  4.vm\n", "qdel: Unauthorized Request 4.vm"),
        (255, "qdel: cannot connect to server vm (errno=15010)\n", "qdel: cannot connect to server vm (errno=15010)"),
        (1, "", "qdel ended with 1 and said nothing"),
    ],
)
def test_qdel_says_which_jobs_may_still_run(code: int, err: str, message: str):
    assert not_cancelled("qdel", Completed(code, "", err), ENDING) == message
    assert is_down(message) == ("connect" in message)


def test_the_server_is_known_by_name():
    text = "Server: vm|server_state=Active|default_queue=workq|pbs_version=23.06.06|job_history_enable=True\n"
    assert read_facts(Completed(0, text, "")) == {
        "ClusterName": "vm", "pbs_version": "23.06.06", "job_history_enable": "True"
    }  # fmt: skip
    assert read_facts(Completed(0, "Server: vm|server_state=Active\n", ""))["job_history_enable"] == "False"
    with pytest.raises(Unreachable):
        read_facts(Completed(0, "", ""))


def test_commands_that_ask_lead_to_the_recorded_server():
    ours = {"PATH": "/bin", "PBS_SERVER": "ours", "PBS_JOBID": "3.vm"}
    recorded = {"PATH": "/opt/pbs/bin", "PBS_CONF_FILE": "/etc/other.conf"}

    assert pbs_environment(ours, recorded) == recorded
    assert pbs_environment(ours, {}) == {"PATH": "/bin", "PBS_SERVER": "ours"}


def test_the_time_left_of_a_job_is_its_walltime_from_its_start():
    text = "Job Id: 0.vm\n    Resource_List.walltime = 00:08:09\n    stime = Mon Nov 30 15:32:33 2026\n"
    start = datetime(2026, 11, 30, 15, 32, 33).astimezone().timestamp()

    assert seconds_left(text, start + 9) == 480
    assert seconds_left(text.replace("00:08:09", ""), start) is None
    assert seconds_left("", start) is None
