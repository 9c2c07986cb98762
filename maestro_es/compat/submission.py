"""Maestro's records of the outcome of a submission and of a cancellation."""

from __future__ import annotations

from typing import Any

from maestro_es.compat.abstracts import Record, SubmissionCode
from maestro_es.core.model import CancelCode


class SubmissionRecord(Record):
    """The outcome of a submission: its code, the exit code of the scheduler's command, and the job's id."""

    def __init__(self, subcode: Any, retcode: int, jobid: Any = -1) -> None:  # noqa: ANN401 - of any kind
        super().__init__()
        self._subcode = subcode
        self._info["retcode"] = retcode
        if subcode == SubmissionCode.OK:
            self._info["jobid"] = jobid

    @property
    def job_identifier(self) -> Any:  # noqa: ANN401 - a string or a number
        """The job's id; None if the submission has failed."""
        return self._info.get("jobid")

    @property
    def submission_code(self) -> Any:  # noqa: ANN401 - as given
        """Whether the submission was accepted."""
        return self._subcode

    @property
    def return_code(self) -> int:
        """The exit code of the scheduler's command."""
        return int(self._info["retcode"])

    def add_info(self, key: str, value: Any) -> None:  # noqa: ANN401 - of any kind
        """Add a value."""
        self._info[key] = value


class CancellationRecord(Record):
    """The outcome of a cancellation, as a whole and for each job."""

    def __init__(self, cancel_status: CancelCode, retcode: int) -> None:
        super().__init__()
        self._status: dict[CancelCode, set[str]] = {CancelCode.OK: set(), CancelCode.ERROR: set()}
        self._cstatus = cancel_status
        self._retcode = retcode

    def add_status(self, jobid: str, cancel_status: CancelCode) -> None:
        """Add the outcome of the cancellation of one job."""
        if not isinstance(cancel_status, CancelCode):
            raise TypeError(f"cancel_status must be a CancelCode, not {type(cancel_status).__name__}")
        self._status[cancel_status].add(jobid)

    @property
    def cancel_status(self) -> CancelCode:
        """Whether the cancellation was accepted."""
        return self._cstatus

    @property
    def return_code(self) -> int:
        """The exit code of the scheduler's command."""
        return self._retcode

    def lookup_status(self, cancel_status: CancelCode) -> set[str]:
        """Return the jobs whose cancellation has this code."""
        return self._status.get(cancel_status, set())
