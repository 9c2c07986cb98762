"""Kills: of the tick and of sbatch, on entry to each of their system calls, and at any moment."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path

from tests.crash.matrix import ticks
from tests.crash.matrix.calls import Point
from tests.crash.matrix.scenes import Stage, finish, set_up
from tests.crash.matrix.ticks import Attacked
from tests.crash.matrix.trial import Trial

#: How many studies of a scene are looked at to find out its calls, and how many at most are made side by side.
_SURVEYED = 4
_STUDIES = 8


def survey(trial: Trial) -> None:
    """Find the calls that the tick of a scene makes, and touch something of the study."""
    stages = set_up(trial, trial.task.scene, _SURVEYED)
    for stage in filter(attrgetter("ready"), stages):
        code, calls = ticks.trace(stage.root, stage.scene.how, trial.folder / "trace")
        assert code == 0, code
        trial.ticks.append([call.point for call in calls if call.point.touches])
    finish(stages)
    trial.parts = stages


def at_every_call(trial: Trial, attack: Callable[[Stage, Point], Attacked]) -> None:
    """Attack the tick of a scene at the points that the task names, each in a study where nothing has changed yet.

    What the last attack on each study has left behind is found by ticks, what the others have, by a reader of the log.
    """
    points = deque(trial.task.points)
    stages = set_up(trial, trial.task.scene, min(_STUDIES, len(points)))
    for stage in filter(attrgetter("ready"), stages):
        before = stage.state() if stage.scene.lasting else ""
        while points:
            point = points.popleft()
            code, made, at = attack(stage, point)
            if at:
                trial.hit(f"{at.touches}: {at.call}")
                trial.hits.append(at)
            elif code == 0 and point not in made:
                trial.absent.append(point)
            if at != point:
                trial.missed.append(point)
            if not before or stage.state() != before:
                break
    finish(stages)
    trial.parts = stages


def tick_at_every_call(trial: Trial) -> None:
    """Kill the tick of a scene at one call after the other."""

    at_every_call(
        trial, lambda stage, point: ticks.kill_at(stage.root, stage.scene.how, trial.folder / "trace", point)
    )


def tick_at_any_time(trial: Trial) -> None:
    """Kill every tick after a random time, but let each tenth go on, and submit with threads."""
    trial.create()
    ended = 0
    while trial.running():
        pid = ticks.start(trial.root, trial.how)
        if trial.dice.random() < 0.1 or ended > 5:
            assert ticks.wait(pid) == 0
            ended = 0
            continue
        time.sleep(trial.dice.uniform(0, 0.12))
        if ticks.kill(pid):
            trial.hit()
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
