"""The study of the crash matrix, with thirty steps that sign a ledger, and the judge that checks the ledger.

The steps form a chain, a fan and a funnel. One step times out and is restarted, and some steps are local. Each attempt
signs the ledger when it begins and when it ends. It holds a lock while any of its processes lives. If an attempt finds
the lock of its step held, it signs this, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from msgspec import structs

from maestro_es.core import events as e
from maestro_es.core.attempt_token import attempt_of, step_of
from maestro_es.core.model import FAILED_STATES, ArrayUse, Settings, State, StepRecord
from maestro_es.errors import MaestroError
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.testbed.studies import Step, make_study

#: The final states of a failure. A test expects them for a step that it cancels or kills.
BAD = (*FAILED_STATES, State.CANCELLED)

#: The limits allow any number of resubmissions, because faults may hit a step many times.
SETTINGS = Settings(local_slots=6, abandon_limit=0, hardware_limit=0)

#: The first and the last commands of a step. It holds its lock while any of its processes lives, and signs the ledger.
BEGIN = "exec 9>>.lock; flock -n 9 || echo twice $MAESTRO_ES_TOKEN >>{ledger}; echo begin $MAESTRO_ES_TOKEN >>{ledger}"
END = "echo end $MAESTRO_ES_TOKEN >>{ledger}"


def thirty_steps(ledger: Path, *, seconds: float, walltime: str) -> list[Step]:
    """Return the steps, each of which takes `seconds`.

    One times out. It is a job with this walltime or, if that is empty, a local step.
    """
    begin = BEGIN.format(ledger=ledger)
    cmd = f"{begin}; sleep {seconds:g}; {END.format(ledger=ledger)}"
    slow = Step(
        "slow",
        f"{begin}; sleep 1000",
        cmd,
        walltime or "00:00:01",
        parents=("pre",),
        scheduled=bool(walltime),
        restart_limit=0,
    )
    return [
        Step("pre", cmd),
        *(Step(f"chain_{n}", cmd, parents=(f"chain_{n - 1}" if n else "pre",), scheduled=True) for n in range(6)),
        *(Step(f"fan_{n}", cmd, template="fan", parents=("pre",), scheduled=True) for n in range(10)),
        Step("join", cmd, funnels=("fan",), scheduled=True),
        slow,
        *(Step(f"side_{n}", cmd, parents=("pre",) if n % 2 else ()) for n in range(4)),
        *(Step(f"late_{n}", cmd, template="late", parents=("join",), scheduled=True) for n in range(5)),
        Step("sum", cmd, funnels=("late",)),
        Step("post", cmd, parents=("sum", "slow", "chain_5"), scheduled=True),
    ]


def create(
    root: Path, steps: Iterable[Step], batch: Mapping[str, Any], keys: Mapping[str, Any], *, arrays: bool = False
) -> None:
    """Create a study of these steps, whose scheduled ones have more `keys`.

    With `arrays`, equal steps are submitted as one job array.
    """
    steps = [replace(step, keys=keys) if step.scheduled else step for step in steps]
    settings = structs.replace(SETTINGS, array=ArrayUse.ALWAYS if arrays else ArrayUse.NEVER)
    make_study(root, steps, settings, dict(batch), Runtime())


@dataclass
class Outcome:
    """The result of a study: the broken promises, and counts of events.

    `beside` lists attempts that began while another one still ran. The scheduler had reported a failure of its node.
    """

    status: str = ""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrongly_failed: list[str] = field(default_factory=list)
    broken: str = ""
    beside: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    adopted: int = 0
    reused_ids: int = 0

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return not (self.lost or self.doubled or self.wrongly_failed or self.broken)

    def __add__(self, other: Outcome) -> Outcome:
        """Return the sum of both results."""
        return Outcome(
            other.status, self.lost + other.lost, self.doubled + other.doubled,
            self.wrongly_failed + other.wrongly_failed, self.broken or other.broken, self.beside + other.beside,
            dict(Counter(self.events) + Counter(other.events)), self.adopted + other.adopted,
            self.reused_ids + other.reused_ids,
        )  # fmt: skip


def judge(root: Path, ledger: Path, expected: Mapping[str, State]) -> Outcome:
    """Compare the ledger with the log. Steps in `expected` may end in another state than FINISHED."""
    outcome = Outcome()
    with Session(root) as study:
        try:
            verify(study.log)
        except MaestroError as error:
            outcome.broken = str(error)
        outcome.status = study.status.name
        steps = list(study.graph.steps())
        recorded = [item.event for item in study.log.events()]
    outcome.events = dict(Counter(type(event).__name__ for event in recorded))
    submitted = [event for event in recorded if isinstance(event, e.JobSubmitted)]
    outcome.adopted = sum(event.adopted for event in submitted)
    outcome.reused_ids = _reused(submitted)
    signed = _signatures(ledger)
    told = {(step_of(f.token), attempt_of(f.token) + 1) for f in recorded if _is_node_failure(f)}
    outcome.beside = [token for token in signed.get("twice", ()) if (step_of(token), attempt_of(token)) in told]
    given_up = [event.token for event in recorded if isinstance(event, (e.AttemptAbandoned, e.SubmissionWithdrawn))]
    outcome.doubled = _doubled(signed, outcome.beside, given_up)
    outcome.lost = _lost(steps, signed.get("end", []))
    bad = (step for step in steps if step.state in BAD)
    outcome.wrongly_failed = [f"{s.name} {s.state.name}" for s in bad if s.state is not expected.get(s.name)]
    return outcome


def _signatures(ledger: Path) -> dict[str, list[str]]:
    """Return the tokens in the ledger by their signature: "begin", "end" or "twice"."""
    signed: dict[str, list[str]] = {}
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        word, _, token = line.partition(" ")
        signed.setdefault(word, []).append(token)
    return signed


def _is_node_failure(event: e.Event) -> TypeGuard[e.HardwareFailed]:
    """Return whether the scheduler has reported that the node of a job has failed."""
    return isinstance(event, e.HardwareFailed) and any("NODE_FAIL" in said.detail for said in event.evidence)


def _doubled(signed: Mapping[str, list[str]], told: Iterable[str], given_up: Iterable[str]) -> list[str]:
    """Return the attempts that began twice, while another attempt of the step ran, or after they were abandoned.

    An attempt beside another one is left out if the scheduler had reported (`told`) that the other one had failed.
    """
    begun = Counter(signed.get("begin", ()))
    again = [f"{token} began {n} times" for token, n in begun.items() if n > 1]
    again += [f"{token} began though it was given up" for token in given_up if token in begun]
    return again + [
        f"{token} began beside another of its step" for token in signed.get("twice", ()) if token not in told
    ]


def _lost(steps: Iterable[StepRecord], ended: list[str]) -> list[str]:
    """Return the steps that ended without running and without a reason, and those that wait for ever."""
    reached = {step_of(token) for token in ended}
    done = (State.FINISHED, *BAD)
    return [
        f"{step.name} {step.state.name}"
        for step in steps
        if step.state not in done or (step.state is State.FINISHED and step.number not in reached)
    ]


def _reused(submitted: Iterable[e.JobSubmitted]) -> int:
    """Return how many job ids were used for more than one attempt."""
    owners: dict[str, set[str]] = {}
    for event in submitted:
        if not event.host:
            owners.setdefault(event.job_id, set()).add(event.token)
    return sum(len(tokens) > 1 for tokens in owners.values())


def waiting_for(steps: Iterable[Step], name: str) -> set[str]:
    """Return the steps that can't run if this one does not finish."""
    found: set[str] = set()
    border = [name]
    by_name = {step.name: step for step in steps}
    while border:
        origin = by_name[border.pop()]
        for step in by_name.values():
            if step.name not in found and (origin.name in step.parents or (origin.template in step.funnels)):
                found.add(step.name)
                border.append(step.name)
    return found


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a trial.

    It has its own home, and keeps bytecode, so that ticks start as fast as for users.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "MAESTRO_ES_HOME": str(folder / "home")}
