"""What the adapter for Flux makes of answers that only Flux gives."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from maestro_es.adapters import batch
from maestro_es.core.model import JobState, Phase, StepRecord
from maestro_es.core.submission import Accepted, InDoubt, Outcome, Rejected
from maestro_es.errors import Unreachable
from tests.contract.conftest import Stage
from tests.fakes.flux_commands import FluxCommands

pytestmark = pytest.mark.parametrize("stage", ["flux"], indirect=True)

LOST = {"state": 64, "result": 2, "t_run": 2.0, "exception_occurred": True, "exception_type": "exec"}


def fake(stage: Stage) -> FluxCommands:
    """Return the stand-in for Flux."""
    assert isinstance(stage.commands, FluxCommands)
    return stage.commands


def submitted(stage: Stage) -> StepRecord:
    """Submit a step; returns it as the log has it."""
    [number] = stage.create("true")
    step, job = stage.request(number)
    outcome = stage.send(job)
    assert isinstance(outcome, Accepted)
    return structs.replace(step, job_id=outcome.job_id, job_instance=outcome.instance, phase=Phase.SUBMITTED)


def send(stage: Stage, **run: Any) -> Outcome:
    """Submit a step with these keys; returns the outcome."""
    [number] = stage.create("true")
    _, job = stage.request(number)
    return stage.send(structs.replace(job, run={**job.run, **run}))


def state(stage: Stage, step: StepRecord) -> JobState:
    [seen] = stage.query_queue(step)
    assert seen
    return seen.state


def test_a_job_is_submitted_by_one_process_after_what_all_jobs_share_was_asked(stage: Stage):
    stage.submit("true", "true", "true")
    commands = [" ".join(call.split()[:3]) for call in fake(stage).calls()]

    assert commands == ["flux ping --count=1", "flux batch --dry-run", *["flux job submit"] * 3]


def test_the_name_of_a_job_ends_with_its_token_and_its_runner_runs_once(stage: Stage):
    step = submitted(stage)
    [spec] = fake(stage).specs()
    [task], system = spec["tasks"], spec["attributes"]["system"]

    assert system["job"]["name"] == f"step_1.{step.token}"
    assert system["cwd"] == str(stage.bench.dir.path(step.workspace))
    assert system["shell"]["options"]["output"]["stdout"]["path"] == "step_1.{{id}}.out"
    assert task["command"][:4] == ["flux", "broker", str(stage.bench.dir.runner), step.token]
    assert "files" not in system  # the runner is not copied


def test_a_step_that_is_not_nested_is_one_task_on_all_its_resources(stage: Stage):
    send(stage, nested=False, procs=4)
    [spec] = fake(stage).specs()
    [task], [slot] = spec["tasks"], spec["resources"]

    assert task["command"][0] == str(stage.bench.dir.runner)
    assert task["count"] == {"total": 1}
    assert slot["count"] == 4


def test_urgency_and_flags_are_options_of_the_submission(stage: Stage):
    send(stage, procs=1, priority="high", waitable=True)
    described, submission = fake(stage).calls()[-2:]

    assert "--urgency" not in described
    assert submission.split()[:5] == ["flux", "job", "submit", "--urgency=24", "--flags=waitable"]


def test_an_option_that_flux_does_not_take_is_refused_and_nothing_is_submitted(stage: Stage):
    outcome = send(stage, procs=1, args={"x": "bogus"})

    assert outcome == Rejected("flux-submit: ERROR: invalid Flux standard duration", 1)
    assert fake(stage).specs() == []


def test_the_values_of_the_environment_are_in_no_file_of_the_study(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "hush")
    submitted(stage)
    files = [path for path in stage.bench.root.rglob("*") if path.is_file() and ".db" not in path.name]

    assert fake(stage).specs()[0]["attributes"]["system"]["environment"]["SECRET"] == "hush"
    assert not [path for path in files if b"hush" in path.read_bytes() and "environment." not in path.name]


def test_a_version_without_the_fast_list_is_asked_for_the_other_one(stage: Stage):
    step = submitted(stage)
    fake(stage).lack("list")

    assert state(stage, step) is JobState.PENDING
    assert fake(stage).calls()[-1] == "flux jobs -a --count=0 --json"


def test_a_job_that_never_fits_is_refused_for_good(stage: Stage):
    step = submitted(stage)
    fake(stage).tell(
        state=64, result=2, exception_occurred=True, exception_type="alloc", exception_note="unsatisfiable request"
    )
    [seen] = stage.query_queue(step)

    assert seen
    assert (seen.state, seen.raw_state) == (JobState.REFUSED, "FAILED (alloc: unsatisfiable request)")


@pytest.mark.parametrize("said", [{"exception_note": "node failure on n1", "waitstatus": 256}, {}])
def test_a_job_that_flux_no_longer_watches_may_still_run(stage: Stage, said: dict[str, object]):
    step = submitted(stage)
    fake(stage).tell(**LOST, **said)

    assert state(stage, step) is JobState.UNSUPERVISED


def test_a_missing_job_has_ended_unless_the_broker_was_restarted(stage: Stage):
    step = submitted(stage)
    fake(stage).forget()
    assert state(stage, step) is JobState.GONE

    fake(stage).restart("0badcafe")
    assert state(stage, step) is JobState.UNSUPERVISED


def test_a_missing_job_that_was_adopted_by_its_claim_may_still_run(stage: Stage):
    step = structs.replace(submitted(stage), job_instance="1cc3ef2e-da13-4dc9-be34-2568c49867a0")
    fake(stage).forget()

    assert state(stage, step) is JobState.UNSUPERVISED


def test_a_job_in_doubt_is_adopted_with_the_start_of_its_instance(stage: Stage):
    step = structs.replace(submitted(stage), job_id="", job_instance="", phase=Phase.REQUESTED)
    [seen] = stage.query_queue(step)

    assert seen
    assert (seen.state, seen.instance) == (JobState.PENDING, "6d0029bf")
    assert [call.split()[1] for call in fake(stage).calls()[-2:]] == ["ping", "job"]


@pytest.mark.parametrize(
    ("instance", "ended", "expected"),
    [
        ("6d0029bf", 3.0, JobState.CANCELLED),
        ("6d0029bf", 9e12, JobState.RUNNING),
        ("0badcafe", 3.0, JobState.NODE_FAILED),
    ],
)
def test_a_job_that_others_cancelled_may_have_ended_with_its_instance(
    stage: Stage, instance: str, ended: float, expected: JobState
):
    step = submitted(stage)
    cancelled = {"exception_occurred": True, "exception_type": "cancel", "waitstatus": 256}
    fake(stage).tell(state=64, result=4, t_run=2.0, t_inactive=ended, **cancelled)
    fake(stage).restart(instance)

    assert state(stage, step) is expected


def test_an_id_that_was_given_again_does_not_make_another_job_ours(stage: Stage):
    step = submitted(stage)
    fake(stage).tell(name="step_1.feedfeed-1-1-another")

    assert state(stage, step) is JobState.GONE


@pytest.mark.parametrize("job_id", ["ƒ3CAfPzY", "f3CAfPzY"])
def test_a_job_of_maestro_is_known_by_its_id_in_any_form_and_its_directory(stage: Stage, job_id: str):
    step = submitted(stage)
    fake(stage).tell(name="step_1")
    imported = structs.replace(step, token="feedfeed-1-1-imported", job_id=job_id, job_instance="")

    assert state(stage, imported) is JobState.PENDING
    assert state(stage, structs.replace(imported, workspace="elsewhere", name="other")) is JobState.GONE


def test_an_instance_that_has_ended_is_named_with_a_remedy(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLUX_URI", "local:///tmp/flux-x/local-0")
    step = submitted(stage)
    stage.silence()

    with pytest.raises(Unreachable, match=r"no Flux instance at local:///tmp/flux-x/local-0 .*env STUDY --refresh"):
        stage.query_queue(step)


def test_a_broker_that_hangs_is_not_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    step = submitted(stage)
    monkeypatch.setattr(batch, "TIMEOUT", 0.5)
    fake(stage).query("hang")

    with pytest.raises(Unreachable, match="flux has not answered within"):
        stage.query_queue(step)


def test_a_submission_that_hangs_is_in_doubt_and_its_job_is_found(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    [number] = stage.create("true")
    step, job = stage.request(number)
    stage.send(job)
    fake(stage).forget()
    monkeypatch.setattr(batch, "TIMEOUT", 1.0)
    stage.plan("hang")
    outcome = stage.send(job)

    assert isinstance(outcome, InDoubt)
    assert state(stage, step) is JobState.PENDING


def test_the_jobs_of_two_studies_take_one_list(stage: Stage):
    step = submitted(stage)
    rows = stage.adapter.list_jobs()
    called = len(fake(stage).calls())
    seen = stage.adapter.query_queue([step], {}, rows)

    assert seen[step.token].state is JobState.PENDING
    assert len(fake(stage).calls()) == called
