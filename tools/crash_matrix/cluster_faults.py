"""Faults of Slurm: of its daemons, its nodes and its jobs."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from maestro_es.core.model import State, StepRecord
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.study.reports import parse_report
from tools.crash_matrix import ticks
from tools.crash_matrix.study import BEGIN, END
from tools.crash_matrix.trial import Trial
from tools.slurm_cluster.daemons import wait
from tools.testbed.studies import Step

#: Seconds after which nodes report their jobs again. This is more than BatchStartTimeout and MessageTimeout.
_REGISTRATION = 15.0


def cancelled_by_hand(trial: Trial) -> None:
    """Cancel jobs that run or wait. Only their steps, and the steps that depend on them, must be cancelled."""
    trial.create()

    def between() -> None:
        there = [step for step in trial.jobs(running=False) if step.name not in trial.expected]
        if trial.tried > 5 or not there or trial.dice.random() > 0.5:
            return
        victim = trial.dice.choice(there)
        state = trial.slurm_state(victim.job_id)
        trial.cluster.run("scancel", victim.job_id)
        trial.expect(victim.name, State.CANCELLED)
        if state in ("PENDING", "RUNNING"):
            trial.hit(state)

    trial.drive(between)


def requeued(trial: Trial) -> None:
    """Requeue running jobs. Slurm starts them again with the same id."""
    trial.create()

    def between() -> None:
        running = trial.jobs()
        if trial.tried > 5 or not running or trial.dice.random() > 0.3:
            return
        job = trial.dice.choice(running).job_id
        trial.cluster.run("scontrol", "update", f"jobid={job}", "requeue=1")
        if trial.cluster.run("scontrol", "requeue", job).returncode == 0:
            trial.hit()

    trial.drive(between)


def id_reused(trial: Trial) -> None:
    """Let sbatch print the id of a foreign job, and submit nothing."""
    foreign = trial.cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 300").stdout.strip()
    folder = trial.replace_client(
        f'if take "$here/points"; then echo "$found" >>"$here/taken"; echo {foreign}; else exec "$real" "$@"; fi'
    )
    (folder / "points").mkdir()
    trial.create()
    left = 12  # there may be more ticks than abandoned attempts

    def between() -> None:
        nonlocal left
        if left and trial.dice.random() < 0.15:
            left -= 1
            (folder / "points" / str(time.monotonic_ns())).touch()

    try:
        trial.drive(between)
        assert trial.slurm_state(foreign) == "RUNNING"
    finally:
        trial.cluster.run("scancel", foreign)
    for _ in (folder / "taken").read_text().split() if (folder / "taken").exists() else ():
        trial.hit()


def _submitted(trial: Trial) -> set[str]:
    return {step.token for step in trial.jobs(running=False)}


def controller_killed(trial: Trial) -> None:
    """Kill slurmctld immediately after it has acknowledged jobs.

    It forgets these jobs, and gives their ids to others.
    """
    trial.create()
    known: set[str] = set()
    while trial.running():
        trial.tick()
        fresh = _submitted(trial) - known
        if fresh and trial.tried < 4:
            trial.cluster.kill("slurmctld")
            trial.hit()
            if trial.dice.random() < 0.3:
                trial.tick()
            trial.cluster.resume("slurmctld")
        known |= _submitted(trial)
        # A node that gets the same job id twice drains itself.
        trial.cluster.run("scontrol", "update", "nodename=ALL", "state=resume")
        time.sleep(0.1)


def controller_killed_with_accounts(trial: Trial) -> None:
    """Let the controller lose jobs that the accounting knows already and still lists as waiting."""
    trial.how = replace(trial.how, grace=0.2)
    trial.create()
    while trial.running():
        if trial.tried < 8 and not _submitted(trial):  # otherwise Slurm would report an ended job as running
            _lose_what_is_submitted(trial)
        trial.tick()
        time.sleep(0.2)


def _lose_what_is_submitted(trial: Trial) -> None:
    """Tick while no job can start, and then start the controller again with its earlier state files."""
    cluster, kept = trial.cluster, trial.folder / "kept"
    cluster.run("scontrol", "update", "nodename=ALL", "state=drain", "reason=test")
    cluster.send("slurmctld", signal.SIGTERM)
    shutil.copytree(cluster.folder / "slurmctld", kept)
    cluster.resume("slurmctld")
    trial.tick()
    fresh = trial.jobs(running=False)
    listed = {step.job_id.partition("_")[0] for step in fresh}  # the waiting jobs of an array are one row
    asked = ("sacct", "-X", "-n", "-P", "-o", "State", "-j", ",".join(listed))
    if fresh:
        wait(
            "accounts that list the jobs", lambda: cluster.run(*asked).stdout.split() == ["PENDING"] * len(listed), 30
        )
        cluster.kill("slurmctld")
        shutil.rmtree(cluster.folder / "slurmctld")
        kept.rename(cluster.folder / "slurmctld")
        cluster.resume("slurmctld")
        for _ in fresh:
            trial.hit()
    else:
        shutil.rmtree(kept)
    cluster.run("scontrol", "update", "nodename=ALL", "state=resume")


def controller_stopped(trial: Trial) -> None:
    """Stop slurmctld, run ticks, and start it again.

    It may stop after it has decided to start a job and before it has told the node. Then it reports the job as running
    until the node registers without the job. Nodes seldom register by themselves, so this fault makes them do so.
    """
    trial.create()
    registered = time.monotonic()

    def between() -> None:
        nonlocal registered
        if time.monotonic() - registered > _REGISTRATION:
            for name in filter(lambda name: name.startswith("slurmd-"), trial.cluster.daemons):
                trial.cluster.send(name, signal.SIGHUP)
            registered = time.monotonic()
        if trial.tried > 5 or trial.dice.random() > 0.3:
            return
        trial.cluster.send("slurmctld", signal.SIGTERM)
        trial.hit()
        for _ in range(trial.dice.randint(1, 2)):
            trial.tick()
        trial.cluster.resume("slurmctld")

    trial.drive(between)


def controller_frozen(trial: Trial) -> None:
    """Freeze slurmctld in the middle of a tick. It processes the requests of sbatch when it continues."""
    trial.create()
    while trial.running():
        pid = ticks.start(trial.root, trial.how)
        hit = trial.tried < 8 and trial.dice.random() < 0.5
        if hit:
            time.sleep(trial.dice.uniform(0, 0.1))
            trial.cluster.freeze("slurmctld")
        code = ticks.wait(pid)
        if hit:
            trial.hit("no answer" if code else "answered before")
            trial.tick()
            trial.cluster.thaw("slurmctld")
        time.sleep(0.1)


def slurmd_killed(trial: Trial) -> None:
    """Kill the slurmds while jobs run, and start them again. The jobs continue meanwhile."""
    trial.create()

    def between() -> None:
        if trial.tried > 3 or not trial.jobs() or trial.dice.random() > 0.3:
            return
        for name in ("slurmd-n1", "slurmd-n2"):
            trial.cluster.kill(name)
        trial.hit()
        for _ in range(trial.dice.randint(1, 5)):
            trial.tick()
            time.sleep(0.2)
        trial.cluster.resume("slurmd-n1", "slurmd-n2")

    trial.drive(between)


def slurmd_dead(trial: Trial) -> None:
    """Kill a slurmd for good. Its jobs continue, but Slurm reports NODE_FAIL, so their steps are submitted again."""
    gate = trial.folder / "gate"
    begin, end = BEGIN.format(ledger=trial.ledger), END.format(ledger=trial.ledger)
    words = f"{begin}; until [ -e {gate} ]; do sleep 0.2; done; {end}"
    trial.steps = [Step(f"s{number}", words, scheduled=True) for number in range(8)]
    trial.steps.append(Step("post", f"{begin}; {end}", parents=tuple(step.name for step in trial.steps)))
    trial.create()

    def first_attempts() -> list[StepRecord]:
        return [step for step in trial.jobs() if step.attempt == 1]

    _tick_until(trial, lambda: len(first_attempts()) == len(trial.steps) - 1)
    trial.cluster.kill("slurmd-n1")
    told = len(first_attempts())
    _tick_until(trial, lambda: len(trial.jobs()) == told > len(first_attempts()))
    for _ in range(told - len(first_attempts())):
        trial.hit()
    gate.touch()
    trial.drive(pause=0.3)


def _tick_until(trial: Trial, what: Callable[[], bool]) -> None:
    while not what():
        assert trial.running(), "the study has ended, or time is over"
        trial.tick()
        time.sleep(0.3)


def node_down(trial: Trial) -> None:
    """Set a node down on which jobs run. The jobs become NODE_FAIL, and their steps are submitted again."""
    trial.create()

    def between() -> None:
        running = trial.jobs()
        if trial.tried > 3 or not running or trial.dice.random() > 0.3:
            return
        job = trial.dice.choice(running).job_id
        node = trial.cluster.run("squeue", "-h", "-j", job, "-o", "%N").stdout.strip()
        if not node:
            return
        trial.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        trial.hit()
        trial.tick()
        trial.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    trial.drive(between)


def accounting_down(trial: Trial) -> None:
    """Stop slurmdbd, and lose the reports of jobs that the queue has forgotten. Then ticks must conclude nothing.

    The grace time is longer than slurmdbd needs to learn about jobs that have ended meanwhile. Otherwise these jobs
    would run twice.
    """
    trial.how = replace(trial.how, grace=20)
    trial.create()
    while trial.running():
        trial.tick()
        flying = trial.jobs(running=False)
        if len(flying) < 4 or trial.tried > 1:
            time.sleep(0.1)
            continue
        early = trial.dice.random() < 0.5
        if early:
            trial.cluster.kill("slurmdbd")
        _wait_until_forgotten(trial, flying)
        if not early:
            time.sleep(5)  # until the accounting has them
            trial.cluster.kill("slurmdbd")
        _lose_ends(trial, {step.token for step in flying})
        assert trial.tick() == TRY_AGAIN
        missing = {step.token for step in flying} - _submitted(trial)
        assert not missing, f"concluded without knowing: {missing}"
        trial.hit("before the jobs ended" if early else "after the jobs had ended")
        trial.cluster.resume("slurmdbd")


def _wait_until_forgotten(trial: Trial, steps: Sequence[StepRecord]) -> None:
    wait("a queue that has forgotten its jobs", lambda: not any(trial.slurm_state(s.job_id) for s in steps), 90)


def _lose_ends(trial: Trial, tokens: set[str]) -> None:
    for file in trial.dir.inbox.iterdir():
        report = parse_report(file.name, 0)
        if report and report.token in tokens and report.code is not None:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
