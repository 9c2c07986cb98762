"""What Slurm prints, and what it means. The texts are those of Slurm 22.05."""

from __future__ import annotations

import pytest

from maestro_es.adapters.command import Completed
from maestro_es.adapters.queue_entries import believed, names_in
from maestro_es.adapters.slurm.client import slurm_environment
from maestro_es.adapters.slurm.output import (
    QUEUE_HEADER,
    forgets_within,
    is_answer,
    is_down,
    job_state,
    read_accounts,
    read_facts,
    read_queue,
    read_restarts,
    read_submission,
    requeued,
)
from maestro_es.core.model import JobState
from maestro_es.core.submission import Accepted, InDoubt, QueueFull, Rejected

HEADER = "JOBID|STATE NODELIST|REASON|COMMAND\n"
REFUSED = "sbatch: error: Batch job submission failed: Invalid partition name specified"
LIMIT = (
    "sbatch: error: {}\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit "
    "limit, user's size and/or time limits)"
)
SILENT = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
LATE = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
CRASHED = "sbatch: error: Batch job submission failed: Transport endpoint is not connected"
#: From sbatch 22.05 and slurmctld 24.11, as during an upgrade.
UPGRADED = (
    "sbatch: error: auth_g_unpack: authentication plugin unknown(1007) not found\n"
    "sbatch: error: slurm_unpack_received_msg: [[localhost]:16132] Incompatible versions of client and server code\n"
    "sbatch: error: Batch job submission failed: Unspecified error"
)


@pytest.mark.parametrize(
    ("out", "job_id"),
    [
        ("17\n", "17"),
        ("17;cluster\n", "17"),
        ("*** Welcome ***\nYour quota: 5% used\n17\n", "17"),
        ("17\nsbatch: wrapped\n", "17"),
    ],
)
def test_an_id_is_an_accepted_job(out, job_id):
    assert read_submission(Completed(0, out, "")) == Accepted(job_id)


@pytest.mark.parametrize(
    ("code", "err"),
    [
        (1, REFUSED),
        (1, "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"),
        (1, "sbatch: error: Batch job submission failed: Invalid qos specification"),
        (
            1,
            "sbatch: error: Batch job submission failed: Requested time limit is invalid",
        ),
        (1, "sbatch: error: Batch job submission failed: Requested node configuration is not available"),
        (1, "sbatch: error: Batch job submission failed: Node count specification invalid"),
        (1, "sbatch: error: Batch job submission failed: Invalid feature specification"),
        (1, "sbatch: error: Batch job submission failed: Invalid license specification"),
        (1, "sbatch: error: Batch job submission failed: Invalid node name specified"),
        (1, "sbatch: error: Batch job submission failed: More processors requested than permitted"),
        (1, "sbatch: error: Batch job submission failed: Requested reservation is invalid"),
        (1, "sbatch: error: Invalid generic resource (gres) specification"),
        (255, "sbatch: error: Invalid --time specification"),
        (255, "sbatch: unrecognized option '--foo'"),
    ],
)
def test_a_known_refusal_is_a_rejection_in_slurms_own_words(code, err):
    assert read_submission(Completed(code, "", err)) == Rejected(err, code)


@pytest.mark.parametrize(
    "limit",
    [
        "AssocMaxSubmitJobLimit",
        "AssocGrpSubmitJobsLimit",
        "QOSMaxSubmitJobPerUserLimit",
        "QOSGrpSubmitJobsLimit",
        "MaxSubmitJobsPerAccount",
    ],
)
def test_a_limit_on_how_many_jobs_there_are_will_pass(limit):
    said = LIMIT.format(limit)
    assert read_submission(Completed(1, "", said)) == QueueFull(" ".join(said.split()))


@pytest.mark.parametrize(
    "limit", ["QOSMaxWallDurationPerJobLimit", "QOSMaxCpuPerUserLimit", "MaxCpuPerAccount", "QOSMinCpuNotSatisfied"]
)
def test_a_limit_on_what_a_job_may_ask_for_is_a_refusal(limit):
    said = LIMIT.format(limit)
    assert read_submission(Completed(1, "", said)) == Rejected(" ".join(said.split()), 1)


