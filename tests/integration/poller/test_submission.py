"""The submission protocol against a scheduler that does everything wrong: none lost, and none run twice."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from maestro_es.adapters import process
from maestro_es.adapters.base import Adapters, JobInfo, QueueEntry
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.model import Cause, JobState, Phase, Settings, State, StepRecord, StudyStatus, SubmissionKind
from maestro_es.core.observations import Claim
from maestro_es.errors import Unreachable
from maestro_es.study.invocation import Runtime
from tools.testbed.processes import wait_for
from tools.testbed.scheduler import FakeScheduler
from tools.testbed.studies import Bench, Step, quick_adapters


def tokens(bench: Bench, step: str = "sim") -> list[str]:
    return [event.token for event in bench.events(e.SubmissionRequested, step)]


def sim(bench: Bench, more: str = "", **options: Any) -> Step:
    return Step("sim", f"{bench.sign}\n{more}", scheduled=True, **options)


def finish(cluster: Bench) -> None:
    """Let everything run, and end well."""
    cluster.scheduler.switch("autostart")
    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED, cluster.story()
    cluster.check()


def wait_for_report(bench: Bench, token: str, kind: str) -> None:
    wait_for(lambda: any(entry.name.startswith(f"{token}.{kind}") for entry in bench.dir.inbox.iterdir()))


def test_a_job_is_pending_then_running_then_finished(cluster: Bench):
    cluster.create(sim(cluster, f"until [ -e '{cluster.root}/go' ]; do sleep 0.01; done"))

    cluster.tick()
    assert (cluster.step("sim").state, cluster.step("sim").job_id) == (State.PENDING, "1001")
    cluster.scheduler.start()
    cluster.until(lambda: cluster.step("sim").state is State.RUNNING)
    (cluster.root / "go").touch()
    assert cluster.finish() is StudyStatus.FINISHED
    assert cluster.signed() == tokens(cluster)
    assert list(cluster.dir.inbox.iterdir()) == []
    cluster.check()


# -- refused --------------------------------------------------------------------------------------------------------


def test_a_refused_submission_is_tried_again_by_the_next_ticks(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("refuse", "refuse")

    for tries in (1, 2):
        cluster.tick()
        assert len(cluster.events(e.SubmissionRejected)) == tries
        assert cluster.scheduler.jobs() == []
    cluster.tick()
    assert [job.token for job in cluster.scheduler.jobs()] == [tokens(cluster)[2]]
    finish(cluster)
    assert cluster.signed() == [tokens(cluster)[2]]


def test_a_submission_refused_too_often_fails_the_step_and_what_waits_for_it(cluster: Bench):
    cluster.create(sim(cluster), Step("post", parents=("sim",)))
    cluster.scheduler.plan(*["refuse"] * 9)

    assert cluster.finish() is StudyStatus.FAILURE
    assert len(tokens(cluster)) == 3
    assert (cluster.step("sim").cause, cluster.step("post").cause) == (Cause.REJECTED, Cause.UPSTREAM)
    assert cluster.step("sim").message == "submission refused (3 times): fake: invalid partition"


# -- in doubt -------------------------------------------------------------------------------------------------------


def test_a_job_whose_submission_got_no_answer_is_adopted_by_its_token(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("doubt")

    cluster.tick()
    assert (cluster.step("sim").phase, cluster.step("sim").job_id) == (Phase.REQUESTED, "")
    cluster.tick()
    submitted = cluster.events(e.JobSubmitted)
    assert [(event.job_id, event.adopted) for event in submitted] == [("1001", True)]
    assert [evidence.source for evidence in submitted[0].evidence] == ["claim", "queue"]
    finish(cluster)
    assert cluster.signed() == tokens(cluster)


def test_a_job_that_got_no_answer_and_has_run_meanwhile_is_adopted_with_its_result(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("doubt")
    cluster.scheduler.switch("autostart")
    cluster.tick()
    wait_for_report(cluster, tokens(cluster)[0], "exit")
    wait_for(cluster.scheduler.forget)

    cluster.tick()
    assert [event.job_id for event in cluster.events(e.JobSubmitted)] == ["1001"]
    finish(cluster)
    assert cluster.signed() == tokens(cluster)


def test_a_submission_that_left_no_trace_is_abandoned_and_made_again(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("deaf")

    cluster.tick()
    requested = cluster.step("sim").requested_at or 0
    cluster.tick(now=lambda: requested + 200_000)  # the grace is 0.3 s
    assert cluster.step("sim").phase is Phase.REQUESTED
    cluster.until(lambda: cluster.events(e.AttemptAbandoned))
    kinds = [event.kind for event in cluster.events(e.SubmissionRequested)]
    assert kinds == [SubmissionKind.FIRST, SubmissionKind.RESUBMIT]
    finish(cluster)
    assert cluster.signed() == [tokens(cluster)[1]]


def test_a_step_whose_submissions_leave_no_trace_fails_in_the_end(cluster: Bench):
    cluster.settings = Settings(abandon_limit=2)
    cluster.create(sim(cluster))
    cluster.scheduler.plan(*["deaf"] * 9)

    assert cluster.finish() is StudyStatus.FAILURE
    assert (cluster.step("sim").cause, len(tokens(cluster))) == (Cause.LOST, 3)
    assert cluster.step("sim").message == "3 submissions left no trace of a job"


def test_a_job_that_appears_after_its_attempt_was_abandoned_starts_nothing(cluster: Bench):
    cluster.create(sim(cluster, f"until [ -e '{cluster.root}/go' ]; do sleep 0.01; done"))
    cluster.scheduler.plan("late")
    cluster.tick()
    cluster.until(lambda: len(tokens(cluster)) == 2)
    first, second = tokens(cluster)

    cluster.scheduler.deliver()
    cluster.scheduler.start(first, second)
    wait_for_report(cluster, first, "refused")
    cluster.until(lambda: cluster.events(e.ReportIgnored))
    (cluster.root / "go").touch()
    finish(cluster)
    assert cluster.signed() == [second]
    assert [event.token for event in cluster.events(e.ReportIgnored)] == [first]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["goes on", "cancelled"])
def test_a_job_that_runs_is_not_given_up_because_one_answer_does_not_list_it(cluster: Bench, is_cancelled: bool):
    """Its submission got no answer, its grace time is over, and the first look at the queue misses it."""
    cluster.create(sim(cluster, f"until [ -e '{cluster.root}/go' ]; do sleep 0.01; done"))
    cluster.scheduler.plan("late")
    cluster.tick()
    cluster.scheduler.start()
    wait_for(cluster.signed)
    if is_cancelled:
        with cluster.open() as study:
            study.request(lambda graph: requests.cancel(graph, ["sim"]))
    requested = cluster.step("sim").requested_at or 0

    cluster.tick(now=lambda: requested + 2_000_000)  # the grace is 0.3 s

    assert (cluster.step("sim").phase, cluster.step("sim").attempt) == (Phase.SUBMITTED, 1)
    cluster.scheduler.deliver()
    (cluster.root / "go").touch()
    assert cluster.finish() is (StudyStatus.CANCELLED if is_cancelled else StudyStatus.FINISHED)
    assert cluster.signed() == tokens(cluster)
    cluster.check()


def test_the_accounts_say_why_a_job_was_ended_whose_submission_got_no_answer(cluster: Bench):
    """Its runner only knows that it was told to end. The queue has forgotten it before a tick looks for it."""
    cluster.create(sim(cluster, "exec sleep 60", restart="true"))
    cluster.scheduler.plan("doubt")
    cluster.tick()
    cluster.scheduler.start()
    wait_for(cluster.signed)
    [job] = cluster.scheduler.jobs()
    process.terminate_group(job.pid)
    wait_for_report(cluster, job.token, "stopped")
    wait_for(cluster.scheduler.forget)
    (cluster.scheduler.folder / "accounts").write_text(JobState.TIMED_OUT.value)

    cluster.tick()
    cluster.tick()

    assert cluster.events(e.HardwareFailed) == []
    assert [event.final for event in cluster.events(e.StepTimedOut)] == [""]
    (cluster.scheduler.folder / "accounts").unlink()
    finish(cluster)


@pytest.mark.parametrize(("walltime", "timed_out"), [("00:00:30", True), ("00:01:00", False), ("", False)])
def test_a_job_that_was_stopped_at_its_time_limit_and_forgotten_has_timed_out(
    cluster: Bench, walltime: str, timed_out: bool
):
    """PBS forgets a job when it ends, unless its server keeps a history."""
    cluster.create(sim(cluster, "exec sleep 60", restart="true", walltime=walltime))
    cluster.tick()
    cluster.scheduler.start()
    wait_for(cluster.signed)
    [job] = cluster.scheduler.jobs()
    before = time.time() - 40
    os.utime(cluster.dir.inbox / f"{job.token}.started", (before, before))
    process.terminate_group(job.pid)
    wait_for_report(cluster, job.token, "stopped")
    wait_for(cluster.scheduler.forget)

    cluster.tick()
    assert len(cluster.events(e.StepTimedOut)) == timed_out
    assert len(cluster.events(e.HardwareFailed)) == (not timed_out)


def test_the_time_since_an_earlier_attempt_is_no_time_limit(cluster: Bench):
    """The record has the start of the first attempt. A tick has removed the report of the second one's start."""
    cluster.create(sim(cluster, "exec sleep 60", restart="exec sleep 60", walltime="00:00:30"))
    for early in (40, 0):
        cluster.tick()
        cluster.scheduler.start()
        job = cluster.scheduler.jobs()[-1]
        wait_for_report(cluster, job.token, "started")
        if early:
            os.utime(cluster.dir.inbox / f"{job.token}.started", (time.time() - early,) * 2)
        else:
            cluster.tick()
        process.terminate_group(job.pid)
        wait_for_report(cluster, job.token, "stopped")
        wait_for(cluster.scheduler.forget)
        cluster.tick()

    assert len(cluster.events(e.StepTimedOut)) == 1
    assert len(cluster.events(e.HardwareFailed)) == 1


