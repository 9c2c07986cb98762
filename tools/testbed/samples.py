"""Two samples of each event: one with only the required fields, and one with all fields."""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.model import Cause, Param, Settings, State, StudyStatus, SubmissionKind
from maestro_es.core.usage import Usage

USED = Usage(cpu=1_500_000, memory=2048, nodes=2, cores=4, walltime=60, memory_limit=4096)
SAID = (e.Evidence(source="queue", detail="COMPLETED"), e.Evidence(source="report", detail="t1.exit.0"))
PARAMS = (Param("SIZE", "10", "SIZE.10", "SIZE"), Param("ITER", "naïve \0 '\"", "ITER.1", "ITER"))

MINIMAL: tuple[e.AnyEvent, ...] = (
    e.InvocationStarted(actor="me", host="login1", boot_id="b1", pid=1, command="tick", version="1.0"),
    e.StudyCreated(study_id="cafe", root="/s"),
    e.EnvironmentRecorded(environment=RecordedEnvironment(digest="ab")),
    e.StepTemplateAdded(name="sim", description="", run={}),
    e.StepAdded(name="sim", template="sim", workspace="sim"),
    e.ConnectionAdded(parent=1),
    e.ConnectionRemoved(parent=1),
    e.SettingsChanged(what="submission_throttle", before=0, after=4),
    e.StudyPaused(),
    e.StudyResumed(),
    e.CancelRequested(),
    e.StudyCompleted(status=StudyStatus.FINISHED),
    e.StudyReopened(),
    e.StudyRelocated(before="/a", after="/b"),
    e.RebootDetected(host="login1", before="b1", after="b2"),
    e.TicksMissed(since=4, seconds=600),
    e.LogRecovered(head="ab"),
    e.EventsCorrected(head="ab", corrections=(e.Correction(seq=1, data=""),)),
    e.PollFailed(adapter="slurm", message="socket timed out"),
    e.PollRecovered(adapter="slurm"),
    e.NotificationRequested(about=e.Notice.FAILURE),
    e.NotificationEnded(request=1, problem="exit code 3"),
    e.CascadeStarted(),
    e.CascadeCompleted(),
    e.StepImported(state=State.FINISHED),
    e.StepRecovered(state=State.FINISHED, attempt=3),
    e.SubmissionRequested(attempt=1, token="t1", kind=SubmissionKind.FIRST),
    e.JobSubmitted(token="t1", job_id="17"),
    e.SubmissionRejected(token="t1", message="invalid partition"),
    e.ScriptSetAside(script="a/a.sh", kept_as="a/a.sh.edited", digest="12"),
    e.SubmissionUncertain(token="t1", message="socket timed out"),
    e.AttemptAbandoned(token="t1", evidence=()),
    e.SubmissionWithdrawn(token="t1"),
    e.JobDelayed(token="t1", reason="PartitionDown"),
    e.JobStateUnknown(token="t1", raw_state="REVOKED"),
    e.JobUnsupervised(token="t1", reason="node failure"),
    e.JobStarted(token="t1", at=5),
    e.JobNotFound(token="t1"),
    e.JobReappeared(token="t1"),
    e.StepFinished(token="t1", at=6),
    e.StepTimedOut(token="t1", at=6),
    e.StepRestarted(number=1, limit=0),
    e.HardwareFailed(token="t1", at=6, number=1, limit=3, reason="node failed"),
    e.StepFailed(at=6, cause=Cause.UPSTREAM, message="sim is FAILED"),
    e.StepCancelled(at=6, message="cancelled"),
    e.OutputDoubted(host="login1", alive_at=7),
    e.StepDryRun(at=6),
    e.StepReset(),
    e.StepSkipped(by="me"),
    e.StepHeld(),
    e.StepReleased(),
    e.UsageReported(token="t1", usage=Usage(cpu=1)),
    e.ReportIgnored(token="t0", report="t0.exit.0"),
)