def test_a_partition_that_is_closed_will_open_again():
    said = "sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)"
    assert read_submission(Completed(1, "", said)) == QueueFull(said)


@pytest.mark.parametrize("more", ["", "sbatch: error: Come back tomorrow.\n"])
def test_a_limit_without_a_name_may_pass_or_not(more):
    said = more + LIMIT.partition("\n")[2]
    assert read_submission(Completed(1, "", said)) == QueueFull(" ".join(said.split()), certain=False)


def test_a_command_that_was_ended_when_it_began_to_try_again_and_again_has_found_no_room():
    said = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
    assert read_submission(Completed(-9, "", said)) == QueueFull(said)
    assert isinstance(read_submission(Completed(-9, "17\n", said)), InDoubt)  # it did, and had it


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (1, "", SILENT),
        (1, "", LATE),
        (1, "", CRASHED),
        (1, "", UPGRADED),
        (1, "", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
        (1, "", "sbatch: error: Batch job submission failed: Invalid authentication credential"),
        (1, "", "sbatch: error: Batch job submission failed: Invalid job credential"),
        (1, "", "sbatch: error: Batch job submission failed: Unable to create job record, try again"),
        (1, "", "sbatch: error: Batch job submission failed: I/O error writing script/environment to file"),
        (1, "", "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode"),
        (1, "", "some words of a later version"),
        (-9, "", ""),
        (-9, "17\n", ""),
        (0, "", ""),
        (0, "Submitted batch job\n", ""),
        (0, "17 18\n", ""),
        (0, "17\n18\n", ""),
        (1, "17\n", ""),
        (1, "17\n", REFUSED),
        (255, "17\n", "sbatch: error: Invalid --time specification"),
        (255, "", "client_loop: send disconnect: Broken pipe"),
        (255, "", ""),
    ],
)
def test_any_other_answer_leaves_the_submission_in_doubt(code, out, err):
    assert isinstance(read_submission(Completed(code, out, err)), InDoubt)


@pytest.mark.parametrize(
    ("said", "silent"), [(SILENT, True), (LATE, True), (CRASHED, True), (UPGRADED, True), (REFUSED, False)]
)
def test_a_controller_that_does_not_answer_is_told_from_one_that_has_no_use_for_the_job(said, silent):
    assert is_down(said) is silent


#: squeue(1) and sacct(1), JOB STATE CODES, and what later manuals add to them.
WORDS = {
    JobState.PENDING: (
        "PENDING", "CONFIGURING", "EXPEDITING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD",
        "SPECIAL_EXIT",
    ),
    JobState.RUNNING: (
        "RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED",
    ),
    JobState.FINISHED: ("COMPLETED",),
    JobState.FAILED: ("FAILED", "DEADLINE"),
    JobState.TIMED_OUT: ("TIMEOUT",),
    JobState.CANCELLED: ("CANCELLED", "CANCELLED by 1000", "CANCELLED+"),
    JobState.OUT_OF_MEMORY: ("OUT_OF_MEMORY",),
    JobState.PREEMPTED: ("PREEMPTED",),
    JobState.NODE_FAILED: ("NODE_FAIL", "BOOT_FAIL"),
    JobState.UNKNOWN: (
        "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL", "POWER_UP_NODE", "UPDATE_DB", "REQUEUED_CRON", "BRAND_NEW", "PD",
        "R", "?", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("word", "state"), [(word, state) for state, words in WORDS.items() for word in words])
def test_each_word_of_slurm_is_a_state_and_a_new_one_is_watched(word, state):
    assert job_state(word) is state


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (HEADER, True),
        (f"{HEADER}7|RUNNING n1|None|/r.sh TOKEN\n", True),
        (f"{HEADER}7|RUNNING n1|None|/r.sh a\nb TOKEN\n", True),  # an argument with a line break
        (f"Welcome to the cluster\n{HEADER}7|RUNNING n1|None|/r.sh TOKEN\n", True),
        (f"Welcome to the cluster\n{HEADER}", True),
        (f"{HEADER}7|RUNNING n1|None|/r.sh TOKEN\n8|RUNN", False),
        (f"{HEADER}7|RUNNING n1|None|/r.sh TOK", False),
        (HEADER[:-1], False),
        ("7|RUNNING n1|None|/r.sh TOKEN\n", False),
        ("Welcome to the cluster\n", False),
        ("", False),
        ("slurm_load_jobs error: Unable to contact slurm controller\n", False),
        ("\n", False),
        ("<html>|</html>\n", False),
    ],
)
def test_an_answer_that_was_cut_off_or_is_no_list_is_none(text, whole):
    assert is_answer(text, QUEUE_HEADER) is whole


