"""What Slurm prints, and what it means. The texts are those of Slurm 22.05."""

from __future__ import annotations

import pytest

from maestro_es.adapters.process import Completed
from maestro_es.adapters.slurm_jobs import _seen, job_state, read_accounts, read_queue, read_submission
from maestro_es.core.model import JobState
from maestro_es.core.outcomes import Accepted, InDoubt, Rejected

REFUSED = "sbatch: error: Batch job submission failed: Invalid partition name specified"
SILENT = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
LATE = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


@pytest.mark.parametrize(("out", "job_id"), [("17\n", "17"), ("17;cluster\n", "17")])
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
        (255, "sbatch: error: Invalid --time specification"),
        (255, "sbatch: unrecognized option '--foo'"),
    ],
)
def test_a_known_refusal_is_a_rejection_in_slurms_own_words(code, err):
    assert read_submission(Completed(code, "", err)) == Rejected(err, code)


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (1, "", SILENT),
        (1, "", LATE),
        (1, "", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
        (1, "", "some words of a later version"),
        (-9, "", ""),
        (-9, "17\n", ""),
        (0, "", ""),
        (0, "Submitted batch job\n", ""),
        (0, "17 18\n", ""),
        (1, "17\n", ""),
    ],
)
def test_any_other_answer_leaves_the_submission_in_doubt(code, out, err):
    assert isinstance(read_submission(Completed(code, out, err)), InDoubt)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", JobState.PENDING),
        ("CONFIGURING", JobState.PENDING),
        ("SUSPENDED", JobState.RUNNING),
        ("COMPLETING", JobState.RUNNING),
        ("COMPLETED", JobState.FINISHED),
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("CANCELLED+", JobState.CANCELLED),
        ("OUT_OF_MEMORY", JobState.OUT_OF_MEMORY),
        ("PREEMPTED", JobState.PREEMPTED),
        ("NODE_FAIL", JobState.HARDWARE_FAILED),
        ("TIMEOUT", JobState.TIMED_OUT),
        ("BRAND_NEW", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
    ],
)
def test_each_word_of_slurm_is_a_state_and_a_new_one_is_watched(word, state):
    assert job_state(word) is state


def test_a_queue_is_read_with_reasons_and_whatever_a_path_holds():
    text = "7|PENDING|Resources|/a|b/runner.sh t-1 /w\n8|RUNNING|None|/x/runner.sh t-2 /w\n\ngarbage\n"
    waiting, running = read_queue(text)
    assert (waiting.job_id, waiting.words, waiting.command) == ("7", "PENDING (Resources)", "/a|b/runner.sh t-1 /w")
    assert (running.state, running.words) == (JobState.RUNNING, "RUNNING")


def test_of_two_jobs_with_one_token_the_one_that_runs_is_believed():
    rows = read_queue("7|FAILED|NonZeroExitCode|r t\n8|RUNNING|None|r t\n9|PENDING|None|r t")
    assert _seen(rows, "7").job_id == "8"
    assert _seen([rows[0], rows[2]], "7").job_id == "9"


def test_of_two_jobs_that_are_over_the_recorded_one_is_believed():
    rows = read_queue("7|FAILED|NonZeroExitCode|r t\n8|COMPLETED|None|r t")
    assert _seen(rows, "7").state is JobState.FAILED
    assert _seen(rows, "8").state is JobState.FINISHED


def test_a_job_that_is_not_in_the_queue_is_gone():
    assert _seen([], "7").state is JobState.GONE


def test_accounts_are_matched_by_token_and_the_last_run_counts():
    text = (
        "7|NODE_FAIL|0:0|sbatch /s/runner.sh t-1 /w\n"
        "7|TIMEOUT|0:15|sbatch /s/runner.sh t-1 /w\n"
        "9|COMPLETED|0:0|sbatch /s/runner.sh t-10 /w\n"
        "8|FAILED|3:0|sbatch /s/runner.sh t-2 /w\n"
        "x\n"
    )
    seen = read_accounts(text, ["t-1", "t-2", "t-3"])
    assert set(seen) == {"t-1", "t-2"}
    assert (seen["t-1"].state, seen["t-1"].exit_code, seen["t-1"].job_id) == (JobState.TIMED_OUT, 143, "7")
    assert (seen["t-2"].state, seen["t-2"].exit_code, seen["t-2"].words) == (JobState.FAILED, 3, "FAILED 3:0")
