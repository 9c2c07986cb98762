"""What users do in a simulated week. Like the commands, they use `ExecutionGraph`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress

from maestro_es.core.model import Phase, StepRecord
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.execution_graph.building import StudyStep
from maestro_es.execution_graph.graph import ExecutionGraph
from maestro_es.study.invocation import Driver
from tools.simulation.ledger import Ledger
from tools.simulation.machine import Machine
from tools.simulation.promises import Promises
from tools.simulation.runner import Site
from tools.simulation.ticking import Ticker

#: What `why` says about a step that a user has to give up.
_ADVICE = re.compile(r"'maestro-es retry \S+ (\S+) --lost'")

#: The values among which a user chooses a limit.
_LIMITS = (0, 1, 2, 5)


class People:
    """The requests of users."""

    def __init__(self, site: Site, ledger: Ledger, ticker: Ticker, promises: Promises) -> None:
        self._site = site
        self._ledger = ledger
        self._ticker = ticker
        self._promises = promises
        self._moves = 0
        self._added = 0
        self.requests: dict[str, Callable[[ExecutionGraph, str, int], object]] = {
            "cancel step": lambda graph, step, _: graph.end_steps(step, wait_s=0),
            "cancel study": lambda graph, _step, _: graph.end_steps(wait_s=0),
            "retry failed": lambda graph, _step, _: graph.retry(failed=True),
            "retry step": lambda graph, step, number: graph.retry(step, descendants=number % 2 == 0),
            "skip": lambda graph, step, _: graph.skip(step),
            "hold": lambda graph, step, _: graph.hold(step),
            "release": lambda graph, step, _: graph.release(step),
            "pause": lambda graph, _step, _: graph.pause(),
            "resume": lambda graph, _step, _: graph.resume(),
            "throttle": lambda graph, _step, number: graph.update(submission_throttle=number % 4),
            "restart limit": lambda graph, _step, number: graph.update(restart_limit=_LIMITS[number % 4]),
            "hardware limit": lambda graph, _step, number: graph.update(hardware_limit=_LIMITS[number % 4]),
            "reopen": lambda graph, _step, _: graph.reopen(),
            "retry lost": self._retry_lost,
            "add step": self._add_step,
            "retry doubted": lambda graph, _step, _: graph.retry_doubted(),
        }

    def ask(self, kind: str, machine: Machine, first: int, second: int) -> None:
        """Make a request about one of the steps. A request that makes no sense is refused."""
        if not machine.is_up:
            return
        steps = [*self._promises.graph.steps()]
        step = steps[first % len(steps)]
        runtime = self._ticker.prepare(machine, Driver.PERSON)
        try:
            with ExecutionGraph.open(self._site.root, runtime) as graph:
                self.requests[kind](graph, step.name, second)
        except RequestRefused as error:
            self._ticker.log(f"refused: {error}")
        except MaestroError as error:
            self._ticker.log(f"{type(error).__name__}: {error}")
        self._promises.look()

    def _retry_lost(self, graph: ExecutionGraph, step: str, _number: int) -> None:
        """Say that the host of a step is gone for good. It may still run there."""
        record = graph.steps[step]
        events = graph.retry_lost(step)
        if events:
            self.excuse(record)

    def follow(self, machine: Machine) -> None:
        """Read `why` about each unfinished step, and give up each attempt that it says may be lost for good."""
        for step in [step for step in self._promises.graph.steps() if step.phase is not Phase.DONE]:
            with ExecutionGraph.open(self._site.root, self._ticker.prepare(machine, Driver.PERSON)) as graph:
                for name in _ADVICE.findall(graph.why(step.name).why):
                    self._ticker.log(f"why {step.name}: retry {name} --lost")
                    with suppress(RequestRefused):
                        self._retry_lost(graph, name, 0)
        self._promises.look()

    def _add_step(self, graph: ExecutionGraph, step: str, number: int) -> None:
        """Add a step that depends on another one."""
        self._added += 1
        name = f"added{self._added}"
        graph.add_step(name, StudyStep(name, "", {"cmd": "true", "nodes": number % 2}), name, 1)
        graph.add_connection(step, name)

    def excuse(self, step: StepRecord) -> None:
        """Note that a user has said something about an attempt that may be wrong."""
        self._ledger.excused.add(step.token)
        self._ledger.hurt.add(step.token)

    def rename(self) -> None:
        """Move the study to another directory."""
        self._moves += 1
        target = self._site.root.with_name(f"study{self._moves}")
        os.rename(self._site.root, target)
        self._site.root = target
        self._promises.moved()

    def edit_script(self, first: int) -> None:
        """Edit the script of a step, if it has one by now."""
        steps = [*self._promises.graph.steps()]
        folder = self._site.root / steps[first % len(steps)].workspace
        for path in sorted(folder.glob("*.sh")) if folder.is_dir() else ():
            path.write_text(f"{path.read_text()}# edited\n")
