"""The commands of a simulated Slurm. They print what those of Slurm 23.02 print, and fail on demand.

`answers` says what happens to the next submissions. Its elements are those of `tools.testbed.scheduler` and of
`tests.fakes.slurm_commands`. Other faults last for a time: they are the moods of the cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from maestro_es.adapters.array_map import map_path
from maestro_es.adapters.command import Completed
from tools.simulation.cluster import Cluster, ClusterJob, Submitted
from tools.simulation.ledger import Ledger
from tools.simulation.scenario import Scenario
from tools.simulation.timeline import Timeline

_FAILED = "sbatch: error: Batch job submission failed: "
_FULL = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
    f"{_FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
)
_DOWN = "error: Unable to contact slurm controller (connect failure)\n"

#: The answers to submissions that queue nothing. Those about arrays apply to arrays only.
_REFUSALS = {
    "refuse": f"{_FAILED}Invalid partition name specified\n",
    "full": _FULL,
    "deaf": f"{_FAILED}Unable to contact slurm controller (connect failure)\n",
    "no array": f"{_FAILED}Invalid job array specification\n",
    "full array": _FULL,
}

#: The answer if a job was queued and sbatch did not hear of it.
_TIMED_OUT = Completed(1, "", f"{_FAILED}Socket timed out on send/recv operation\n")

#: The moods in which squeue prints something else.
_GARBLED = {"garbled": "\ufffd welcome\n", "cut off": "JOBID|STATE NODELIST END_TIME|REASON|COMMAND\n7|RUNN"}

_CONFIG = (
    "ClusterName             = simulated\nSLURM_VERSION           = 23.02.7\nMaxArraySize            = 1001\n"
    "AccountingStorageType   = accounting_storage/slurmdbd\nMinJobAge               = 300 sec\n"
)


class Controller:
    """Answers the commands of Slurm."""

    def __init__(self, scenario: Scenario, timeline: Timeline, ledger: Ledger, cluster: Cluster) -> None:
        self.answers: list[str] = []
        self._has_accounts = scenario.accounting
        self._timeline = timeline
        self._ledger = ledger
        self._cluster = cluster
        self._last_id = 100
        self._commands = {"sbatch": self._sbatch, "squeue": self._squeue, "scancel": self._scancel}

    def run(self, argv: Sequence[str]) -> Completed | None:
        """Run a command. None if it does not answer."""
        name = argv[0].rpartition("/")[2]
        if name == "sacct":
            return self._sacct()
        if self._cluster.is_in("hang"):
            return None
        if self._cluster.is_in("silent"):
            return Completed(1, "", f"{name}: {_DOWN}")
        return self._commands[name](argv) if name in self._commands else Completed(0, _CONFIG, "")

    # -- submissions --------------------------------------------------------------------------------------------------

    def _sbatch(self, argv: Sequence[str]) -> Completed:
        is_array = any(option.startswith("--array=") for option in argv)
        answer = self.answers.pop(0) if self.answers else "accept"
        if answer in _REFUSALS and (is_array or "array" not in answer):
            if answer == "refuse":
                self._ledger.refused.update(submitted.token for _, submitted in _elements(argv))
            return Completed(1, "", _REFUSALS[answer])
        jobs = self._add(argv, same_id=answer == "reuse", is_array=is_array)
        if answer == "twice":
            jobs = self._add(argv, is_array=is_array)
        for job in jobs:
            if answer == "lose":
                self._cluster.lose(job)
            if answer == "late":
                self._cluster.hide(job)
        if answer in ("doubt", "late"):
            return _TIMED_OUT
        return Completed(0, "Submitted to \ufffd the cluster\n" if answer == "garbage" else f"{self._last_id}\n", "")

    def _add(self, argv: Sequence[str], *, is_array: bool, same_id: bool = False) -> list[ClusterJob]:
        self._last_id += not same_id
        jobs = []
        for index, submitted in _elements(argv):
            job = ClusterJob(f"{self._last_id}_{index}" if is_array else str(self._last_id), submitted)
            self._cluster.add(job)
            jobs.append(job)
        return jobs

    # -- queries ------------------------------------------------------------------------------------------------------

    def _squeue(self, argv: Sequence[str]) -> Completed:
        listed = self._cluster.listed()
        if "--states=CANCELLED,FAILED" in argv:
            ended = (job for job in listed if job.state in ("CANCELLED", "FAILED"))
            return _table("", (f"{job.job_id:40}{job.restarts:<20}" for job in ended))
        for mood, text in _GARBLED.items():
            if self._cluster.is_in(mood):
                return Completed(0, text, "")
        return _table("JOBID|STATE NODELIST END_TIME|REASON|COMMAND", map(self._row, listed))

    def _row(self, job: ClusterJob) -> str:
        is_strange = self._cluster.is_in("strange state") and not job.is_over
        reason = "AssocGrpCpuLimit" if self._cluster.is_in("delayed") and job.state == "PENDING" else "None"
        ended = _time(job.ended) if job.is_over else "N/A"
        state = "FUTURE_STATE" if is_strange else job.state
        return f"{job.job_id}|{state} {job.node} {ended}|{reason}|{job.submitted.command}"

    def _sacct(self) -> Completed:
        if not self._has_accounts:
            return Completed(1, "", "Slurm accounting storage is disabled\n")
        if self._cluster.is_in("no accounts"):
            return Completed(1, "", "sacct: error: Problem talking to the database: Connection refused\n")
        return _table("JobID|State|ExitCode|End|SubmitLine", self._accounts())

    def _accounts(self) -> Iterator[str]:
        """Yield a row for each run of each job."""
        for job in self._cluster.jobs:
            command = f"sbatch {job.submitted.command}"
            for _ in range(job.restarts):
                yield f"{job.job_id}|REQUEUED|0:0|{_time(self._timeline.now)}|{command}"
            ended = _time(job.ended) if job.is_over else "Unknown"
            state = "CANCELLED by 1000" if job.state == "CANCELLED" else job.state
            yield f"{job.job_id}|{job.accounted or state}|{job.code}|{ended}|{command}"

    def _scancel(self, argv: Sequence[str]) -> Completed:
        if self._cluster.is_in("no cancel"):
            return Completed(1, "", "scancel: error: Kill job error on job id 7: Access/permission denied\n")
        ids = set(_ids(argv[1:]))
        for job in [job for job in self._cluster.jobs if job.job_id in ids and not job.is_over]:
            self._cluster.cancel(job)
        return Completed(0, "", "")


def _elements(argv: Sequence[str]) -> list[tuple[int, Submitted]]:
    """Return the jobs of a submission by index: one, or the elements of an array."""
    at = next(index for index, option in enumerate(argv) if option.startswith("--chdir="))
    runner = argv[at + 1 :]
    command = " ".join(runner)
    if runner[2] != "array":
        return [(0, Submitted(command, runner[1], runner[2], runner[4], is_array=False))]
    elements = []
    for line in map_path(Path(runner[3]) / ".maestro-es", runner[1]).read_text().splitlines():
        index, token, workspace, *_ = [*line.split("\t"), "", ""]
        if token:
            elements.append((int(index), Submitted(command, token, workspace, runner[3], is_array=True)))
    return elements


def _table(header: str, rows: Iterable[str]) -> Completed:
    return Completed(0, "".join(f"{row}\n" for row in [*([header] if header else []), *rows]), "")


def _ids(argv: Sequence[str]) -> list[str]:
    """Return the ids in the arguments of scancel. One argument may name several elements of an array."""
    ids: list[str] = []
    for argument in argv:
        array, sign, indexes = argument.partition("_[")
        for span in indexes.rstrip("]").split(",") if sign else ():
            first, _, last = span.partition("-")
            ids += [f"{array}_{index}" for index in range(int(first), int(last or first) + 1)]
        ids += [] if sign or argument.startswith("-") else [argument]
    return ids


def _time(micros: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000))
