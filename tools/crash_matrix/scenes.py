"""Scenes are small studies in a fixed state, in which each tick has the same work to do.

So the N-th call of a tick is the same in every study of a scene, and all calls can be tried one after the other. The
steps wait for a gate, a named pipe. It opens after the tick was killed, and then more ticks run the study to its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from maestro_es.core import requests
from maestro_es.core.model import State, StepRecord
from maestro_es.study.session import Session
from tools.crash_matrix import ticks
from tools.crash_matrix.calls import Point
from tools.crash_matrix.schedulers import SlurmOfTrials, TrialScheduler
from tools.crash_matrix.study import BEGIN, END
from tools.crash_matrix.ticks import How
from tools.crash_matrix.trial import Trial
from tools.testbed.processes import arguments, send
from tools.testbed.studies import Step

#: Seconds until a scene must be ready. For example, a busy Slurm may refuse a job.
_PATIENCE = 150.0
#: Grace times with which a doubt is certainly fresh or certainly old.
_NEVER, _AT_ONCE = 3600.0, 0.0

#: From this number of jobs on, one command submits them.
MANY = 3

Wait = Iterator[None]


class Stage(Trial):
    """One study of a scene."""

    def __init__(self, trial: Trial, number: int, scene: Scene) -> None:
        folder = trial.folder / f"stage-{number}"
        folder.mkdir()
        super().__init__(folder, trial.scheduler, trial.task, seconds=0)
        self.how = How(side_by_side=False, many=scene.how.many, sabotage=trial.how.sabotage)
        self.scene = scene
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        self.journal = self.dir.log.with_name("events.db-journal")
        self.steps = []
        self.due = 0.0
        self.ready = True

    def step(self, name: str, *, scheduled: bool = True, parents: tuple[str, ...] = (), template: str = "") -> None:
        """Add a step that waits for the gate."""
        words = f"{BEGIN}; : <{self.gate}; {END}".format(ledger=self.ledger)
        self.steps.append(Step(name, words, template=template, parents=parents, scheduled=scheduled))

    def open_gate(self) -> None:
        """Let all steps continue, while this process lives."""
        os.open(self.gate, os.O_RDWR)

    def slow(self, name: str, walltime: str, *, scheduled: bool) -> None:
        """Add a step that times out and is restarted."""
        begin, end = BEGIN.format(ledger=self.ledger), END.format(ledger=self.ledger)
        self.steps.append(
            Step(name, f"{begin}; sleep 1000", f"{begin}; {end}", walltime, scheduled=scheduled, restart_limit=0)
        )

    def begun(self) -> bool:
        """Return whether all submitted steps have signed, and their runners have reported the start."""
        signed = self.ledger.read_text().count("begin") if self.ledger.exists() else 0
        started = len(list(self.dir.inbox.glob("*.started")))
        return (signed, started) == (2, 1)

    def named(self, name: str) -> StepRecord:
        """Return the record of a step in the log."""
        with Session(self.root) as study:
            return study.graph.step(study.graph.number_of(name) or 0)

    def said(self, *endings: str) -> bool:
        """Return whether these reports are in the inbox, and the job of step `s1` has ended for its scheduler."""
        there = all(list(self.dir.inbox.glob(f"*{ending}")) for ending in endings)
        return there and self.scheduler.has_ended(self.named("s1").job_id)

    def state(self) -> str:
        """Return a digest of all files in the study's directory, after a reader has opened the log.

        The first reader rolls back an interrupted commit. Afterwards the journal is empty.
        """
        Session(self.root).log.close()
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.journal, 0)
        digest = hashlib.sha256()
        for folder, folders, files in sorted(os.walk(self.root)):
            for name in sorted({*folders, *files} - {self.journal.name, self.dir.tick_lock.name}):
                path = Path(folder, name)
                mode = path.lstat().st_mode
                digest.update(f"{path} {mode}".encode())
                if stat.S_ISLNK(mode):
                    digest.update(os.readlink(path).encode())
                elif stat.S_ISREG(mode):
                    digest.update(path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Scene:
    """The state before a tick. `arrange` creates the study and brings it into this state. It yields while it waits.

    `how` describes the tick that is killed. If `lasting`, the scene stays the same while no file in the directory
    changes. Then another tick can be killed in the same study. This is false if the tick has effects outside the
    directory. `calls_scheduler` means that the tick submits, finds or cancels jobs.
    """

    arrange: Callable[[Stage], Wait]
    how: How = field(default_factory=lambda: How(side_by_side=False))
    lasting: bool = True
    ends: State = State.FINISHED
    calls_scheduler: bool = True


class NotReady(Exception):
    """The scene could not be reached."""


def _until(what: Callable[[], bool]) -> Wait:
    end = time.monotonic() + _PATIENCE
    while not what():
        if time.monotonic() > end:
            raise NotReady
        yield


def _submissions(stage: Stage) -> Wait:
    stage.step("s1")
    stage.step("s2")
    stage.step("l1", scheduled=False)
    stage.create()
    yield


def _at_once(stage: Stage) -> Wait:
    for number in range(6):
        stage.step(f"s{number}", template="equal" if stage.task.arrays else "")
    stage.create()
    yield


def _together(stage: Stage) -> Wait:
    for number in range(4):
        stage.step(f"s{number}")
    stage.create()
    yield


def _rolled_back(stage: Stage) -> Wait:
    """A tick died during its first commit, after it wrote the log and before it emptied the journal."""
    yield from _submissions(stage)
    attacked = ticks.kill_at(stage.root, stage.how, stage.folder / "note", Point("ftruncate", 1, "journal", when=1))
    assert attacked.at
    assert stage.journal.stat().st_size


def _doubt(stage: Stage) -> Wait:
    """A tick died after it had started a local step and a job without recording them. Another job was requested."""
    yield from _submissions(stage)
    pid = ticks.start(stage.root, replace(stage.how, freeze_after="submit", freeze_count=2))
    os.waitpid(pid, os.WUNTRACED)
    assert ticks.kill(pid)
    yield from _until(stage.begun)


def _running(stage: Stage, *more: str) -> Wait:
    """A local step and a job run, and the log records this."""
    stage.step("s1")
    stage.step("l1", scheduled=False)
    for name in more:
        stage.step(name, scheduled=name.startswith("s"), parents=(f"{name[0]}1",))
    stage.create()
    stage.tick()
    yield from _until(stage.begun)
    stage.tick()
    assert not list(stage.dir.inbox.iterdir())


def _ended(stage: Stage, *more: str) -> Wait:
    yield from _running(stage, *more)
    stage.open_gate()
    yield from _until(lambda: len(list(stage.dir.inbox.glob("*.exit.0"))) > 1 and stage.said())


def _reports(stage: Stage) -> Wait:
    yield from _ended(stage, "s2", "l2")


def _timed_out(stage: Stage) -> Wait:
    stage.slow("s1", stage.scheduler.walltime, scheduled=True)
    stage.slow("l1", "00:00:01", scheduled=False)
    stage.create()
    stage.tick()
    yield from _until(lambda: stage.said(".started", ".14[0-3]", ".timeout"))


def _runner_gone(stage: Stage) -> Wait:
    yield from _running(stage)
    runner = int(stage.named("l1").job_id)
    send(runner, signal.SIGKILL)
    yield from _until(lambda: not any(arguments(runner)))


def _cancel(stage: Stage) -> Wait:
    yield from _running(stage, "s2")
    with Session(stage.root) as study:
        study.request(requests.cancel)


#: The scenes, by the work of the tick. The last one is only for schedulers with a command that submits several jobs.
TIMED_OUT, TOGETHER = "restart after a time-out", "first submissions, together"
SCENES = {
    "first submissions": Scene(_submissions),
    "first submissions, side by side": Scene(_at_once, How(effects=(("append", 1), ("script", 6), ("append", 2)))),
    "a log to be rolled back": Scene(_rolled_back, lasting=False, calls_scheduler=False),
    "fresh doubt": Scene(_doubt, How(side_by_side=False, grace=_NEVER)),
    "old doubt": Scene(_doubt, How(side_by_side=False, grace=_AT_ONCE), lasting=False),
    "nothing new": Scene(_running, calls_scheduler=False),
    "reports": Scene(_reports),
    TIMED_OUT: Scene(_timed_out),
    "a local runner is gone": Scene(
        _runner_gone, How(side_by_side=False, patient=True), lasting=False, calls_scheduler=False
    ),
    "cancel": Scene(_cancel, lasting=False, ends=State.CANCELLED),
    "completion": Scene(_ended, calls_scheduler=False),
    TOGETHER: Scene(_together, How(many=MANY)),
}


def scenes_of(scheduler: TrialScheduler) -> list[str]:
    """Return the scenes for a scheduler, and the commands that submit to it.

    Scenes without effects on a scheduler are tried only on Slurm.
    """
    is_possible = {TIMED_OUT: bool(scheduler.walltime), TOGETHER: scheduler.submits_together}
    ours = [name for name, scene in SCENES.items() if scene.calls_scheduler or isinstance(scheduler, SlurmOfTrials)]
    return [*(name for name in ours if is_possible.get(name, True)), *scheduler.clients]


def set_up(trial: Trial, name: str, count: int) -> list[Stage]:
    """Create studies of a scene at the same time. If a study does not reach the scene, it is only run to its end."""
    scene = SCENES[name]
    stages = [Stage(trial, number, scene) for number in range(count)]
    waiting = {stage: scene.arrange(stage) for stage in stages}
    while waiting:
        for stage, arranging in list(waiting.items()):
            try:
                next(arranging)
            except StopIteration:
                del waiting[stage]
            except NotReady:
                stage.ready = False
                del waiting[stage]
        time.sleep(0.02)
    for stage in stages:
        if scene.ends is not State.FINISHED:
            stage.expected = {step.name: scene.ends for step in stage.steps}
    return stages


def finish(stages: list[Stage]) -> None:
    """Open the gates, and tick all studies to their ends.

    A study is ticked if something has happened, or after some time. On a busy machine, ticks are slow, and rare.
    """
    for stage in stages:
        if stage.scene.ends is State.FINISHED or not stage.ready:
            stage.open_gate()
    going = list(stages)
    while going:
        for stage in going:
            began = time.monotonic()
            if any(stage.dir.inbox.iterdir()) or began > stage.due:
                stage.tick()
                stage.due = time.monotonic() + max(ticks.GRACE, 5 * (time.monotonic() - began))
        going = [stage for stage in going if stage.running()]
        time.sleep(0.02)
