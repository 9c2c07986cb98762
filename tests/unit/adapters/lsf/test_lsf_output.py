"""What LSF prints, and what it means. Texts are those of IBM's documentation of LSF 10.1, and of volclava 2.2."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from msgspec import structs

from maestro_es.adapters.batch import not_cancelled
from maestro_es.adapters.command import Completed
from maestro_es.adapters.lsf.client import lsf_environment
from maestro_es.adapters.lsf.output import (
    ENDING,
    is_down,
    lacks_fields,
    read_facts,
    read_json,
    read_submission,
    read_text,
    seconds_left,
)
from maestro_es.adapters.queue_entries import by_token
from maestro_es.core.model import JobState, Phase, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, QueueFull, Rejected
from maestro_es.errors import Unreachable

RUNNER = "'/a b/.maestro-es/runner.sh' feedfeed-1-1-cafe '/a b/s_1' ./s.lsf.sh '/a b'"


@pytest.mark.parametrize(
    ("out", "job_id"),
    [
        ("Job <1> is submitted to default queue <normal>.\n", "1"),
        ("Job <2147483646> is submitted to queue <short>.\n", "2147483646"),
        ("Job <7> is submitted to <proj> project.\n", "7"),
        ("Account 4711 has 12 hours\nJob <7> is submitted to queue <q>.\n", "7"),
    ],
)
def test_an_accepted_job_has_the_id_on_its_own_line(out: str, job_id: str):
    assert read_submission(Completed(0, out, "")) == Accepted(job_id)


@pytest.mark.parametrize(
    "text",
    [
        "nope: No such queue.", "Too many processors requested.", "RUNLIMIT: Cannot exceed queue's hard limit(s).",
        "Bad resource requirement syntax.", "User permission denied.", "No command is specified.",
        "Bad argument for option -n.", "1:00:00: Bad RUNLIMIT specification.", "Root job submission is disabled.",
        "User cannot use the queue.", "Request aborted by esub.",
    ],
)  # fmt: skip
def test_a_refusal_proves_that_there_is_no_job(text: str):
    outcome = read_submission(Completed(255, "", f"{text} Job not submitted.\n"))
    assert outcome == Rejected(f"{text} Job not submitted.", 255)


@pytest.mark.parametrize(
    ("text", "down"),
    [
        ("Failed in an LSF library call: Communication time out. Job not submitted.", True),
        ("Connection refused by server. Job not submitted.", True),
        ("LSF is down. Please wait...", True),
        ("batch system daemon not responding ... still trying", True),
        ("Request from non-LSF host rejected. Job not submitted.", False),
        ("System call failed. Job not submitted.", False),
        ("Killed", False),
        ("", False),
    ],
)
def test_without_a_clear_answer_there_may_be_a_job(text: str, down: bool):
    outcome = read_submission(Completed(255, "", text))
    assert isinstance(outcome, InDoubt)
    assert outcome.scheduler_down is down


def test_an_id_with_an_error_is_in_doubt():
    assert isinstance(read_submission(Completed(1, "Job <7> is submitted to queue <q>.\n", "")), InDoubt)


@pytest.mark.parametrize("code", [255, -9])
def test_a_limit_on_pending_jobs_is_no_refusal(code: int):
    text = "User <you>: Pending job threshold reached. Retrying in 60 seconds..."
    assert isinstance(read_submission(Completed(code, "", text)), QueueFull)
    assert isinstance(read_submission(Completed(code, "", "Queue has been closed. Job not submitted.")), QueueFull)


def listed(stat: str, code: str = "-", reason: str = "-") -> Completed:
    record = {"JOBID": "9", "STAT": stat, "EXIT_CODE": code, "EXIT_REASON": reason, "JOB_NAME": "s", "COMMAND": RUNNER}
    return Completed(0, json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [record]}, indent=2), "")


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ("PEND", JobState.PENDING), ("PROV", JobState.PENDING), ("WAIT", JobState.PENDING),
        ("PSUSP", JobState.PENDING), ("RUN", JobState.RUNNING), ("USUSP", JobState.RUNNING),
        ("SSUSP", JobState.RUNNING), ("UNKWN", JobState.UNKNOWN), ("ZOMBI", JobState.UNKNOWN),
        ("DONE", JobState.FINISHED), ("PDONE", JobState.FINISHED), ("POST_DONE", JobState.FINISHED),
        ("POST_ERR", JobState.FINISHED), ("NEW_IN_LSF_11", JobState.UNKNOWN),
    ],
)  # fmt: skip
def test_each_state_of_lsf_has_a_meaning(stat: str, state: JobState):
    [row] = read_json(listed(stat))
    assert (row.job_id, row.state, row.raw_state, row.command) == ("9", state, stat, f"{RUNNER} /s")
    assert bool(row.delay) == (stat == "PSUSP")


@pytest.mark.parametrize(
    ("code", "reason", "state"),
    [
        ("140", "TERM_RUNLIMIT: job killed after reaching LSF run time limit", JobState.TIMED_OUT),
        ("1", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", JobState.OUT_OF_MEMORY),
        ("130", "TERM_OWNER: job killed by owner", JobState.CANCELLED),
        ("-", "TERM_FORCE_OWNER: job killed by owner without time for cleanup", JobState.CANCELLED),
        ("130", "TERM_ADMIN: job killed by root or LSF administrator", JobState.CANCELLED),
        ("143", "TERM_PREEMPT: job killed after preemption", JobState.PREEMPTED),
        ("143", "TERM_LOAD: job killed after load exceeds threshold", JobState.PREEMPTED),
        ("-", "TERM_REQUEUE_ADMIN", JobState.PREEMPTED),
        ("-", "TERM_REMOVE_HUNG_JOB", JobState.NODE_FAILED),
        ("137", "TERM_EXTERNAL_SIGNAL: job killed by a signal external to LSF", JobState.FAILED),
        ("2", "TERM_CPULIMIT", JobState.FAILED),
        ("2", "TERM_SOMETHING_NEW", JobState.UNKNOWN),
        ("3", "-", JobState.FAILED),
        ("140", "-", JobState.TIMED_OUT),
        ("130", "-", JobState.CANCELLED),
        ("-", "-", JobState.NODE_FAILED),
        ("0x2", "-", JobState.UNKNOWN),
    ],
)
def test_the_reason_says_why_a_job_ended(code: str, reason: str, state: JobState):
    [row] = read_json(listed("EXIT", code, reason))
    assert row.state is state
    assert row.exit_code == (int(code) if code.isdigit() else None)


@pytest.mark.parametrize(
    "done",
    [
        Completed(0, "", ""),
        Completed(0, "welcome to the cluster\n", ""),
        Completed(0, '{"COMMAND":"bjobs","JOBS":2,"RECORDS":[{"JOBID":"7","STAT":"RU', ""),
        Completed(0, '{"COMMAND":"bjobs","JOBS":2,"RECORDS":[]}', ""),
        Completed(0, '{"JOBS":1,"RECORDS":[{"JOBID":"7"}]}', ""),
        Completed(255, "", "Failed in an LSF library call: Communication time out"),
        Completed(255, '{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}', "Connection refused by server"),
        Completed(255, "", "Batch system concurrent job query limit exceeded. LSF is retrying. Please wait..."),
    ],
)
def test_what_is_no_list_says_nothing_of_any_job(done: Completed):
    with pytest.raises(Unreachable, match="bjobs: "):
        read_json(done)
    with pytest.raises(Unreachable, match="bjobs: "):
        read_text(done)


@pytest.mark.parametrize("code", [0, 254, 255])
@pytest.mark.parametrize("text", ["No unfinished job found", "No job found"])
def test_no_jobs_are_an_answer_whatever_the_exit_code(code: int, text: str):
    assert read_json(Completed(code, "", f"{text}\n")) == read_text(Completed(code, "", f"{text}\n")) == []
    assert read_json(Completed(code, '{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}', "")) == []


def test_a_bjobs_without_these_fields_is_asked_in_its_own_way():
    assert lacks_fields(Completed(99, "", "<COMMAND> in the format string is not a valid field name.\n"))
    assert lacks_fields(Completed(255, "", "bjobs: illegal option -- j\nUsage: bjobs [-h] ...\n"))
    assert not lacks_fields(Completed(255, "", "Failed in an LSF library call: Communication time out\n"))


#: As volclava prints it, except the reasons.
UF = """
Job <7>, Job Name <s>, User <you>, Project <default>, Status <{status}>, Queue <q>, Command <{command}>, Job Description <d>
Mon Nov 30 12:14:25: Submitted from host <n1>, CWD </a b/s_1>, Output File </a b/s_1/s.%J.out>;
{details}
 RUNLIMIT
 1.0 min
