"""Slurm's rules for job arrays: the ids of their jobs, which options they can have, and their submission. Pure.

An element of an array has the id ``J_K``: the id of the array and its index. maestro-es never uses the other id that
Slurm gives to an element when it starts. That id may belong to another job after a crash of the controller, and
``scancel`` ignores it in 22.05. The last element even gets the id of the array itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import structs

from maestro_es.adapters.array_map import ranges
from maestro_es.adapters.base import JobInfo
from maestro_es.core.attempt_token import element_of
from maestro_es.core.model import JobState, State, StepRecord
from maestro_es.core.submission import Accepted, Outcome, QueueFull, Rejected

#: The variables that make an element look different from a job of its own. The runner needs the first three in this
#: order: the id of the array, the index of the element, and the name of the job, which the runner replaces.
VARIABLES = (
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP",
)  # fmt: skip

#: The longest list of indexes that is passed to ``sbatch``, which accepts about 4,000 characters.
_LONGEST_LIST = 3000

#: Slurm's default for MaxArraySize, which is one more than the largest index. 0 means that arrays are not allowed.
_MAX_ARRAY_SIZE = 1001

#: The message about an array with more elements than MaxArraySize allows.
_INVALID = "Invalid job array specification"

#: Before this version, a node that can't launch an element ends the wrong jobs, because it uses the other id of the
#: element. If the element is the last one, the node cancels the whole array, running jobs included (seen in 22.05).
#: Otherwise it cancels nothing, and the element stays RUNNING although nothing runs.
_FAIL_ALONE = (23, 2, 6)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+).*")

_ELEMENT = re.compile(r"(\d+)_(\d+)")
#: Several pending elements in one row of sacct, possibly with a limit on how many run at the same time.
_PENDING = re.compile(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]")

#: Words of options that the elements of an array can't share: names of files, the name of a job, and conditions on it.
_NOT_SHARED = re.compile(r"-[oeiJ].*|--(ou|er|in|job).*|.*(%|singleton|open-mode).*", re.DOTALL)

#: The options that differ between the jobs of an array. The array has them only once, or the runner does their work.
OWN = ("--job-name", "--output", "--error")


def index_of(job_id: str) -> int | None:
    """Return the index of an element; None for any other job."""
    match = _ELEMENT.fullmatch(job_id)
    return int(match[2]) if match else None


def array_id(job_id: str) -> str:
    """Return the id of the array that contains this job, or the id of the job itself if it is not an element."""
    return job_id.partition("_")[0]


def indexes_of(job_id: str) -> set[int]:
    """Return the indexes of an element, or of several pending elements, such as ``7_[0-3,5%2]``."""
    match = _PENDING.fullmatch(job_id)
    if not match:
        index = index_of(job_id)
        return set() if index is None else {index}
    spans = (span.partition("-") for span in match[2].split(","))
    return {index for first, _, last in spans for index in range(int(first), int(last or first) + 1)}


def lost_its_element(step: StepRecord, info: JobInfo | None, arrays: Collection[str]) -> bool:
    """Whether the job of a missing attempt was cancelled while it was pending in its array, as with ``scancel 7_3``.

    Slurm keeps no trace of such a job (22.05 to 25.05). The queue lists other jobs of the array, but not this one.
    `arrays` holds the names of the listed arrays. Jobs that have just ended are listed, too. The accounting has at
    most the common record of the pending jobs (`info`), which may be older. Other losses look different. A controller
    that crashes loses an array completely, and a job that a node could not launch has a record of its own.
    """
    element = element_of(step.token)
    if element is None or step.state is State.RUNNING:
        return False
    if info and not (info.state is JobState.PENDING and _PENDING.fullmatch(info.job_id)):
        return False
    return element[0] in arrays


def to_cancel(job_ids: Iterable[str]) -> list[str]:
    """Return the arguments of ``scancel`` for these jobs: one for each array, with its indexes."""
    by_array: dict[str, list[int]] = {}
    plain: list[str] = []
    for job_id in job_ids:
        index = index_of(job_id)
        if index is None:
            plain.append(job_id)
        else:
            by_array.setdefault(array_id(job_id), []).append(index)
    return [*plain, *(f"{name}_[{ranges(indexes)}]" for name, indexes in by_array.items())]


def array_option(indexes: Sequence[int]) -> str:
    """Return the option ``--array``. If some elements are left out and their list is too long, none is left out.

    A job without an attempt starts nothing.
    """
    listed = ranges(indexes)
    return f"--array={listed if len(listed) <= _LONGEST_LIST else f'0-{max(indexes)}'}"


def largest_array(cluster_info: Mapping[str, str]) -> int:
    """Return how many elements an array may have: the largest index is one less than MaxArraySize."""
    size = cluster_info.get("MaxArraySize", "")
    return int(size) if size.isdigit() else _MAX_ARRAY_SIZE


def elements_fail_alone(cluster_info: Mapping[str, str]) -> bool:
    """Whether an element that can't be launched leaves the others alone. An unknown version may be an old one."""
    version = _VERSION.fullmatch(cluster_info.get("SLURM_VERSION", ""))
    return version is not None and tuple(map(int, version.groups())) >= _FAIL_ALONE


def can_be_shared(options: Iterable[str]) -> bool:
    """Whether the elements of an array can have these options. A comment may contain anything."""
    return not any(_NOT_SHARED.fullmatch(word) for word in options if not word.startswith("--comment"))


def without_limit(outcome: Outcome) -> Outcome:
    """Return the outcome of a submitted array. If the array is too large for Slurm, a smaller one may fit later."""
    if isinstance(outcome, Rejected) and _INVALID in outcome.message:
        return QueueFull(outcome.message)
    return outcome


def of_element(outcome: Outcome, index: int) -> Outcome:
    """Return the outcome of one element of an array, given the outcome of the array."""
    return structs.replace(outcome, job_id=f"{outcome.job_id}_{index}") if isinstance(outcome, Accepted) else outcome
