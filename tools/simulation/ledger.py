"""What has really happened: the steps that ran, and the mistakes of the scheduler and of users.

Runners write the ledger. `tools.simulation.promises` compares the log with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tools.simulation.timeline import Timeline


def step_of(token: str) -> int:
    """Return the number of the step of a token."""
    return int(token.split("-")[1])


def attempt_of(token: str) -> int:
    """Return the number of the attempt of a token."""
    return int(token.split("-")[2])


@dataclass
class Run:
    """One start of a step. `end` is empty while it runs: exit, timeout, stopped, killed or memory."""

    token: str
    where: str
    began: int
    end: str = ""
    code: int | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the step runs."""
        return not self.end


class Ledger:
    """All runs by token. `broken` collects the promises that were broken.

    `excused` are the tokens about which the scheduler or a user has said something wrong: their steps may run although
    the log says that they have ended. `refused` counts the refusals of each token. `hurt` are the tokens whose jobs
    somebody or something has ended or disturbed. `cancelled` are the tokens whose jobs were cancelled with
    scancel. `signalled` are those of local steps that got SIGTERM.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.runs: dict[str, list[Run]] = {}
        self.broken: list[str] = []
        self.excused: set[str] = set()
        self.hurt: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.signalled: set[str] = set()
        self.is_current: Callable[[str], bool] = lambda _token: True
        self._timeline = timeline

    def blame(self, what: str) -> None:
        """Note a broken promise."""
        self.broken.append(what)

    def begin(self, token: str, where: str) -> Run:
        """Note that a step starts."""
        if token in self.runs:
            self.blame(f"the token {token} has started twice")
        for run in self.alive(step_of(token)):
            if run.token not in self.excused:
                self.blame(f"{token} starts on {where} while {run.token} runs on {run.where}")
        if not self.is_current(token):
            self.blame(f"{token} starts although the log has given it up")
        run = Run(token, where, self._timeline.now)
        self.runs.setdefault(token, []).append(run)
        return run

    def finish(self, run: Run, end: str, code: int | None = None) -> bool:
        """Note how a step has ended. Returns whether it still ran."""
        if run.end:
            return False
        run.end, run.code = end, code
        return True

    def alive(self, step: int) -> list[Run]:
        """Return the runs of a step that have not ended."""
        return [run for runs in self.runs.values() for run in runs if run.is_alive and step_of(run.token) == step]

    def last(self, token: str) -> Run | None:
        """Return the run of a token."""
        return self.runs[token][-1] if token in self.runs else None
