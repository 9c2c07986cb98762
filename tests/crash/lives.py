"""Studies whose process is killed again and again; a program that the tests of this directory run.

    python -m tests.crash.lives FOLDER MODE FIRST STRIDE
    python -m tests.crash.lives FOLDER MODE EFFECT

For N = FIRST, FIRST + STRIDE ... it makes a study in FOLDER/MODE-N and goes on with it to its end, in a process
that is killed with SIGKILL after its N-th effect, and after that in one that is not. It stops with the first study
whose process was not killed, and prints a line for each: N, the effect after which it was killed, and how it ended.
With the name of an effect there is one study, whose process is killed after its first effect of that name.
MODE is one of

    tick      ticks, each of which opens the study again
    drive     the foreground driver
    cancel    ticks, and a request to cancel once the first steps run
    retry     ticks, and a request to retry the step that has failed
    random    ticks, and every process is killed, after a random number of effects; N is the seed
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from maestro_es.core import requests, rerun
from maestro_es.core.model import Settings, State, StudyStatus
from maestro_es.poller.foreground import run_until_ended
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.testbed.studies import Bench, Step, make_study, quick_adapters

#: Seconds without a trace after which an attempt is given up; the driver holds requests for up to a second.
GRACE = {"drive": 2.0}


def new_bench(root: Path, mode: str) -> Bench:
    """Return a study that is not there yet."""
    runtime = Runtime(adapters=quick_adapters(GRACE.get(mode, 0.3)))
    return Bench(root, runtime=runtime, settings=Settings(local_slots=6, abandon_limit=0, sleep_seconds=0))


def twenty_steps(bench: Bench) -> list[Step]:
    """Return a chain, a fan, a funnel, a step that times out and is restarted, and one that waits for all of them."""
    sign = bench.sign
    return [
        Step("pre", sign),
        *(Step(f"chain_{n}", sign, parents=(f"chain_{n - 1}" if n else "pre",)) for n in range(4)),
        *(Step(f"fan_{n}", sign, template="fan", parents=("pre",)) for n in range(10)),
        Step("join", sign, funnels=("fan",)),
        Step("slow", f"{sign}; sleep 60", restart=sign, walltime="00:00:02"),
        Step("side_1", sign),
        Step("side_2", sign),
        Step("post", sign, parents=("chain_3", "slow"), funnels=("fan",)),
    ]


def long_steps(bench: Bench) -> list[Step]:
    """Return steps that have to be ended."""
    family = f"{bench.sign}; (sleep 60 & sleep 60 & wait) & sleep 60 & wait"
    return [
        Step("a", family),
        Step("b", f"{bench.sign}; trap 'exit 3' TERM; sleep 60 & wait"),
        Step("c", parents=("a",)),
    ]


def failing_steps(bench: Bench) -> list[Step]:
    """Return steps of which the first fails until a file is there."""
    return [
        Step("a", f"{bench.sign}; test -e '{bench.root}/mended'"),
        Step("b", bench.sign, parents=("a",)),
        Step("c", bench.sign, funnels=("b",)),
        Step("d", bench.sign),
    ]


#: The steps of a study by the mode that needs them.
_STEPS = {"cancel": long_steps, "retry": failing_steps}


def live(bench: Bench, mode: str, after: Callable[[str], None]) -> None:
    """Go on with a study until it has ended."""
    runtime = Runtime(adapters=bench.runtime.adapters, on_effect=after)
    if not bench.dir.log.exists():
        steps = _STEPS.get(mode, twenty_steps)(bench)
        make_study(bench.root, steps, bench.settings, {"type": "local"}, runtime)
    while True:
        with Session(bench.root, runtime) as study:
            if mode == "drive":
                run_until_ended(study, lambda: None)
            if (
                mode == "cancel"
                and not study.graph.study.cancelling
                and study.graph.study.states.get(State.RUNNING.name)
            ):
                study.request(requests.cancel)
            if mode == "retry" and study.status is StudyStatus.FAILURE:
                (bench.root / "mended").touch()
                study.request(lambda graph: rerun.retry(graph, failed=True))
            if tick(study) is not StudyStatus.RUNNING and (mode, study.status) != ("retry", StudyStatus.FAILURE):
                return
        time.sleep(0.02)


def life(bench: Bench, mode: str, kill_at: int | str) -> str:
    """Go on with a study in a process of its own that is killed after an effect; returns which, or nothing.

    `kill_at` is the number of the effect, or the name that it must have.
    """
    note = bench.root.with_name(f"{bench.root.name}.effect")
    note.unlink(missing_ok=True)
    child = os.fork()
    if child:
        _, code = os.waitpid(child, 0)
        assert code in (0, signal.SIGKILL), f"{bench.root}: the process ended with {code}"
        return note.read_text() if code else ""
    effects = 0

    def after(effect: str) -> None:
        nonlocal effects
        effects += 1
        if kill_at in {effects, effect}:
            note.write_text(effect)
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        live(bench, mode, after)
        os._exit(0)
    finally:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def lives(bench: Bench, dice: random.Random) -> Iterator[str]:
    """Go on with a study in processes that are all killed, but the last; yields the effects that they died after."""
    while True:
        killed = life(bench, "tick", dice.randint(1, 16))
        if not killed:
            return
        yield killed


def tell(number: int | str, killed: str, bench: Bench) -> None:
    """Print what became of a study."""
    print(number, killed or "-", bench.status.name, flush=True)  # noqa: T201 - what it is for


def kill_after_numbers(folder: Path, mode: str, first: int, stride: int) -> None:
    """Make a study for each number, until one is not killed."""
    killed, number = "?", first
    while killed:
        bench = new_bench(folder / f"{mode}-{number}", mode)
        if mode == "random":
            killed = "+".join(lives(bench, random.Random(number)))  # noqa: S311 - no secret
        else:
            killed = life(bench, mode, number)
            if killed:
                life(bench, mode, 0)
        tell(number, killed, bench)
        number += stride
        if mode == "random":
            return


def kill_after(folder: Path, mode: str, effect: str) -> None:
    """Make a study that is killed after its first effect of this name."""
    bench = new_bench(folder / f"{mode}-{effect}", mode)
    killed = life(bench, mode, effect)
    life(bench, mode, 0)
    tell(effect, killed, bench)


if __name__ == "__main__":
    folder, mode, first, *stride = sys.argv[1:]
    if stride:
        kill_after_numbers(Path(folder), mode, int(first), int(stride[0]))
    else:
        kill_after(Path(folder), mode, first)
