"""What Flux prints, and what it means. The texts are those of flux-core 0.88."""

from __future__ import annotations

import json

import pytest

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.adapters.batch import not_cancelled
from maestro_es.adapters.command import Completed
from maestro_es.adapters.flux.client import flux_environment
from maestro_es.adapters.flux.jobspec import read_refusal
from maestro_es.adapters.flux.output import (
    ENDING,
    has_queues,
    is_instance,
    judge_cancel,
    lacks_command,
    plain_id,
    read_answers,
    read_instance,
    read_list,
    read_submission,
    read_table,
)
from maestro_es.core.model import JobState
from maestro_es.core.submission import Accepted, InDoubt, QueueFull, Rejected
from maestro_es.errors import Unreachable

J = JobState
SILENT = "flux-job: flux_open: broker socket /run/flux/local was not found"

#: What all ended jobs have in common.
ENDED = {"state": 64, "t_run": 2.0, "t_inactive": 3.5}


def listed(**said: object) -> QueueEntry:
    """Return the job of a list that says this."""
    [row] = read_list(json.dumps({"id": 92123693056, "state": 64, "name": "sim.tok", "cwd": "/w/sim", **said}) + "\n")
    return row


@pytest.mark.parametrize("out", ["ƒ4HU2qTnw\n", "f4HU2qTnw\n", "*** Welcome ***\nƒ4HU2qTnw\n"])
def test_an_id_in_the_form_of_any_locale_is_an_accepted_job(out: str):
    assert read_submission(Completed(0, out, "")) == Accepted("ƒ4HU2qTnw")


@pytest.mark.parametrize(
    "message",
    [
        "Invalid queue 'nope' specified",
        "requested duration (12d) exceeds policy limit of 1h for queue debug",
        "unsatisfiable request: need 1 slot(s) of 100 core(s), only 0 such slot(s) available (total cores: 8)",
        "invalid jobspec: Jobspec.__init__() missing 4 required positional arguments: 'resources', 'tasks'",
        "dependency: afterok: id ƒ9999: job not found",
        "only the instance owner can submit with FLUX_JOB_WAITABLE",
        "only instance owner can use sign-type=none",  # said to another user, without flux-security
    ],
)
def test_a_job_that_was_examined_and_refused_is_not_queued(message: str):
    assert read_submission(Completed(1, "", f"flux-job: {message}\n")) == Rejected(message, 1)


@pytest.mark.parametrize(
    "message", ["job submission to batch is disabled: closed", "job submission is disabled: closed for maintenance"]
)
def test_a_closed_queue_opens_again(message: str):
    assert read_submission(Completed(1, "", f"flux-job: {message}\n")) == QueueFull(message)


@pytest.mark.parametrize(
    ("done", "down"),
    [
        (Completed(1, "", SILENT), True),
        (Completed(1, "", "flux-job: Connection reset by peer"), True),
        (Completed(1, "", "flux-job: something new"), False),
        (Completed(-9, "", ""), False),
        (Completed(0, "", ""), False),
        (Completed(0, "welcome\n", ""), False),
        (Completed(1, "ƒ4HU2qTnw\n", "flux-job: Invalid queue 'nope' specified"), False),
        (Completed(0, "ƒ4HU2qTnw\nƒ4HU2qTnx\n", ""), False),
    ],
)
def test_any_other_answer_leaves_a_submission_in_doubt(done: Completed, down: bool):
    outcome = read_submission(done)

    assert isinstance(outcome, InDoubt)
    assert outcome.scheduler_down is down
    assert outcome.message


@pytest.mark.parametrize(
    ("said", "state", "raw_state"),
    [
        ({"state": 2, "dependencies": ["begin-time=1"]}, J.PENDING, "DEPEND"),
        ({"state": 8}, J.PENDING, "SCHED"),
        ({"state": 16, "t_run": 2.0}, J.RUNNING, "RUN"),
        ({"state": 32, "t_run": 2.0}, J.RUNNING, "CLEANUP"),
        ({"state": 128}, J.UNKNOWN, "128"),
        ({**ENDED, "result": 1, "waitstatus": 0}, J.FINISHED, "COMPLETED"),
        ({**ENDED, "result": 2, "waitstatus": 768}, J.FAILED, "FAILED (exit code 3)"),
        ({**ENDED, "result": 2, "waitstatus": 9}, J.FAILED, "FAILED (exit code 137)"),
        ({**ENDED, "result": 16}, J.UNKNOWN, "16"),
    ],
)
def test_a_state_of_flux_is_one_of_ours(said: dict[str, object], state: JobState, raw_state: str):
    row = listed(**said)

    assert (row.job_id, row.state, row.raw_state) == ("ƒ3RMf1QT", state, raw_state)


