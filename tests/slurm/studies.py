"""Studies on a real Slurm: functions that create a study, run ticks, and read the result."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maestro_es.adapters.base import Adapters
from maestro_es.adapters.host import Host
from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime, make_adapters
from maestro_es.study.session import Session
from tools.testbed.processes import DEADLINE, wait_for

HEAD = """
description: {name: study, description: a study on Slurm}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
"""
LEDGER = "echo $MAESTRO_ES_TOKEN >> $(OUTPUT_PATH)/ledger"


def step(name: str, cmd: str = "", depends: Sequence[str] = (), **run: str) -> str:
    """Return a scheduled step that writes its token to the ledger before it runs its command."""
    more = "".join(f", {key.replace('_', ' ')}: {value}" for key, value in run.items())
    command = f"{LEDGER}; {cmd or 'true'}"
    waits = f", depends: [{', '.join(depends)}]" if depends else ""
    return f"    - {{name: {name}, description: d, run: {{procs: 1, cmd: '{command}'{waits}{more}}}}}\n"


def local_step(name: str, cmd: str) -> str:
    """Return a local step."""
    return f"    - {{name: {name}, description: d, run: {{cmd: '{cmd}'}}}}\n"


def until(file: str) -> str:
    """Return a command that waits until the test creates a file in its directory."""
    return f"until [ -e $(SPECROOT)/{file} ]; do sleep 0.1; done"


def impatient(batch: Mapping[str, Any], host: Host) -> Adapters:
    """The adapters of a study, with a grace of a second: safety does not rest on it, and a test does not wait."""
    adapters = make_adapters(batch, host)
    adapters.scheduler.grace_seconds = 1
    return adapters


RUNTIME = Runtime(adapters=impatient)


def finish(root: Path, runtime: Runtime = RUNTIME, seconds: float = 120) -> StudyStatus:
    """Run ticks until a study has ended."""
    deadline = time.monotonic() + seconds
    with Session(root, runtime) as study:
        while study.status is StudyStatus.RUNNING and time.monotonic() < deadline:
            tick(study)
            time.sleep(0.1)
        verify(study.log)
        return study.status


def wait_for_states(root: Path, **states: State) -> None:
    """Run ticks until the steps are in these states."""
    deadline = time.monotonic() + DEADLINE
    with Session(root, RUNTIME) as study:
        while True:
            tick(study)
            found = {step.name: step.state for step in study.graph.steps()}
            if all(found[name] is state for name, state in states.items()):
                return
            assert time.monotonic() < deadline, f"still {found}"
            time.sleep(0.1)


def tick_until(root: Path, kind: type[e.Event]) -> None:
    """Run ticks until an event of this type is recorded."""

    def happened() -> bool:
        with Session(root, RUNTIME) as study:
            tick(study)
            return any(isinstance(recorded.event, kind) for recorded in study.log.events())

    wait_for(happened, 2 * DEADLINE)  # a job without a trace has a grace time of a minute


def states(root: Path) -> dict[str, str]:
    with (root / "status.csv").open() as table:
        return {row["Step Name"]: row["State"] for row in csv.DictReader(table)}


def events(root: Path, kind: type[e.Event]) -> list[Any]:
    with Session(root, RUNTIME) as study:
        return [recorded.event for recorded in study.log.events() if isinstance(recorded.event, kind)]


def ledger(root: Path) -> list[str]:
    """The tokens that have run; none may be in it twice."""
    tokens = (root / "ledger").read_text().split()
    assert len(set(tokens)) == len(tokens)
    return tokens
