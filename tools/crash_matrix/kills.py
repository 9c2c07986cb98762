"""Kills the tick, or the command that submits, on entry to each of their system calls or at random times."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from tools.crash_matrix import ticks
from tools.crash_matrix.calls import CLIENT, Point
from tools.crash_matrix.scenes import MANY, TOGETHER, Stage, finish, set_up
from tools.crash_matrix.ticks import Attacked
from tools.crash_matrix.trial import Trial

#: How many studies of a scene are traced to find its calls, and how many are created at the same time, at most.
_SURVEYED = 4
_STUDIES = 8


def survey(trial: Trial) -> None:
    """Find the calls of a scene's tick that touch the study, or those of a submit command."""
    if trial.task.scene in trial.scheduler.clients:
        survey_client(trial)
        return
    stages = set_up(trial, trial.task.scene, _SURVEYED)
    for stage in filter(attrgetter("ready"), stages):
        code, calls = ticks.trace(stage.root, stage.scene.how, trial.folder / "trace")
        assert code == 0, code
        trial.ticks.append([call.point for call in calls if call.point.touches])
    finish(stages)
    trial.parts = stages


def at_every_call(trial: Trial, attack: Callable[[Stage, Point], Attacked]) -> None:
    """Attack the tick of a scene at the points of the task.

    Each attack takes a study in which nothing has changed yet.

    Ticks continue the state after the last attack on a study. After each other attack, only a reader opens the log.
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


def is_of_tick(point: Point) -> bool:
    """Return whether a call belongs to a tick, and not to a command that submits."""
    return point.touches != CLIENT


def tick_at_any_time(trial: Trial) -> None:
    """Kill nine of ten ticks after a random time. Ticks submit several jobs at the same time."""
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


#: A script that runs the real command under a tracer that records its calls.
_TRACED_CLIENT = f'TRACER="strace -q -o $here/$$.trace -e trace={ticks.EVERYTHING}"\ntraced "$@"'

#: A script that runs the real command under a tracer. It takes the file of a point, kills the command at this point,
#: and records whether it did.
_KILLED_CLIENT = """
if take "$here/points"; then
    call=${found%%.*} number=${found##*.}
    TRACER="strace -q -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$number"
    traced "$@"
    code=$?
    [ $code = 0 ] && echo "$call $number" >>"$here/absent"
    [ $code = 137 ] || exit $code
    echo "$call $number" >>"$here/killed"
    kill -KILL $$
fi
exec "$real" "$@"
"""

#: The points without a task: before and after the job exists.
_POINTS = [Point(call, n, CLIENT, when=n) for call in ("sendto", "recvfrom") for n in range(1, 7)]


def survey_client(trial: Trial) -> None:
    """Find the calls of a submit command in some submissions."""
    folder = trial.replace_client(_TRACED_CLIENT, trial.task.scene)
    scene = TOGETHER if trial.scheduler.submits_together else "first submissions"
    stages = set_up(trial, scene, _SURVEYED // 2)
    finish(stages)
    trial.ticks = [network_calls(note.read_text().splitlines()) for note in folder.glob("*.trace")]
    trial.parts = stages


def client_at_a_call(trial: Trial) -> None:
    """Kill one submit command after the other, each at another point, until no point is left.

    The scene of a task is the command. Without a scene, it is the scheduler's first one.
    """
    folder = trial.replace_client(_KILLED_CLIENT, trial.task.scene or trial.scheduler.clients[0])
    trial.how = replace(trial.how, many=MANY)
    (folder / "points").mkdir()
    points = trial.task.points or _POINTS
    for point in points:
        (folder / "points" / f"{point.call}.{point.when}").touch()
    trial.create()
    trial.drive(pause=ticks.GRACE)
    killed, absent = (_noted(folder / name) for name in ("killed", "absent"))
    trial.hits = [point for point in points if point in killed]
    trial.missed = [point for point in points if point not in killed]
    trial.absent = [point for point in points if point in absent]
    for point in trial.hits:
        trial.hit(f"{point.touches}: {point.call}")


def _noted(note: Path) -> list[Point]:
    lines = note.read_text().splitlines() if note.exists() else []
    return [Point(call, int(number), CLIENT) for call, number in map(str.split, lines)]


def network_calls(lines: Iterable[str]) -> list[Point]:
    """Return the calls of a submit command in a trace, from the first socket on.

    After each of them, the scheduler may continue by itself.
    """
    counts: Counter[str] = Counter()
    found: list[Point] = []
    for line in lines:
        call, opened, _ = line.partition("(")
        if opened and call.isidentifier():
            counts[call] += 1
            if call == "socket" or found:
                found.append(Point(call, counts[call], CLIENT, when=counts[call]))
    return found
