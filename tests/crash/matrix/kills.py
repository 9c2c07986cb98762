"""Kills: of the tick and of sbatch, on entry to each of their system calls, and at any moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from maestro_es.core.model import Phase, State
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.poller.clock import now
from maestro_es.poller.open_study import OpenStudy
from tests.crash.matrix import ticks
from tests.crash.matrix.ticks import GRACE, Point
from tests.crash.matrix.trial import Trial

#: What a tick finds to do.
PHASES = ("first submissions", "fresh doubt", "old doubt", "restart", "completion", "reports", "nothing new")


def phase_of(trial: Trial) -> str:
    """Return what the next tick will find to do, the rarest first."""
    with OpenStudy(trial.root) as study:
        flying = list(study.graph.in_flight())
        open_steps = study.graph.study.open_steps
        begun = study.log.head.seq > 1 and (flying or open_steps < len(trial.steps))
    reports = any(trial.dir.inbox.iterdir())
    if not begun:
        return "first submissions"
    doubts = [now() - (step.requested_at or 0) for step in flying if step.phase is Phase.REQUESTED]
    if doubts:
        return "old doubt" if max(doubts) > GRACE * 1_000_000 else "fresh doubt"
    slow = [step for step in flying if step.name == "slow" and step.restarts == 0 and step.state is State.RUNNING]
    if slow and trial.slurm_state(slow[0].job_id) == "TIMEOUT":
        return "restart"
    if open_steps == 1 and reports:
        return "completion"
    return "reports" if reports else "nothing new"


def tick_at_a_call(trial: Trial) -> None:
    """Kill the next tick at a point of its phase that has not been tried, as long as there is one."""
    trial.how = replace(trial.how, threads=False)
    trial.create()
    wanted = trial.task.points
    while trial.running():
        _wait_for_the_last(trial)
        phase = phase_of(trial)
        if wanted.get(phase):
            _tick_and_kill(trial, phase, wanted[phase].pop(0))
        else:
            trial.tick()
        time.sleep(0.01)


def _wait_for_the_last(trial: Trial) -> None:
    """Let a running step that is the last one report first, so that a tick finds the study's end."""
    flying = trial.in_flight()
    if [step.name for step in flying] == ["post"] and flying[0].state is State.RUNNING:
        end = time.monotonic() + 2
        while not list(trial.dir.inbox.glob("*.exit.*")) and time.monotonic() < end:
            time.sleep(0.02)


def survey(trial: Trial) -> None:
    """Trace all ticks, and leave their calls as points of their phases; before the first one some died in doubt."""
    trial.how = replace(trial.how, threads=False)
    trial.create()
    effect = ("", "script", "submit")[trial.task.seed % 3]
    if effect:
        pid = ticks.start(trial.root, replace(trial.how, freeze_after=effect))
        os.waitpid(pid, os.WUNTRACED)
        ticks.kill(pid)
    if effect == "script":
        time.sleep(GRACE)
    while trial.running():
        _wait_for_the_last(trial)
        seen = trial.task.points.setdefault(phase_of(trial), [])
        code, calls = ticks.trace(trial.root, trial.how, trial.folder / "trace")
        assert code == 0, code
        seen += [point for point in calls if point.touches and point not in seen]


def _tick_and_kill(trial: Trial, phase: str, point: Point) -> None:
    code, calls = ticks.trace(trial.root, trial.how, trial.folder / "trace", point)
    if code == -9:
        trial.hit(f"{phase}: {calls[-1].touches if calls else ''}: {point.call}")
    else:
        assert code in (0, TRY_AGAIN), code
        trial.details["not reached"] += 1


def tick_at_any_time(trial: Trial) -> None:
    """Kill every tick after a random time, but let each tenth go on, and submit with threads."""
    trial.create()
    ended = 0
    while trial.running():
        phase = phase_of(trial)
        pid = ticks.start(trial.root, trial.how)
        if trial.dice.random() < 0.1 or ended > 5:
            assert ticks.wait(pid) == 0
            ended = 0
            continue
        time.sleep(trial.dice.uniform(0, 0.12))
        if ticks.kill(pid):
            trial.hit(phase)
        else:
            ended += 1


#: Runs the real sbatch under a tracer that kills it at a point, whose file it takes away, and notes that it did.
_KILLED_SBATCH = """
if take "$here/points"; then
    call=${found%%.*} number=${found##*.}
    strace -q -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$number "$real" "$@"
    code=$?
    [ $code = 137 ] || exit $code
    echo "$call $number" >>"$here/killed"
    kill -KILL $$
fi
exec "$real" "$@"
"""


def sbatch_at_a_call(trial: Trial) -> None:
    """Kill one sbatch after the other, each at another point, until there are no more."""
    points = sbatch_points(trial)
    folder = trial.replace_sbatch(_KILLED_SBATCH)
    (folder / "points").mkdir()
    for call, number in trial.dice.sample(points, 30):
        (folder / "points" / f"{call}.{number}").touch()
    trial.create()
    trial.drive()
    killed = (folder / "killed").read_text().splitlines() if (folder / "killed").exists() else []
    for line in killed:
        trial.hit(line)


def sbatch_points(trial: Trial) -> list[tuple[str, int]]:
    """Return the calls of an sbatch from its first one to the network on."""
    note = trial.folder / "sbatch.trace"
    for _ in range(5):  # nothing is tested yet, and Slurm may be busy
        done = trial.cluster.run("strace", "-q", "-o", note, "sbatch", "--output=/dev/null", "--wrap=true")
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    return network_calls(note)


def network_calls(note: Path) -> list[tuple[str, int]]:
    """Return the calls of a trace, with their number among those of their name, from the first socket on."""
    counts: dict[str, int] = {}
    found: list[tuple[str, int]] = []
    for call in _names(note.read_text().splitlines()):
        counts[call] = counts.get(call, 0) + 1
        if call == "socket" or found:
            found.append((call, counts[call]))
    return found


def _names(lines: Iterable[str]) -> list[str]:
    return [line.partition("(")[0] for line in lines if "(" in line and line[0].isalpha() and "exit" not in line[:12]]
