"""Appends events to an existing study, in blocks, with projection and digests: append.py ROOT EVENTS."""

from __future__ import annotations

import sys
from pathlib import Path

from maestro_es.study.session import Session
from tools.benches.programs.make_log import BLOCK, life

if __name__ == "__main__":
    steps = int(sys.argv[2]) // 4
    with Session(Path(sys.argv[1])) as study:
        for first in range(1, steps + 1, BLOCK):
            numbers = range(first, min(first + BLOCK, steps + 1))
            study.log.append(new_event for number in numbers for new_event in life(number))