@pytest.mark.parametrize(
    ("kind", "note", "said", "state"),
    [
        # It never fits; another job on which it depends has failed.
        ("alloc", "unsatisfiable request: ...", {"t_run": 0.0}, J.REFUSED),
        ("dependency", "", {"t_run": 0.0}, J.REFUSED),
        # The runner could not be started.
        ("exec", "task 0 (host node0): start failed: /no/such: No such file", {"waitstatus": 32512}, J.FAILED),
        # The broker of its node has died, or all brokers have: the script may run on.
        ("exec", "node failure on node1 (rank 1)", {"waitstatus": 256}, J.UNSUPERVISED),
        ("exec", "failed to create guest ns: No such file or directory", {}, J.UNSUPERVISED),
        # Something else has ended it.
        ("prolog", "prolog exited with 1", {"waitstatus": 256}, J.NODE_FAILED),
        ("scheduler-restart", "", {"waitstatus": 36608}, J.NODE_FAILED),
        ("scheduler-restart", "", {}, J.UNSUPERVISED),
    ],
)
def test_an_exception_says_whether_a_failed_job_may_still_run(
    kind: str, note: str, said: dict[str, object], state: JobState
):
    row = listed(
        **ENDED | {"result": 2, "exception_occurred": True, "exception_type": kind, "exception_note": note} | said
    )

    assert row.state is state
    assert row.raw_state == f"FAILED ({kind}{f': {note}' if note else ''})"


def test_an_exception_that_ended_nothing_explains_nothing():
    row = listed(**ENDED, result=2, waitstatus=256, exception_occurred=True, exception_severity=1, exception_type="x")

    assert (row.state, row.raw_state) == (J.FAILED, "FAILED (exit code 1)")


@pytest.mark.parametrize(
    ("note", "t_run", "state"),
    [("maestro-es", 2.0, J.CANCELLED), ("", 0.0, J.CANCELLED), ("", 2.0, J.CANCELLED_ON_NODE)],
)
def test_a_cancel_by_others_is_told_apart_from_ours(note: str, t_run: float, state: JobState):
    said = {"exception_occurred": True, "exception_type": "cancel", "exception_note": note}

    assert listed(**ENDED | {"result": 4, "t_run": t_run} | said).state is state


@pytest.mark.parametrize(
    ("seconds", "restarted", "state"),
    [(10, False, J.RUNNING), (70, False, J.CANCELLED), (10, True, J.NODE_FAILED), (70, True, J.NODE_FAILED)],
)
def test_a_cancel_by_others_counts_after_a_minute_unless_the_instance_was_restarted(
    seconds: int, restarted: bool, state: JobState
):
    info = JobInfo(J.CANCELLED_ON_NODE, "CANCELED", job_id="ƒ2", ended_at=1_000_000)

    assert judge_cancel(info, (1 + seconds) * 1_000_000, restarted=restarted).state is state


@pytest.mark.parametrize(
    ("said", "delay"),
    [
        ({"state": 8}, ""),
        ({"state": 8, "urgency": 0}, "it is held (urgency 0)"),
        ({"state": 2, "dependencies": ["after-success=ƒ9"]}, "it depends on after-success=ƒ9"),
        ({"state": 16, "urgency": 0}, ""),
    ],
)
def test_a_delay_is_a_reason_that_is_not_the_turn_of_the_job(said: dict[str, object], delay: str):
    assert listed(**said).delay == delay


def test_both_lists_say_the_same():
    job = {"id": 92123693056, "name": "sim.tok", "cwd": "/w/sim", "urgency": 16, "t_run": 2.0, "t_inactive": 3.5}
    ended = {"waitstatus": 256, **job}
    exception = {"exception_occurred": True, "exception_type": "exec", "exception_note": "node failure on n1"}
    table = {
        **ended, "state": "INACTIVE", "result": "FAILED", "dependencies": [],
        "exception": {"occurred": True, "severity": 0, "type": "exec", "note": "node failure on n1"},
    }  # fmt: skip
    running = {**job, "state": "RUN", "exception": {"occurred": False}}
    lines = [{**ended, "state": 64, "result": 2, **exception}, {**job, "state": 16}]

    assert read_table(json.dumps({"jobs": [table, running]})) == read_list("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("text", ["welcome\n", '{"id": 7, "sta', '{"id": 7}\n', '{"id": "x", "state": 8}', "[]\n"])
def test_what_is_no_list_is_no_answer(text: str):
    with pytest.raises(ValueError, match=r"\S"):
        read_list(text)


@pytest.mark.parametrize("text", ["welcome\n", '{"jobs": [', '{"jobs": [{}]}', "[]", '{"jobs": [{"state": "RUN"}]}'])
def test_what_is_no_table_is_no_answer(text: str):
    with pytest.raises(ValueError, match=r"\S"):
        read_table(text)


def test_an_empty_list_is_one():
    assert read_list("") == []
    assert read_table('{"jobs": []}') == []


def test_the_start_of_an_instance_is_that_of_its_first_broker():
    answer = "flux-ping 0!broker\n0!broker.ping pad=0 seq=0 time=0.4 ms (42f8bd53!a991fea5!265d548f!6d0029bf)\n"

    assert read_instance(answer) == "6d0029bf"
    assert is_instance("6d0029bf")
    assert not is_instance("1cc3ef2e-da13-4dc9-be34-2568c49867a0")  # the boot that a claim names
    with pytest.raises(Unreachable, match="can't be read: 'welcome'"):
        read_instance("welcome")


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (Completed(0, "", ""), ""),
        (Completed(1, "", "flux-cancel: ERROR: ƒ2222: unknown job id\nflux-cancel: ERROR: ƒ3: job is inactive\n"), ""),
        (Completed(1, "", "flux-cancel: ERROR: ƒ2: unknown job id\nflux-cancel: ERROR: ƒ3: no\n"), "ƒ3: no"),
        (Completed(1, "", ""), "flux ended with 1 and said nothing"),
    ],
)
def test_a_job_that_has_ended_needs_no_cancel(done: Completed, message: str):
    assert not_cancelled("flux", done, ENDING).endswith(message)
    assert bool(not_cancelled("flux", done, ENDING)) is bool(message)