------------------------------------------------------------------------------

Job <8[2]>, User <you>, Project <default>, Status <RUN>, Queue <q>, Command <sh -c 'exit 3'>
Mon Nov 30 12:14:27: Started 1 Task(s) on Host(s) <n1>, Allocated 1 Slot(s) on Host(s) <n1>;
"""  # noqa: E501
STARTED = "Mon Nov 30 12:14:27: Started 1 Task(s) on Host(s) <n1>, Allocated 1 Slot(s) on Host(s) <n1>;\n"


@pytest.mark.parametrize(
    ("status", "details", "state", "code"),
    [
        (
            "DONE",
            f"{STARTED}Mon Nov 30 12:14:27: Done successfully. The CPU time used is 0.",
            "FINISHED",
            None,
        ),
        ("EXIT", f"{STARTED}Mon Nov 30 12:14:30: Exited with exit code 3. The CPU time used is 0.", "FAILED", 3),
        (
            "EXIT",
            f"{STARTED}Mon Nov 30 12:14:30: Exited with exit code 140. The CPU time.",
            "TIMED_OUT",
            140,
        ),
        ("EXIT", f"{STARTED}Mon Nov 30 12:14:30: Exited by signal 9. The CPU time used is 0.", "FAILED", 137),
        ("EXIT", f"{STARTED}Mon Nov 30: Exited by signal 2. The CPU time ...", "CANCELLED", 130),
        ("EXIT", f"{STARTED}Mon Nov 30 12:14:30: Exited; The CPU time used is unknown.", "NODE_FAILED", None),
        ("EXIT", "Mon Nov 30 12:14:30: Exited; job has been forced to exit.", "CANCELLED", None),
        (
            "EXIT",
            f"{STARTED}Mon: Exited with exit code 1.\nMon: Completed <exit>; TERM_SWAP: x.",
            "OUT_OF_MEMORY",
            1,
        ),
        ("PSUSP", "", "PENDING", None),
        ("UNKWN", STARTED, "UNKNOWN", None),
    ],
)
def test_the_long_format_of_older_versions_says_the_same(status: str, details: str, state: str, code: int | None):
    done = Completed(0, UF.format(status=status, command=RUNNER, details=details), "")
    row, other = read_text(done)

    assert (row.job_id, row.state.name, row.exit_code) == ("7", state, code)
    assert row.command.startswith(RUNNER)
    assert (other.job_id, other.state) == ("8", JobState.RUNNING)


@pytest.mark.parametrize(
    ("code", "out", "err", "message"),
    [
        (0, "Job <12> is being terminated\n", "", ""),
        (255, "", "Job <12>: Job has already finished\n", ""),
        (255, "Job <12> is being terminated\n", "Job <99>: No matching job found\n", ""),
        (255, "", "Job <1>: User permission denied\n", "Job <1>: User permission denied"),
        (255, "", "LSF is down. Please wait...\n", "LSF is down. Please wait..."),
        (255, "", "", "bkill ended with 255 and said nothing"),
    ],
)
def test_bkill_says_which_jobs_may_still_run(code: int, out: str, err: str, message: str):
    assert not_cancelled("bkill", Completed(code, out, err), ENDING) == message
    assert is_down(message) == ("down" in message)


def test_the_cluster_is_known_by_name():
    text = "IBM Spectrum LSF Standard 10.1.0.0, Jul 08 2016\nCopyright\n\n My cluster\nMy cluster name is c1\n"
    assert read_facts(text) == {"ClusterName": "c1", "LSF_VERSION": "IBM Spectrum LSF Standard 10.1.0.0"}
    assert read_facts("volclava project 2.2, Nov 30 2026\n")["LSF_VERSION"] == "volclava project 2.2"


def test_commands_that_ask_are_not_told_what_to_print():
    ours = {"PATH": "/bin", "LSB_BJOBS_FORMAT": "jobid", "LSB_JOBID": "3", "LSF_ENVDIR": "/ours", "BSUB_QUIET": "1"}
    recorded = {"PATH": "/opt/lsf/bin", "LSF_ENVDIR": "/lsf/conf"}
    once = {"LSB_NTRIES": "1", "LSB_API_QUOTE_CMD": "N"}

    assert lsf_environment(ours, recorded) == {"PATH": "/opt/lsf/bin", "LSF_ENVDIR": "/lsf/conf", **once}
    assert lsf_environment(ours, {}) == {"PATH": "/bin", "LSF_ENVDIR": "/ours", **once}


@pytest.mark.parametrize("stat", ["RUN", "DONE"])
def test_a_job_of_maestro_is_known_by_its_id_and_its_name(stat: str):
    """Maestro submits the text of a script, of which bjobs shows the lines."""
    text = "#!/bin/bash;#BSUB -nnodes 1;#BSUB -J sim_N.1;#BSUB -o sim_N.1.%J.out; ; cd /somewhere; ./app"
    record = {"JOBID": "9", "STAT": stat, "EXIT_CODE": "-", "EXIT_REASON": "-", "JOB_NAME": "sim_N.1", "COMMAND": text}
    listed = read_json(Completed(0, json.dumps({"JOBS": 1, "RECORDS": [record]}), ""))
    step = StepRecord(
        number=1, name="sim_N.1", template="sim", params=(), workspace="sim/N.1", workspaces={}, scheduled=True, row=1,
        restart_limit=1, token="feedfeed-1-1-imported", job_id="9", phase=Phase.SUBMITTED,
    )  # fmt: skip

    assert [*by_token(listed, [step])] == [step.token]
    assert by_token(listed, [structs.replace(step, name="other_N.1", workspace="other/N.1")]) == {}
    assert by_token(listed, [structs.replace(step, job_id="10")]) == {}


#: What ``bjobs -UF`` prints [V].
RUNNING = """
Job <1>, Job Name <first>, User <root>, Project <default>, Status <RUN>, Queue <normal>, Command </tmp/s.sh>
Thu Dec 31 23:58:00: Submitted from host <vm>, CWD </>;
Thu Dec 31 23:59:00: Started 1 Task(s) on Host(s) <vm>, Allocated 1 Slot(s) on Host(s) <vm>, Execution Home </root>;

 RUNLIMIT
 8.0 min

"""


def test_the_time_left_of_a_job_is_its_run_limit_from_its_start_also_after_the_end_of_a_year():
    start = datetime(2026, 12, 31, 23, 59).astimezone().timestamp()

    assert seconds_left(RUNNING, start + 30) == 450
    assert seconds_left(RUNNING, start + 120) == 360
    assert seconds_left(RUNNING.replace("RUNLIMIT", "LIMIT"), start) is None
    assert seconds_left("", start) is None
    with pytest.raises(Unreachable, match="does not show yet"):
        seconds_left(RUNNING.replace("Started", "Waits"), start)
