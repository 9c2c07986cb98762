"""Runs the two programs on the same study file, each in its own folder."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.side_by_side.pictures import Differences, compare, maestros_picture, orders, our_picture, study_in

HERE = Path(__file__).parent

#: The folder for the compared studies. It is in memory if possible, because durability does not matter here.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - folders of our own are made in it

#: The options of each program before the study's own options. Maestro's conductor must run in the foreground.
WORDS = {
    "maestro": ("run", "--dry", "-fg", "-y", "-s", "1"),
    "maestro-es": ("run", "--dry"),
}

#: The environment of the commands. Maestro does not sleep, finds Flux, and its sets always have the same order.
ENVIRONMENT = {"PYTHONPATH": str(HERE / "stubs"), "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", "FLUX_URI": ""}


@dataclass(frozen=True)
class Study:
    """A study file, the options of its run, and the folder with the files that it needs."""

    name: str
    text: str
    options: tuple[str, ...] = ("-o", "study")
    beside: Path | None = None

    @classmethod
    def read(cls, file: Path, beside: Path) -> Study:
        """Return the study in a file. Its first line may be ``# options: ...``."""
        name, text = file.name, file.read_text()
        first = text.partition("\n")[0]
        if first.startswith("# options:"):
            return cls(name, text, tuple(shlex.split(first.removeprefix("# options:"))), beside)
        return cls(name, text, beside=beside)

    def lay_out(self, here: Path) -> None:
        """Put the study file and the files that it needs into an empty folder."""
        if self.beside:
            shutil.copytree(self.beside, here, symlinks=True)
        else:
            here.mkdir(parents=True)
        (here / self.name).write_text(self.text)


@dataclass
class Ran:
    """The result of one program: its exit code and its output."""

    exit_code: int
    said: str


@dataclass
class Verdict:
    """The results of both programs for one study."""

    differences: Differences
    maestro: Ran
    ours: Ran


@dataclass
class Worker:
    """A process that runs one program again and again; see ``worker.py``."""

    program: str
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **ENVIRONMENT},
            )
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate(timeout=30)
            self.process = None


class SideBySide:
    """Runs studies with both programs: each command as a process, or all commands of a program in one `Worker`."""

    def __init__(self) -> None:
        self.workers = {program: Worker(program) for program in WORDS}

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers.values():
            worker.close()

    def compare(self, study: Study, place: Path, *, apart: bool) -> Verdict:
        """Run a study with both programs in `place`, an empty folder; `apart` starts a process for each command."""
        heres = {program: place / program / "here" for program in WORDS}
        ran = {}
        for program, here in heres.items():
            study.lay_out(here)
            ran[program] = self._run(program, study, here, apart=apart)
        known: dict[str, Any] = {}
        if not ran["maestro"].exit_code:
            known = self.workers["maestro"].ask(read=str(study_in(heres["maestro"])))
        theirs = maestros_picture(ran["maestro"].exit_code, known, heres["maestro"])
        ours = our_picture(ran["maestro-es"].exit_code, orders(known), heres["maestro-es"])
        return Verdict(compare(theirs, ours), ran["maestro"], ran["maestro-es"])

    def _run(self, program: str, study: Study, here: Path, *, apart: bool) -> Ran:
        words = [*WORDS[program], *study.options, study.name]
        if apart:
            command = Path(sys.executable).with_name(program)
            done = subprocess.run(
                [command, *words],
                cwd=here,
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            return Ran(done.returncode, done.stderr)
        said = here / "said"
        answer = self.workers[program].ask(run=words, **{"in": str(here), "stderr": str(said)})
        return Ran(answer["exit"], said.read_text() + answer["said"])