@pytest.mark.parametrize(
    "command",
    [
        "/studies/one/.maestro-es/feed-1-1-cafe feed-1-1-cafe /studies/one/sim ./sim.sh /studies/one",  # until 22.05
        "/studies/one/.maestro-es/feed-1-1-cafe",  # since 23.02
        "/my studies/one/.maestro-es/feed-1-1-cafe",
        "sbatch --parsable '/my studies/.maestro-es/x' feed-1-1-cafe '/my studies/sim'",  # as accounts have it
    ],
)
def test_a_token_is_found_in_whatever_is_shown_of_a_command(command):
    assert "feed-1-1-cafe" in names_in(command)
    assert names_in(command).isdisjoint({"feed-1-1", "feed-1-1-cafe2", "1-cafe"})


def test_a_queue_is_read_with_reasons_and_whatever_a_path_holds():
    text = f"{HEADER}7|PENDING|Resources|/a|b/runner.sh t-1 /w\n8|RUNNING|None|/x/runner.sh t-2 /w\n\ngarbage\n"
    waiting, running = read_queue(text)
    assert (waiting.job_id, waiting.raw_state, waiting.command) == (
        "7",
        "PENDING (Resources)",
        "/a|b/runner.sh t-1 /w",
    )
    assert (running.state, running.raw_state) == (JobState.RUNNING, "RUNNING")


@pytest.mark.parametrize("character", ["\x0b", "\f", "\x1c", "\x85", "\u2028", "\r"])
def test_only_a_line_feed_ends_the_line_of_a_job(character):
    command = f"/a{character}b/.maestro-es/t-1"
    [row] = read_queue(f"{HEADER}7|PENDING|Resources|{command}\n")
    assert row.command == command
    assert set(read_accounts(f"7|COMPLETED|0:0|Unknown|sbatch {command}\n", ["t-1"])) == {"t-1"}


@pytest.mark.parametrize(
    ("line", "delay"),
    [
        ("PENDING|None", ""),
        ("PENDING|Priority", ""),
        ("PENDING|Resources", ""),
        ("PENDING|BeginTime", ""),
        ("CONFIGURING|None", ""),
        ("PENDING|PartitionNodeLimit", "PartitionNodeLimit"),
        ("PENDING|ReqNodeNotAvail", "ReqNodeNotAvail"),
        ("PENDING|AssocGrpCpuLimit", "AssocGrpCpuLimit"),
        ("PENDING|JobHeldUser", "JobHeldUser"),
        ("PENDING|launch failed requeued held", "launch failed requeued held"),
        ("SPECIAL_EXIT|None", "SPECIAL_EXIT"),
        ("REQUEUE_HOLD|JobHoldMaxRequeue", "REQUEUE_HOLD: JobHoldMaxRequeue"),
        ("RUNNING|None", ""),
        ("FAILED|NonZeroExitCode", ""),
        ("CANCELLED|JobHeldUser", ""),
    ],
)
def test_what_holds_up_a_job_is_told_apart_from_what_all_jobs_wait_for(line, delay):
    [row] = read_queue(f"7|{line}|runner.sh t-1")
    assert row.delay == delay
    assert believed([row], "7").delay == delay


def test_of_slurms_configuration_the_facts_are_kept_that_have_a_use():
    text = """Configuration data as of 2026-11-23T09:14:46
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = tests
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at host is UP
"""
    assert read_facts(text) == {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "ClusterName": "tests",
        "MinJobAge": "300 sec",
        "SLURM_VERSION": "22.05.8",
    }
    assert read_facts("slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)") == {}