FULL: tuple[e.AnyEvent, ...] = (
    e.StudyCreated(
        study_id="cafe", root="/s", name="ünï", description="line\nline", spec="description:\n", spec_digest="ab",
        spec_file="pi.yaml",
        adapter={"type": "slurm", "nested": {"list": [1, 2.5, None, True]}},
        settings=Settings(submission_throttle=4, use_tmp=True),
    ),
    e.EnvironmentRecorded(
        environment=RecordedEnvironment(
            digest="ab" * 32, variables={"BASH_FUNC_module%%": "0a1b2c3d", "PATH": "4e5f6071"}, umask=0o007,
            limits={"stack": -1, "nofile": 1024}, nice=5, export="ALL,A", given=("A",),
        ),
        reason="a newer compiler",
    ),
    e.StepTemplateAdded(name="sim", description="simulates", run={"cmd": "run", "nodes": 2, "depends": ["a", "b_*"]}),
    e.StepAdded(
        name="sim_SIZE.10", template="sim", workspace="sim/SIZE.10", params=PARAMS, parents=(1, 2), funnels=("pre",),
        workspaces={"pre": "pre"}, scheduled=True, restart_limit=3, row=2,
    ),
    e.SettingsChanged(what="adapter", before={"type": "local"}, after={"type": "lsf"}, reason="moved"),
    e.StudyPaused(reason="maintenance"),
    e.StudyResumed(reason="over"),
    e.CancelRequested(steps=(1, 2), reason="wrong input"),
    e.StudyReopened(reason="retry"),
    e.StepImported(
        state=State.CANCELLED, job_id="17", submitted_at=1, started_at=2, ended_at=3, restarts=1, message="by hand",
        evidence=SAID,
    ),
    e.StepRecovered(
        state=State.CANCELLED, attempt=3, job_id="17", started_at=2, ended_at=3, restarts=1, message="seen",
        evidence=SAID,
    ),
    e.LogRecovered(head="ab", reason="the disk died"),
    e.EventsCorrected(head="ab", corrections=(e.Correction(seq=3, data="{}"),), reason="an old version"),
    e.JobSubmitted(
        token="t1", job_id="17", adopted=True, host="login1", instance="b1", script_digest="cd",
        other_digest="ef", edited=True, evidence=SAID, left_out=("--mincpus=70",)
    ),
    e.SubmissionRejected(token="t1", message="invalid partition", exit_code=1),
    e.AttemptAbandoned(token="t1", evidence=SAID),
    e.JobStarted(token="t1", at=5, host="node1", evidence=SAID),
    e.JobNotFound(token="t1", evidence=SAID),
    e.JobReappeared(token="t1"),
    e.StepFinished(token="t1", at=6, exit_code=0, evidence=SAID),
    e.StepFinished(token="t1", at=6, usage=USED),
    e.UsageReported(token="t1", usage=USED),
    e.StepTimedOut(token="t1", at=6, final="restart limit reached: 1 of 1", evidence=SAID),
    e.HardwareFailed(token="t1", at=6, number=1, limit=3, reason="node failed", evidence=SAID),
    e.StepFailed(
        at=6, cause=Cause.EXIT_CODE, message="exit code 1", token="t1", exit_code=1, blocker=3, evidence=SAID
    ),
    e.StepCancelled(at=6, message="cancelled", token="t1", blocker=3, evidence=SAID),
    e.OutputDoubted(host="login1", alive_at=7, booted_at=8),
    e.StepReset(reason="new input", from_scratch=True, keep_script=True),
    e.ScriptSetAside(script="a/a.sh", kept_as="a/a.sh.edited", digest="12"),
    e.StepSkipped(by="me", reason="not needed"),
    e.StepHeld(reason="look first"),
    e.StepReleased(reason="looked"),
)  # fmt: skip

SAMPLES = MINIMAL + FULL
