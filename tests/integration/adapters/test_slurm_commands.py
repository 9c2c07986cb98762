"""What comes of commands of Slurm that have said nothing of use, or are gone; scripts stand for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.adapters.base import Job, Submitting
from maestro_es.adapters.host import Host
from maestro_es.adapters.slurm.adapter import SlurmAdapter
from maestro_es.adapters.slurm.client import SlurmJobs
from maestro_es.core.environment import Environment
from maestro_es.core.model import JobState, Phase, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, QueueFull, Rejected, ScriptFailed
from maestro_es.errors import Unreachable

TOKEN = "feed0000-1-1-cafe"
STEP = StepRecord(
    number=1, name="s", template="s", params=(), workspace="s", workspaces={}, scheduled=True, row=1, restart_limit=1,
    token=TOKEN, job_id="7", phase=Phase.SUBMITTED, requested_at=1_800_000_000_000_000,
)  # fmt: skip
QUEUE, ACCOUNTS = "JOBID|STATE NODELIST|REASON|COMMAND\n", "JobID|State|ExitCode|End|SubmitLine\n"
LINE = f"7|RUNNING n1|None|/study/runner.sh {TOKEN} /w"

Says = Callable[..., None]


@pytest.fixture
def says(tmp_path: Path) -> Says:
    """Let squeue and sacct print a text below their headers, or without them, and end with 0."""

    def replace(text: str, *, headers: bool = True) -> None:
        for name, header in (("squeue", QUEUE), ("sacct", ACCOUNTS)):
            (tmp_path / f"{name}.out").write_text(header * headers + text)
            (tmp_path / name).write_text(f"#!/bin/sh\nexec cat '{tmp_path}/{name}.out'\n")
            (tmp_path / name).chmod(0o755)

    return replace


@pytest.fixture
def jobs(tmp_path: Path) -> SlurmJobs:
    return SlurmJobs({"PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_a_whole_answer_tells_of_the_job(says: Says, jobs: SlurmJobs):
    says(f"{LINE}\n")
    assert jobs.query_queue([STEP])[TOKEN].state is JobState.RUNNING
    says(f"7|RUNNING|0:0|Unknown|sbatch runner.sh {TOKEN}\n")
    assert jobs.query_accounting([STEP])[TOKEN].state is JobState.RUNNING


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        (LINE[:20], True),
        (LINE[:-9], True),
        (f"{LINE}\n8|PEND", True),
        ("\0\xff\n", False),
        ("Internal error, try again\n", False),
        ("", False),
    ],
)
def test_an_answer_that_was_cut_off_or_is_garbage_tells_nothing(says: Says, jobs: SlurmJobs, text: str, headers: bool):
    says(text, headers=headers)
    with pytest.raises(Unreachable, match="squeue: its answer can't be read, or was truncated"):
        jobs.query_queue([STEP])
    with pytest.raises(Unreachable, match="sacct: its answer can't be read, or was truncated"):
        jobs.query_accounting([STEP])


def test_of_an_answer_that_lists_no_jobs_the_job_is_gone(says: Says, jobs: SlurmJobs):
    """What comes of that is another question: a job is missed for a while before it is given up."""
    says("", headers=True)
    assert jobs.query_queue([STEP])[TOKEN].state is JobState.GONE
    assert jobs.query_accounting([STEP])[TOKEN].state is JobState.GONE


def test_commands_that_have_moved_since_the_study_was_created_are_found_where_a_tick_finds_them(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    says(f"{LINE}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "before").mkdir()
    (tmp_path / "before/cat").symlink_to("/bin/cat")
    jobs = SlurmJobs({"PATH": f"{tmp_path}/before"})

    assert jobs.query_queue([STEP])[TOKEN].state is JobState.RUNNING


def test_accounts_that_keep_no_commands_know_of_no_job(says: Says, jobs: SlurmJobs, tmp_path: Path):
    """Slurm before 21.08: then the claim decides, as it does where there are no accounts."""
    says("")
    (tmp_path / "sacct").write_text(
        "#!/bin/sh\necho 'sacct: error: Invalid field requested: \"SubmitLine\"' >&2\nexit 1\n"
    )
    assert jobs.query_accounting([STEP])[TOKEN].state is JobState.GONE


def test_of_the_runs_of_a_job_that_was_put_back_in_the_queue_the_last_one_counts(says: Says, jobs: SlurmJobs):
    says(f"7|NODE_FAIL|0:0|Unknown|sbatch runner.sh {TOKEN}\n7|COMPLETED|0:0|Unknown|sbatch runner.sh {TOKEN}\n")
    assert jobs.query_accounting([STEP])[TOKEN].state is JobState.FINISHED


def test_an_id_that_was_given_to_another_job_says_nothing_of_ours(says: Says, jobs: SlurmJobs):
    says("7|COMPLETED|0:0|Unknown|sbatch runner.sh feed0000-2-1-beef\n")
    assert jobs.query_accounting([STEP])[TOKEN].state is JobState.GONE
    says("7|COMPLETED n1|None|/study/runner.sh feed0000-2-1-beef /w\n")
    assert jobs.query_queue([STEP])[TOKEN].state is JobState.GONE


def test_a_command_that_goes_away_is_out_of_reach_and_is_found_elsewhere(says: Says, jobs: SlurmJobs, tmp_path: Path):
    says("")
    assert jobs.list_jobs() == []
    (tmp_path / "squeue").rename(tmp_path / "upgraded")
    with pytest.raises(Unreachable, match="squeue is gone"):
        jobs.list_jobs()
    (tmp_path / "upgraded").rename(tmp_path / "squeue")
    assert jobs.list_jobs() == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_runner_is_submitted_by_its_tokens_name_also_where_no_hard_links_can_be_made(
    jobs: SlurmJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
):
    """A file system without hard links is not to be had in every test: the refusal is a fake."""
    job = Job(TOKEN, "s", tmp_path, "./s.sh", tmp_path, lambda *_: True)
    job.runner.parent.mkdir()
    job.runner.write_text("the runner")
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\ncat {job.runner.with_name(TOKEN)} >{tmp_path}/read\necho 7\n")
    (tmp_path / "sbatch").chmod(0o755)
    if not allowed:
        monkeypatch.setattr(os, "link", refuse)
    begun = jobs.submit(job, [])
    assert isinstance(begun, Submitting)
    assert begun.outcome() == Accepted("7")
    assert (tmp_path / "read").read_text() == "the runner"
    assert os.listdir(job.runner.parent) == [job.runner.name]


@pytest.mark.parametrize(
    ("refused", "cmd", "calls", "outcome"),
    [
        (
            "--mincpus=70",
            "$(LAUNCHER) app",
            2,
            Accepted("7", left_out=("--mincpus=70",), script_digest="of the spare script"),
        ),
        ("--nodes=1", "$(LAUNCHER) app", 2, Rejected),
        ("--nodes=1", "srun app", 1, Rejected),
        ("none", "$(LAUNCHER) app", 1, Accepted("7")),
    ],
)
def test_a_job_that_is_refused_with_the_cpus_of_its_launchers_is_submitted_without_them(
    tmp_path: Path, refused: str, cmd: str, calls: int, outcome: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment = Environment({"PATH": os.environ["PATH"]})
    adapter = SlurmAdapter({"type": "slurm"}, Host("host", "boot", 1, environment=environment))
    run = {"cmd": cmd, "nodes": 1, "procs": 70}
    written: list[str] = []

    def write_spare() -> str:
        written.append(adapter.spare_header("s", "", run))
        return "of the spare script"

    job = Job(
        TOKEN, "s", tmp_path, "./s.sh", tmp_path, lambda *_: True, run=run, environment=environment,
        write_spare=write_spare,
    )  # fmt: skip
    job.runner.parent.mkdir()
    job.runner.write_text("the runner")
    words = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    (tmp_path / "sbatch").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n'
        f'case " $* " in *" {refused} "*) echo \'{words}\' >&2; exit 1;; esac\necho 7\n'
    )
    (tmp_path / "sbatch").chmod(0o755)

    begun = adapter.submit(job)
    assert isinstance(begun, Submitting)
    said = begun.outcome()
    assert isinstance(said, Rejected) if outcome is Rejected else said == outcome
    made = (tmp_path / "calls").read_text().splitlines()
    assert len(made) == calls
    assert all(TOKEN in call for call in made)
    assert made[-1] == made[0].replace("--mincpus=70 ", "" if calls > 1 else "--mincpus=70 ")
    assert [("mincpus" in header) for header in written] == [False] * (calls - 1)
    assert os.listdir(job.runner.parent) == [job.runner.name]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(errno.EAGAIN, QueueFull), (errno.ENOMEM, QueueFull), (errno.E2BIG, ScriptFailed), (errno.EIO, InDoubt)],
)
def test_where_no_process_can_be_made_nothing_was_submitted(
    jobs: SlurmJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, outcome: type
):
    """Root, whom tests are, has no limit on processes: the refusal is a fake."""
    job = Job(TOKEN, "s", tmp_path, "./s.sh", tmp_path, lambda *_: True)
    job.runner.parent.mkdir()
    job.runner.write_text("the runner")

    def refuse_process(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "posix_spawnp", refuse_process)
    assert jobs.submit(job, []) == outcome(f"sbatch can't be called: {os.strerror(error)}")
    assert os.listdir(job.runner.parent) == [job.runner.name]


def refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
