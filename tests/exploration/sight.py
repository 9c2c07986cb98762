"""Runs the real `Observer._observe_attempt` on the observations of an explored poller."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from maestro_es.adapters.base import JobInfo
from maestro_es.core.model import JobState, Phase, State, StepRecord
from maestro_es.core.observations import Claim, NoAnswer
from maestro_es.poller.observe import Observer
from tests.exploration.log import CLAIMS, Seen, observed, token

_ADAPTER = SimpleNamespace(has_orphans=lambda _step: False)


class _Observer(Observer):
    """An observer that has collected its data and now combines it. If it reads the claim, the content is `claim`.

    Its grace time is over. The explorer decides later whether this is so.
    """

    def __init__(self, claim: Claim) -> None:
        self._says = claim
        self._adapters: Any = SimpleNamespace(of=lambda _step: _ADAPTER, scheduler=_ADAPTER)
        self._inputs: Any = SimpleNamespace(ended=(), now=0)
        self._usages = {}
        self.reads = False

    def _claim(self, step: StepRecord) -> Claim:
        self.reads = True
        return self._says

    def _within_grace(self, step: StepRecord, graces: int = 1) -> bool:
        return False


@cache
def sight(seen: Seen, attempt: int, phase: Phase, state: State, claim: str) -> tuple[bool, Seen]:
    """Return whether the claim is read (again), and the observation if its content is `claim`."""
    observer = _Observer(CLAIMS[claim])
    before = observed(seen, attempt)
    step = StepRecord(
        number=1, name="step", template="step", params=(), workspace="step", workspaces={}, scheduled=True, row=1,
        restart_limit=0, token=token(attempt), attempt=attempt, phase=phase, state=state,
    )  # fmt: skip
    answer: JobInfo | NoAnswer = (
        JobInfo(before.queue, before.raw_state, before.exit_code, before.job_id)
        if isinstance(before.queue, JobState)
        else before.queue
    )
    found = observer._observe_attempt(step, before.reports, answer, before.claim if phase is Phase.REQUESTED else None)
    states: Mapping[bool, Seen] = {
        False: seen._replace(start_recorded=found.start_recorded),
        True: seen._replace(start_recorded=found.start_recorded, claim=claim),
    }
    return observer.reads, states[observer.reads]
