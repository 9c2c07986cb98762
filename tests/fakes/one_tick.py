"""Runs one tick as a process that a test can start, freeze and kill.

    python -m tests.fakes.one_tick ROOT [--lock] [--start FILE] [--freeze EFFECT] [--grace SECONDS] [--at-once STEPS]

It opens the study, waits until FILE exists, and runs one tick. With --lock, it does so only if no other process holds
the study's lock. One transaction ends at most STEPS steps that will not run. After the first EFFECT, the process stops
itself, like one on a host that hangs. It prints the result: a status, "left", or the name of an error.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from maestro_es.core import cascade
from maestro_es.errors import MaestroError
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.locks import hold
from maestro_es.study.session import Session
from tools.testbed.studies import quick_adapters


def main() -> None:
    """Run the tick."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--lock", action="store_true")
    parser.add_argument("--start", type=Path)
    parser.add_argument("--freeze", default="")
    parser.add_argument("--grace", type=float, default=0.3)
    parser.add_argument("--at-once", type=int, default=cascade.AT_ONCE)
    options = parser.parse_args()
    cascade.AT_ONCE = options.at_once

    frozen: list[str] = []

    def after(effect: str) -> None:
        if effect == options.freeze and not frozen:
            frozen.append(effect)
            os.kill(os.getpid(), signal.SIGSTOP)

    runtime = Runtime(adapters=quick_adapters(options.grace), on_effect=after)
    try:
        with Session(options.root, runtime) as study:
            while options.start and not options.start.exists():
                time.sleep(0.001)
            with hold(study.dir.tick_lock) if options.lock else contextlib.nullcontext(enter_result=True) as ours:
                sys.stdout.write(tick(study).name if ours else "left")
    except MaestroError as error:
        sys.stdout.write(type(error).__name__)


if __name__ == "__main__":
    main()
