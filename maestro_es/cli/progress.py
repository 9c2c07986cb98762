"""Shows the progress of ``run --wait`` and of ``drive``. On a terminal, one line is overwritten.

Otherwise each change prints a new line.
"""

from __future__ import annotations

import sys
import time

from maestro_es.audit.status import counts
from maestro_es.cli.output import exact_errors, outliving
from maestro_es.core.model import NO_SCHEDULER, StudyRecord

#: The shortest time between two lines that can't be overwritten, in seconds.
_SECONDS = 10.0


class Progress:
    """Shows counts of steps by state on standard error.

    If other processes show the progress of other studies there, each line begins with the `name` of the study.
    """

    def __init__(self, name: str = "") -> None:
        self._name = f"{name}: " if name else ""
        self._terminal = sys.stderr.isatty() and not name
        self._last = ""
        self._at = 0.0
        self._unreachable: dict[str, str] = {}

    def show(self, study_record: StudyRecord) -> None:
        """Show the progress of a study, if it has changed."""
        done = study_record.steps - study_record.open_steps
        line = f"{self._name}{done}/{study_record.steps} steps done: {counts(study_record.states)}"
        unreachable = study_record.unreachable
        line += "".join(
            f"; {message if name in NO_SCHEDULER else f'no answer from {name}: {message}'}"
            for name, message in unreachable.items()
        )
        late = (
            time.monotonic() - self._at >= _SECONDS or not study_record.open_steps or unreachable != self._unreachable
        )
        if line == self._last or not (self._terminal or late):
            return
        self._last, self._at, self._unreachable = line, time.monotonic(), dict(unreachable)
        with outliving(sys.stderr):
            if self._terminal:
                print("\r\033[K", end="", file=exact_errors())
            print(line, end="" if self._terminal else "\n", file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """End the line on a terminal. The next call of `show` begins another one."""
        if self._terminal and self._last:
            print(file=sys.stderr)
            self._last = ""