def test_an_acknowledged_job_that_the_scheduler_lost_is_submitted_again(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("lose")

    cluster.tick()
    assert cluster.step("sim").job_id == "1001"
    cluster.until(cluster.scheduler.jobs)
    assert [event.token for event in cluster.events(e.AttemptAbandoned)] == tokens(cluster)[:1]
    finish(cluster)
    assert cluster.signed() == [tokens(cluster)[1]]


def test_accounts_that_go_on_listing_a_lost_job_are_not_believed_for_ever(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.scheduler.plan("lose")
    (cluster.scheduler.folder / "accounts").write_text("pending")
    for _ in range(2):
        cluster.tick()
    missed = cluster.step("sim").missed_at or 0

    cluster.tick(now=lambda: missed + 1_000_000)  # the grace of 0.3 s is over, sixty of them are not
    assert len(tokens(cluster)) == 1
    cluster.tick(now=lambda: missed + 20_000_000)

    assert [event.token for event in cluster.events(e.AttemptAbandoned)] == tokens(cluster)[:1]
    assert len(tokens(cluster)) == 2


def test_a_job_id_that_was_given_to_another_job_is_not_believed(cluster: Bench):
    cluster.create(sim(cluster), Step("other", cluster.sign, scheduled=True))
    cluster.scheduler.plan("lose", "reuse")
    cluster.tick()
    assert (cluster.step("sim").job_id, cluster.step("other").job_id) == ("1001", "1001")

    cluster.scheduler.start()
    cluster.until(lambda: cluster.step("other").state is State.FINISHED)
    assert cluster.step("sim").state is not State.FINISHED
    cluster.until(lambda: len(tokens(cluster)) == 2)
    finish(cluster)
    assert sorted(cluster.signed()) == sorted([tokens(cluster)[1], *tokens(cluster, "other")])


def test_a_report_that_comes_after_the_claim_was_looked_for_makes_a_job_with_an_id(cluster: Bench):
    """The job is in doubt and hidden; it starts while the scheduler is asked about it."""

    class Sluggish(FakeScheduler):
        def query_queue(
            self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
        ) -> dict[str, JobInfo]:
            seen = super().query_queue(steps, claims, listed)
            if not any(job.starts for job in self.jobs()):
                self.start()
                wait_for_report(cluster, steps[0].token, "started")
            return seen

    def sluggish(batch: Mapping[str, Any], host: Host) -> Adapters:
        return Adapters(Sluggish(cluster.scheduler.folder), LocalAdapter(batch, host))

    cluster.create(sim(cluster, f"until [ -e '{cluster.root}/go' ]; do sleep 0.01; done"))
    cluster.scheduler.plan("late")
    cluster.tick()
    cluster.runtime = Runtime(adapters=sluggish)
    cluster.tick()

    assert [(event.job_id, event.adopted) for event in cluster.events(e.JobSubmitted)] == [("1001", True)]
    (cluster.root / "go").touch()
    cluster.scheduler.deliver()
    finish(cluster)


# -- started twice, or not at all -----------------------------------------------------------------------------------


def test_a_job_that_is_started_twice_runs_once(cluster: Bench):
    cluster.create(sim(cluster, f"until [ -e '{cluster.root}/go' ]; do sleep 0.01; done"))
    cluster.tick()
    cluster.scheduler.start()
    wait_for_report(cluster, tokens(cluster)[0], "started")
    cluster.scheduler.start(*tokens(cluster))
    wait_for_report(cluster, tokens(cluster)[0], "refused")
    cluster.tick()

    (cluster.root / "go").touch()
    finish(cluster)
    assert cluster.signed() == tokens(cluster)


def test_a_job_requeued_after_its_node_died_is_refused_and_submitted_anew(cluster: Bench):
    """Its second start ends with the runner's exit code, and the claim tells that the first one had begun."""
    cluster.create(sim(cluster, "case $MAESTRO_ES_TOKEN in *-1-1-*) sleep 60;; esac"))
    cluster.tick()
    cluster.scheduler.start()
    wait_for(cluster.signed)
    cluster.scheduler.kill_node(tokens(cluster)[0])
    cluster.scheduler.start(*tokens(cluster))
    wait_for_report(cluster, tokens(cluster)[0], "refused")

    cluster.until(lambda: cluster.events(e.HardwareFailed))
    finish(cluster)
    assert cluster.signed() == tokens(cluster)
    assert len(tokens(cluster)) == 2


def test_a_job_whose_node_died_before_it_began_can_not_start_beside_the_next_attempt(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    first = tokens(cluster)[0]
    cluster.scheduler.say(first, JobState.NODE_FAILED)
    cluster.until(lambda: len(tokens(cluster)) == 2)

    cluster.scheduler.start(first)
    wait_for_report(cluster, first, "refused")
    finish(cluster)
    assert cluster.signed() == [tokens(cluster)[1]]


def test_a_node_that_dies_again_and_again_fails_the_step_within_the_limit(cluster: Bench):
    cluster.settings = Settings(hardware_limit=2)
    cluster.create(sim(cluster, "sleep 60"))
    cluster.scheduler.switch("autostart")
    for number in (1, 2, 3):
        cluster.until(lambda number=number: len(cluster.signed()) == number)  # type: ignore[misc]  # mypy infers no default
        cluster.scheduler.kill_node(tokens(cluster)[-1])

    assert cluster.finish() is StudyStatus.FAILURE
    assert [(event.number, event.limit) for event in cluster.events(e.HardwareFailed)] == [(1, 2), (2, 2), (3, 2)]
    assert cluster.step("sim").cause is Cause.HARDWARE
    assert cluster.step("sim").message.endswith("resubmitted 2 times, which is the limit")
    cluster.check()


# -- what the scheduler knows ---------------------------------------------------------------------------------------


def test_a_scheduler_that_does_not_answer_is_no_evidence(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    cluster.scheduler.switch("unreachable")
    for _ in range(3):
        with pytest.raises(Unreachable, match="fake: the controller does not answer"):
            cluster.tick()

    assert cluster.step("sim").state is State.PENDING
    assert len(cluster.events(e.PollFailed)) == 1
    cluster.scheduler.switch("unreachable", on=False)
    finish(cluster)
    assert len(cluster.events(e.PollRecovered)) == 1
    assert cluster.signed() == tokens(cluster)


def test_a_report_is_believed_while_the_scheduler_does_not_answer(cluster: Bench):
    cluster.create(sim(cluster), Step("post", cluster.sign, parents=("sim",)))
    cluster.tick()
    cluster.scheduler.start()
    wait_for_report(cluster, tokens(cluster)[0], "exit")
    cluster.scheduler.switch("unreachable")

    assert cluster.finish() is StudyStatus.FINISHED
    assert len(cluster.signed()) == 2


def test_an_ended_job_that_the_scheduler_has_forgotten_is_finished_by_its_report(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    cluster.scheduler.start()
    wait_for_report(cluster, tokens(cluster)[0], "exit")
    wait_for(cluster.scheduler.forget)

    assert cluster.finish() is StudyStatus.FINISHED
    assert cluster.signed() == tokens(cluster)


def test_a_job_that_started_and_is_gone_without_a_word_is_submitted_again(cluster: Bench):
    cluster.create(sim(cluster, "case $MAESTRO_ES_TOKEN in *-1-1-*) sleep 60;; esac"))
    cluster.tick()
    cluster.scheduler.start()
    wait_for(cluster.signed)
    cluster.scheduler.kill_node(tokens(cluster)[0])
    wait_for(cluster.scheduler.forget)

    cluster.until(lambda: cluster.events(e.HardwareFailed))
    assert cluster.events(e.HardwareFailed)[0].reason == "unknown job"
    finish(cluster)
    assert cluster.signed() == tokens(cluster)


def test_a_word_that_nobody_has_heard_of_is_not_a_failure(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    cluster.scheduler.say(tokens(cluster)[0], JobState.UNKNOWN)
    for _ in range(3):
        cluster.tick()

    assert cluster.step("sim").state is State.PENDING
    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED


def test_a_job_out_of_memory_fails_and_says_so(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    cluster.scheduler.say(tokens(cluster)[0], JobState.OUT_OF_MEMORY)

    assert cluster.finish() is StudyStatus.FAILURE
    assert cluster.step("sim").cause is Cause.OUT_OF_MEMORY


def test_a_job_cancelled_by_hand_cancels_its_step(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    cluster.scheduler.say(tokens(cluster)[0], JobState.CANCELLED)

    assert cluster.finish() is StudyStatus.CANCELLED
    assert cluster.step("sim").message == "cancelled outside of maestro-es"


def test_a_job_that_the_scheduler_timed_out_goes_on_with_its_restart_script_within_the_limit(cluster: Bench):
    cluster.create(sim(cluster, restart=f"{cluster.sign}; touch restarted", restart_limit=2))
    for number in (1, 2, 3):
        cluster.until(lambda number=number: len(cluster.scheduler.jobs()) == number)  # type: ignore[misc]  # mypy infers no default
        cluster.scheduler.say(tokens(cluster)[-1], JobState.TIMED_OUT)

    assert cluster.finish() is StudyStatus.FAILURE
    assert [event.number for event in cluster.events(e.StepRestarted)] == [1, 2]
    assert cluster.events(e.StepTimedOut)[-1].final == "restart limit reached: 2 of 2"
    assert cluster.step("sim").state is State.TIMEDOUT
    assert [job.argv[3] for job in cluster.scheduler.jobs()] == [
        "./sim.fake.sh", "./sim.restart.fake.sh", "./sim.restart.fake.sh",
    ]  # fmt: skip


def test_the_exit_code_of_a_step_is_in_the_log_with_who_said_so(cluster: Bench):
    cluster.create(sim(cluster, "exit 3"))
    cluster.scheduler.switch("autostart")

    assert cluster.finish() is StudyStatus.FAILURE
    failed = cluster.events(e.StepFailed)[0]
    assert (failed.cause, failed.exit_code, failed.message) == (Cause.EXIT_CODE, 3, "exit code 3")
    assert f"{tokens(cluster)[0]}.exit.3" in [evidence.detail for evidence in failed.evidence]


# -- reports --------------------------------------------------------------------------------------------------------


def test_a_report_of_another_token_is_recorded_and_not_believed(cluster: Bench):
    cluster.create(sim(cluster))
    cluster.tick()
    stray = f"{tokens(cluster)[0][:-8]}deadbeef"
    (cluster.dir.inbox / f"{stray}.exit.0").touch()
    cluster.tick()

    assert cluster.step("sim").state is State.PENDING
    assert [(event.token, event.report) for event in cluster.events(e.ReportIgnored)] == [(stray, f"{stray}.exit.0")]
    assert list(cluster.dir.inbox.iterdir()) == []


def test_what_is_no_report_stays_in_the_inbox(cluster: Bench):
    cluster.create(sim(cluster))
    junk = {"README", ".nfs0001", "x.exit.0.tmp~", "token.sang", "tök.exit.0"}
    for name in junk:
        (cluster.dir.inbox / name).touch()
    finish(cluster)

    assert {path.name for path in cluster.dir.inbox.iterdir()} >= junk - {"x.exit.0.tmp~"}


def test_a_report_left_by_a_tick_that_died_is_removed_without_a_word(cluster: Bench):
    class Died(BaseException):
        pass

    def die(effect: str) -> None:
        if effect == "append":
            raise Died

    cluster.create(sim(cluster), Step("next", scheduled=True))
    cluster.tick()
    cluster.scheduler.start(*tokens(cluster))
    wait_for_report(cluster, tokens(cluster)[0], "exit")
    with pytest.raises(Died):
        cluster.tick(on_effect=die)
    assert cluster.step("sim").state is State.FINISHED
    assert list(cluster.dir.inbox.iterdir()) != []

    cluster.tick()
    assert list(cluster.dir.inbox.iterdir()) == []
    assert cluster.events(e.ReportIgnored) == []


# -- limits ---------------------------------------------------------------------------------------------------------


def test_a_scheduler_without_room_is_asked_once_in_a_tick_and_no_step_fails(cluster: Bench, monkeypatch):
    monkeypatch.setattr("maestro_es.core.throttle.BACKOFF", (1, 1))
    cluster.create(*(Step(f"s{n}", cluster.sign, scheduled=True) for n in range(6)))
    cluster.scheduler.plan("accept", "accept", "full", "full", "full")
    cluster.tick()
    assert len(cluster.events(e.JobSubmitted)) == 2
    assert [event.message for event in cluster.events(e.SubmissionWithdrawn)] == ["fake: no room", "", "", ""]
    cluster.tick()
    assert [event.message for event in cluster.events(e.SubmissionWithdrawn)[4:]] == ["fake: no room"]

    cluster.scheduler.switch("autostart")
    cluster.scheduler.start()
    assert cluster.finish() is StudyStatus.FINISHED
    assert len(cluster.signed()) == 6


def test_the_throttle_bounds_the_jobs_in_the_queue(cluster: Bench):
    cluster.settings = Settings(submission_throttle=2)
    cluster.create(*(Step(f"s{n}", scheduled=True) for n in range(5)))
    seen = set()

    def advance() -> bool:
        seen.add(sum(cluster.step(f"s{n}").phase in (Phase.REQUESTED, Phase.SUBMITTED) for n in range(5)))
        cluster.scheduler.start()
        return cluster.status is StudyStatus.FINISHED

    cluster.until(advance)
    assert seen <= {0, 1, 2}
    assert 2 in seen


@pytest.mark.parametrize("answer", ["deaf", "doubt"])
def test_a_cancelled_step_whose_submission_is_in_doubt_is_looked_for_and_never_starts(cluster: Bench, answer: str):
    """Found, its job is ended; not found, its claim is made at once, however long the grace is."""
    patient = quick_adapters(grace_seconds=3600)
    cluster.create(sim(cluster))
    cluster.scheduler.plan(answer)
    cluster.tick(adapters=patient)
    [unanswered] = cluster.events(e.SubmissionUncertain)
    with cluster.open() as study:
        study.log.append([(None, e.CancelRequested())])

    for _ in range(3):
        cluster.tick(adapters=patient)

    assert cluster.status is StudyStatus.CANCELLED
    assert cluster.step("sim").state is State.CANCELLED
    assert len(cluster.events(e.AttemptAbandoned)) == (answer == "deaf")
    assert all(job.cancelled for job in cluster.scheduler.jobs())
    assert unanswered.message == "fake: no answer"
    assert cluster.signed() == []
