"""The ids of jobs in arrays, and the options that an array can have."""

from __future__ import annotations

import pytest

from maestro_es.adapters.array_map import ranges
from maestro_es.adapters.queue_entries import AttemptsByJob, by_token
from maestro_es.adapters.slurm import arrays
from maestro_es.adapters.slurm.output import read_accounts, read_queue
from maestro_es.core.model import JobState, State, StepRecord
from maestro_es.core.submission import Accepted, QueueFull, Rejected

ARRAY = "feed-array-cafe_1"
TOKENS = [f"feed-{n + 1}-1-cafe_1_{n}" for n in range(6)]


def steps(**running: State) -> list[StepRecord]:
    return [
        StepRecord(
            number=n + 1, name=f"s{n}", template="s", params=(), workspace="w", workspaces={}, scheduled=True, row=1,
            restart_limit=0, token=token, state=running.get(f"s{n}", State.PENDING),
        )
        for n, token in enumerate(TOKENS)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("job_id", "index"), [("7_0", 0), ("7_12", 12), ("7", None), ("7_[0-3]", None), ("7_x", None)]
)
def test_a_job_of_an_array_has_an_index(job_id, index):
    assert arrays.index_of(job_id) == index
    assert arrays.array_id(job_id) == "7"


def test_a_row_of_the_accounts_may_stand_for_several_pending_jobs():
    assert arrays.indexes_of("7_[0-1,4-5%2]") == {0, 1, 4, 5}
    assert arrays.indexes_of("7_3") == {3}
    assert arrays.indexes_of("7") == set()


def test_indexes_are_written_as_ranges():
    assert ranges([5, 0, 1, 2, 7]) == "0-2,5,7"
    assert arrays.array_option(range(1000)) == "--array=0-999"
    assert arrays.array_option(range(0, 4000, 2)) == "--array=0-3998"


def test_jobs_are_cancelled_by_array_and_index():
    assert arrays.to_cancel(["7_3", "9", "7_4", "8_0", "7_9"]) == ["9", "7_[3-4,9]", "8_[0]"]


@pytest.mark.parametrize(
    ("words", "can"),
    [
        (["--nodes=1", "--comment=50% of -o --output"], True),
        (["--exclusive", "--export=NONE", "--exclude=n1", "--open-mode=append"], False),
        (["--exclusive", "--export=NONE", "--exclude=n1"], True),
        (["--output=x"], False),
        (["-ox"], False),
        (["-e", "x"], False),
        (["--out=x"], False),
        (["-d", "singleton"], False),
        (["--wckey=%j"], False),
    ],
)
def test_an_array_cant_have_every_option(words, can):
    assert arrays.can_be_shared(words) is can


def test_an_array_that_is_too_large_may_fit_when_it_is_smaller():
    refused = Rejected("sbatch: error: Batch job submission failed: Invalid job array specification", 1)
    assert isinstance(arrays.without_limit(refused), QueueFull)
    other = Rejected("sbatch: error: Batch job submission failed: Invalid partition", 1)
    assert arrays.without_limit(other) is other
    assert arrays.of_element(Accepted("7"), 3) == Accepted("7_3")


def test_each_row_of_the_queue_is_found_by_array_and_index_and_never_by_index_alone():
    text = (
        f"7_0|RUNNING n1 N/A|None|/s/{ARRAY} {ARRAY}\n7_1|PENDING  N/A|None|/s/{ARRAY}\n8_2|RUNNING n N/A|None|/x y\n"
    )
    found = by_token(read_queue(text), steps())
    assert {token: [row.job_id for row in rows] for token, rows in found.items()} == {
        TOKENS[0]: ["7_0"],
        TOKENS[1]: ["7_1"],
    }


def test_a_cancelled_row_without_an_index_stands_for_what_is_not_listed_and_has_not_started():
    text = f"7_0|COMPLETED n1 N/A|None|/s/{ARRAY}\n7|CANCELLED  N/A|None|/s/{ARRAY}\n"
    found = by_token(read_queue(text), steps(s1=State.RUNNING))
    assert {token for token, rows in found.items() if rows[0].state is JobState.CANCELLED} == set(TOKENS[2:])
    assert TOKENS[1] not in found
    assert found[TOKENS[0]][0].state is JobState.FINISHED


def test_a_row_without_an_index_that_is_not_cancelled_is_nothing():
    assert by_token(read_queue(f"7|RUNNING n1 N/A|None|/s/{ARRAY}\n"), steps()) == {}


def test_the_accounts_list_pending_jobs_together_and_others_alone():
    line = f"sbatch --array=0-5 /s/{ARRAY} {ARRAY}"
    text = f"7_0|COMPLETED|0:0|Unknown|{line}\n7_[2-3]|PENDING|0:0|Unknown|{line}\n7|FAILED|0:53|Unknown|{line}\n"
    found = read_accounts(text, TOKENS)
    assert {token: info.state for token, info in found.items()} == {
        TOKENS[0]: JobState.FINISHED,
        TOKENS[2]: JobState.PENDING,
        TOKENS[3]: JobState.PENDING,
    }


@pytest.mark.parametrize(
    ("account", "listed", "state", "cancelled"),
    [
        pytest.param("", [ARRAY], State.PENDING, True, id="no record"),
        pytest.param("7_[0-5%2]|PENDING", [ARRAY], State.PENDING, True, id="the common record"),
        pytest.param("7_[0-5%2]|PENDING", [], State.PENDING, False, id="the array is lost"),
        pytest.param("7_[0-5%2]|PENDING", ["feed-array-cafe_9"], State.PENDING, False, id="another array"),
        pytest.param("7_1|FAILED", [ARRAY], State.PENDING, False, id="could not be launched"),
        pytest.param("7_1|PENDING", [ARRAY], State.PENDING, False, id="requeued"),
        pytest.param("", [ARRAY], State.RUNNING, False, id="has started"),
    ],
)
def test_a_pending_job_that_is_cancelled_alone_is_missing_from_its_array(account, listed, state, cancelled):
    step = steps(s1=state)[1]
    text = f"{account}|0:0|Unknown|sbatch --array=0-5 /s/{ARRAY} {ARRAY}\n"
    assert arrays.lost_its_element(step, read_accounts(text, TOKENS).get(step.token), listed) is cancelled


def test_an_attempt_of_its_own_is_found_whatever_the_index():
    found = AttemptsByJob(["feed-1-1-cafe", *TOKENS])
    assert found.of({"feed-1-1-cafe"}, (None,)) == ["feed-1-1-cafe"]
    assert found.of({ARRAY}, (None,)) == []
    assert found.of({ARRAY}, (99,)) == []


def test_an_element_that_waits_for_others_of_its_array_is_not_delayed():
    [row] = read_queue(f"7_1|PENDING  N/A|JobArrayTaskLimit|/s/{ARRAY}\n")
    assert (row.delay, row.index) == ("", 1)
