"""The same lives of steps in the library `eventsourcing`: eventsourcing_steps.py FILE write|replay EVENTS.

Each step is an aggregate. `write` saves them in batches; `replay` loads each of them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

BLOCK = 100


class Step(Aggregate):
    """A step."""

    @event("Added")
    def __init__(self, number: int) -> None:
        self.number = number
        self.state = "READY"
        self.token = self.job_id = ""

    @staticmethod
    def create_id(number: int) -> UUID:
        """Return the id of a step."""
        return uuid5(NAMESPACE_URL, str(number))

    @event("Requested")
    def request(self, token: str) -> None:
        """A submission was requested."""
        self.state, self.token = "REQUESTED", token

    @event("Submitted")
    def submit(self, job_id: str) -> None:
        """A job was submitted."""
        self.state, self.job_id = "SUBMITTED", job_id

    @event("Started")
    def start(self, at: int) -> None:
        """The job started."""
        self.state, self.at = "RUNNING", at

    @event("Finished")
    def finish(self, at: int) -> None:
        """The job ended."""
        self.state, self.at = "FINISHED", at


def lived(number: int) -> Step:
    """Return a step with all its events."""
    step: Step = Step(number)
    step.request(f"{number:08x}-{number}-1")
    step.submit(str(number))
    step.start(1_750_000_000_000_000 + number)
    step.finish(1_750_000_000_000_000 + 2 * number)
    return step


def main() -> None:
    """Write or replay."""
    file, what, events = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    application = Application({**os.environ, "PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)})
    numbers = range(1, max(events // 5, 1) + 1)
    if what == "write":
        for first in numbers[::BLOCK]:
            application.save(*map(lived, range(first, min(first + BLOCK, numbers[-1] + 1))))
    else:
        for number in numbers:
            step = application.repository.get(Step.create_id(number))
            assert step.state == "FINISHED"


if __name__ == "__main__":
    main()