def test_which_cluster_is_asked_says_the_study_and_what_filters_answers_is_left_out():
    ours = {"PATH": "/usr/bin:/bin", "SLURM_CONF": "/other.conf", "SQUEUE_PARTITION": "debug", "SLURM_CLUSTERS": "x"}

    assert slurm_environment(ours, {"PATH": "/opt/slurm/bin", "SLURM_CONF": "/slurm.conf"}) == {
        "PATH": "/opt/slurm/bin", "SLURM_CONF": "/slurm.conf",
    }  # fmt: skip
    assert slurm_environment(ours, {"PATH": "/opt/slurm/bin"}) == {"PATH": "/opt/slurm/bin"}
    assert slurm_environment(ours, {}) == {"PATH": "/usr/bin:/bin", "SLURM_CONF": "/other.conf"}


def test_a_job_that_was_cancelled_on_a_node_is_told_from_one_that_waited():
    waited, launched, running = read_queue("7|CANCELLED |None|r t\n8|CANCELLED n1|None|r t\n9|RUNNING n[1-2]|None|r t")
    assert (waited.state, waited.raw_state) == (JobState.CANCELLED, "CANCELLED")
    assert (launched.state, launched.raw_state) == (JobState.CANCELLED_ON_NODE, "CANCELLED")
    assert (running.state, running.raw_state) == (JobState.RUNNING, "RUNNING")


def test_the_end_of_a_requeued_job_has_another_meaning():
    rows = read_queue(
        "7|CANCELLED |None|r t\n8|CANCELLED |None|r t\n9|PENDING |None|r t\n10|FAILED n1|None|r t\n"
        "11|FAILED n1|None|r t\n"
    )
    again = read_restarts("7        0          \n8        1\n9        2\n10        0\n11        1\n\n")
    assert again == {"8", "9", "11"}
    assert [requeued(row, again).state for row in rows] == [
        JobState.CANCELLED, JobState.CANCELLED_ON_NODE, JobState.PENDING, JobState.FAILED, JobState.FAILED_AGAIN,
    ]  # fmt: skip
    assert requeued(rows[-1], again).raw_state == "FAILED after a requeue"
    assert read_restarts("squeue: error: nonsense\n") == set()


def test_accounts_with_an_earlier_run_show_that_a_job_was_requeued():
    text = (
        "7|NODE_FAIL|0:0|Unknown|sbatch runner.sh t-1 /w\n"
        "7|CANCELLED by 0|0:0|Unknown|sbatch runner.sh t-1 /w\n"
        "8|CANCELLED by 1000|0:0|Unknown|sbatch runner.sh t-2 /w\n"
        "9|REQUEUED|0:0|Unknown|sbatch runner.sh t-3 /w\n"
        "9|FAILED|0:53|Unknown|sbatch runner.sh t-3 /w\n"
    )
    seen = read_accounts(text, ["t-1", "t-2", "t-3"])
    assert [seen[token].state for token in ("t-1", "t-2", "t-3")] == [
        JobState.CANCELLED_ON_NODE, JobState.CANCELLED, JobState.FAILED_AGAIN,
    ]  # fmt: skip


def test_of_two_jobs_with_one_token_the_one_that_runs_is_believed():
    rows = read_queue("7|FAILED|NonZeroExitCode|r t\n8|RUNNING|None|r t\n9|PENDING|None|r t")
    assert believed(rows, "7").job_id == "8"
    assert believed([rows[0], rows[2]], "7").job_id == "9"


def test_of_two_jobs_that_are_over_the_recorded_one_is_believed():
    rows = read_queue("7|TIMEOUT|None|r t\n8|COMPLETED|None|r t")
    assert believed(rows, "7").state is JobState.TIMED_OUT
    assert believed(rows, "8").state is JobState.FINISHED


