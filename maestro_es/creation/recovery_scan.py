"""Collects the evidence of a study's attempts outside its log: claims, reports, jobs and the status table.

`maestro_es.creation.recovery_rules` decides what the evidence means for a step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import structs

from maestro_es.adapters.base import Adapters, JobInfo
from maestro_es.core import file_names
from maestro_es.core.attempt_token import attempt_of, is_of_study, step_of
from maestro_es.core.environment import Environment
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import JobState, Micros, Phase, StepRecord
from maestro_es.core.observations import Report
from maestro_es.creation.recovery_rules import Trace
from maestro_es.errors import RequestRefused, StudyError, Unreachable
from maestro_es.study import claims
from maestro_es.study.environment_file import environment_of
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.reports import read_reports
from maestro_es.study_file.maestro_status import Row, read_rows


@dataclass
class RecoveryFindings:
    """The evidence: attempts by step, rows of the status table by step name, and warnings for the user."""

    host: str
    traces: dict[int, list[Trace]] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def attempts(self, number: int) -> tuple[Trace, ...]:
        """Return the traces of a step's attempts."""
        return tuple(self.traces.get(number, ()))


def scan(graph: MemoryGraph, study_dir: StudyDir, runtime: Runtime, since: Micros) -> RecoveryFindings:
    """Collect all evidence. Unreachable if a scheduler or the file system does not answer."""
    study_record = graph.study
    environment = environment_of(study_dir, study_record)
    if (
        environment.problem
    ):  # the environment file may be lost, so use this process's environment to reach the scheduler
        environment = Environment(dict(os.environ))
    adapters = runtime.adapters(study_record.adapter, runtime.host._replace(environment=environment))
    findings = RecoveryFindings(runtime.host.name)
    jobs = _jobs(graph, study_dir, adapters)
    reports = _reports(study_dir)
    for step in graph.steps():
        tokens = _tokens(study_dir, step, study_record.study_id, [*jobs, *reports])
        findings.traces[step.number] = [_trace(study_dir, step, token, reports, jobs) for token in sorted(tokens)]
    _recall(graph, adapters, findings)
    for token in sorted({*jobs, *reports}):
        if is_of_study(token, study_record.study_id) and step_of(token) > study_record.steps:
            what = f"job {jobs[token].job_id}" if token in jobs else "a report"
            findings.warnings.append(f"{what} of attempt {token} belongs to a step that the export does not have")
    _table(graph, study_dir, since, findings)
    return findings


def _jobs(graph: MemoryGraph, study_dir: StudyDir, adapters: Adapters) -> dict[str, JobInfo]:
    """Return the jobs of the schedulers by token. The runner may be in the study's present or earlier directory."""
    if not adapters.scheduler.can_submit and any(step.attempt for step in graph.steps() if step.scheduled):
        raise RequestRefused(f"maestro-es can't query {adapters.scheduler.name} for jobs")
    runners = {str(study_dir.runner), str(Path(graph.study.root) / file_names.STATE_DIR / file_names.RUNNER)}
    jobs = adapters.local.find_by_token(runners)
    if adapters.scheduler is not adapters.local:
        jobs.update(adapters.scheduler.find_by_token(runners))
    return jobs


def _reports(study_dir: StudyDir) -> dict[str, list[Report]]:
    reports: dict[str, list[Report]] = {}
    try:
        for report in read_reports(study_dir.inbox):
            reports.setdefault(report.token, []).append(report)
    except OSError as error:
        raise Unreachable(f"{study_dir.inbox}: {error.strerror}") from None
    return reports


def _tokens(study_dir: StudyDir, step: StepRecord, study_id: str, known: Sequence[str]) -> set[str]:
    """Return the tokens of a step that have any trace: a claim, a report or a job."""
    try:
        claimed = claims.tokens_claimed(study_dir.path(step.workspace))
    except OSError as error:
        raise Unreachable(f"{study_dir.path(step.workspace)}: {error.strerror}") from None
    ours = {token for token in [*claimed, *known] if is_of_study(token, study_id) and attempt_of(token)}
    return {token for token in ours if step_of(token) == step.number}


def _trace(
    study_dir: StudyDir, step: StepRecord, token: str, reports: Mapping[str, list[Report]], jobs: Mapping[str, JobInfo]
) -> Trace:
    try:
        claim = claims.read_claim(study_dir.path(step.workspace), token)
    except OSError as error:
        raise Unreachable(f"{study_dir.path(step.workspace)}: {error.strerror}") from None
    return Trace(token, attempt_of(token), claim, tuple(reports.get(token, ())), jobs.get(token))


def _recall(graph: MemoryGraph, adapters: Adapters, findings: RecoveryFindings) -> None:
    """Query the accounting for claimed jobs without a report and without an entry in the queue."""
    unknown = [
        structs.replace(step, token=trace.token, job_id=trace.claim.job_id, phase=Phase.SUBMITTED)
        for step in graph.steps()
        if step.scheduled and step.phase is not Phase.DONE
        for trace in findings.attempts(step.number)
        if trace.claim.job_id and not trace.can_be_reconciled
    ]
    answers = adapters.scheduler.query_accounting(unknown) if unknown else {}
    for traces in findings.traces.values():
        for index, trace in enumerate(traces):
            seen = answers.get(trace.token)
            if seen and seen.state is not JobState.GONE:
                traces[index] = replace(trace, seen=seen)


def _table(graph: MemoryGraph, study_dir: StudyDir, since: Micros, findings: RecoveryFindings) -> None:
    """Read the status table, if a tick has written it since the export."""
    try:
        if study_dir.status_csv.stat().st_mtime_ns // 1000 >= since:
            findings.rows = read_rows(study_dir.status_csv, [step.name for step in graph.steps()])
    except FileNotFoundError:
        return
    except (OSError, StudyError) as error:
        findings.warnings.append(f"{study_dir.status_csv}: is ignored: {error}")