def test_an_instance_without_queues_says_so():
    assert not has_queues(Completed(1, "", "flux-config: queues is not set\n"))
    assert has_queues(Completed(0, '{"debug": {}}\n', ""))
    assert has_queues(Completed(1, "", "flux-config: something new\n"))


def test_a_version_without_a_command_shows_its_usage():
    assert lacks_command(Completed(1, "", "Usage: flux-job [OPTIONS] COMMAND ARGS\n  -h, --help\n"))
    assert not lacks_command(Completed(1, "", SILENT))


def test_only_a_message_about_the_options_is_a_refusal_of_them():
    usage = "usage: flux submit [OPTIONS...] COMMAND [ARGS...]\nflux submit: error: unrecognized arguments: --nosuch\n"
    invalid = "flux-batch: ERROR: invalid Flux standard duration\n"

    assert read_refusal(Completed(2, "", usage)) == Rejected("flux submit: error: unrecognized arguments: --nosuch", 2)
    assert read_refusal(Completed(1, "", invalid)) == Rejected(invalid.strip(), 1)
    for failed in (Completed(-9, "", invalid), Completed(137, "", "Killed\n"), Completed(1, "", "MemoryError\n")):
        assert isinstance(read_refusal(failed), InDoubt)
    assert read_refusal(Completed(1, "", "")) == InDoubt("flux --dry-run ended with 1 and said nothing")


@pytest.mark.parametrize(("text", "job_id"), [("ƒ3RMf1QT", "ƒ3RMf1QT"), (" f3RMf1QT\n", "ƒ3RMf1QT"), ("17", "")])
def test_an_id_has_one_form(text: str, job_id: str):
    assert plain_id(text) == job_id


def test_the_recorded_address_of_an_instance_has_priority():
    ours = {"FLUX_URI": "local:///ours", "FLUX_JOB_ID": "ƒ1", "PATH": "/bin"}

    assert flux_environment(ours, {}, "") == {"FLUX_URI": "local:///ours", "PATH": "/bin"}
    assert flux_environment(ours, {"FLUX_URI": "local:///recorded"}, "")["FLUX_URI"] == "local:///recorded"
    assert "FLUX_URI" not in flux_environment(ours, {"HOME": "/h"}, "")  # the system's instance
    assert flux_environment(ours, {"HOME": "/h"}, "local:///batch")["FLUX_URI"] == "local:///batch"


def test_each_of_many_jobs_has_its_own_answer():
    out = 'ready\n*** Welcome ***\n[0, 92123693056, ""]\n[1, 0, "Invalid queue \'nope\' specified"]\n[7, 1, ""]\n[2, 9'
    answers = read_answers(Completed(-9, out, ""), 3)

    assert answers
    assert isinstance(answers[0], Accepted)
    assert answers[1] == Rejected("Invalid queue 'nope' specified", 1)
    assert answers[2] == InDoubt("flux python ended with -9 and said nothing")


@pytest.mark.parametrize(
    ("done", "answers"),
    [
        (Completed(1, "", "ModuleNotFoundError: No module named 'flux'"), None),
        (Completed(2, "", "python3: can't open file"), None),
        (Completed(-9, "", ""), [InDoubt("flux python ended with -9 and said nothing")]),
        (Completed(1, "ready\n", "KeyError: 1"), [InDoubt("KeyError: 1")]),
        (
            Completed(
                1, "", "Traceback\nOSError: [Errno 2] Unable to connect to Flux: broker socket /x was not found"
            ),
            [
                InDoubt(
                    "OSError: [Errno 2] Unable to connect to Flux: broker socket /x was not found",
                    scheduler_down=True,
                )
            ],
        ),
    ],
)
def test_many_jobs_were_not_sent_only_if_the_program_could_not_begin(done: Completed, answers: object):
    assert read_answers(done, 1) == answers