@pytest.mark.parametrize("recorded", ["7", "8"])
def test_of_two_jobs_the_one_that_the_claim_has_refused_is_not_believed(recorded: str):
    """The claim refuses one of two jobs that a submission has made. It ends as FAILED, with 75."""
    rows = read_queue("7|TIMEOUT|None|r t\n8|FAILED|NonZeroExitCode|r t")
    assert believed(rows, recorded).state is JobState.TIMED_OUT
    for text in (
        "7|TIMEOUT|0:0|Unknown|sbatch r t\n8|FAILED|75:0|Unknown|sbatch r t\n",
        "7|FAILED|75:0|Unknown|sbatch r t\n8|TIMEOUT|0:0|Unknown|sbatch r t\n",
    ):
        assert read_accounts(text, ["t"])["t"].state is JobState.TIMED_OUT


def test_a_job_that_is_not_in_the_queue_is_gone():
    assert believed([], "7").state is JobState.GONE


def test_accounts_are_matched_by_token_and_the_last_run_counts():
    text = (
        "7|NODE_FAIL|0:0|Unknown|sbatch /s/runner.sh t-1 /w\n"
        "7|TIMEOUT|0:15|Unknown|sbatch /s/runner.sh t-1 /w\n"
        "9|COMPLETED|0:0|Unknown|sbatch /s/runner.sh t-10 /w\n"
        "8|FAILED|3:0|Unknown|sbatch /s/runner.sh t-2 /w\n"
        "x\n"
    )
    seen = read_accounts(text, ["t-1", "t-2", "t-3"])
    assert set(seen) == {"t-1", "t-2"}
    assert (seen["t-1"].state, seen["t-1"].exit_code, seen["t-1"].job_id) == (JobState.TIMED_OUT, 143, "7")
    assert (seen["t-2"].state, seen["t-2"].exit_code, seen["t-2"].raw_state) == (JobState.FAILED, 3, "FAILED 3:0")


@pytest.mark.parametrize(
    ("age", "accounts", "forgets"),
    [
        ("30 sec", "accounting_storage/none", True),
        ("30 sec", "(null)", True),
        ("30 sec", "accounting_storage/slurmdbd", False),
        ("300 sec", "accounting_storage/none", False),
        ("soon", "accounting_storage/none", False),
    ],
)
def test_slurm_forgets_too_soon_if_it_does_between_two_ticks_and_keeps_no_accounts(age, accounts, forgets):
    assert forgets_within({"MinJobAge": age, "AccountingStorageType": accounts}, 60) is forgets
    assert not forgets_within({}, 60)


def test_accounts_name_who_has_cancelled_a_job_else_slurm_has_thrown_it_away():
    found = read_accounts(
        "7|CANCELLED by 0|0:0|Unknown|runner.sh A\n8|CANCELLED|0:0|Unknown|runner.sh B\n",
        ["A", "B"],
    )
    assert [found[token].state for token in "AB"] == [JobState.CANCELLED, JobState.NODE_FAILED]


@pytest.mark.parametrize("reason", ["SystemFailure", "NodeDown"])
def test_a_job_that_slurm_could_not_run_has_not_failed_by_its_own_fault(reason: str):
    [row] = read_queue(f"7|FAILED n1 2026-01-31T12:00:05|{reason}|r t")
    assert row.state is JobState.NODE_FAILED
    assert reason in row.raw_state


def test_a_killed_runner_is_not_taken_for_a_failed_launch_as_what_it_started_may_run():
    [row] = read_queue("7|FAILED n1 2026-01-31T12:00:05|JobLaunchFailure|r t")
    assert row.state is JobState.FAILED


def test_the_end_of_a_job_is_read_in_utc_and_that_of_one_that_runs_is_a_guess():
    text = "7|FAILED n1 2026-01-31T12:00:05|NonZeroExitCode|r t\n8|RUNNING n1 2026-01-31T13:00:00|None|r t\n"
    ends = [row.ended_at for row in read_queue(text + "9|CANCELLED  N/A|None|r t")]
    assert ends == [1_769_860_805_000_000, None, None]
    found = read_accounts("7|TIMEOUT|0:0|2026-01-31T12:00:05|sbatch runner.sh t-1 /w\n", ["t-1"])
    assert found["t-1"].ended_at == 1_769_860_805_000_000
