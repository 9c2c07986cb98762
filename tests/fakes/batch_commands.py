"""What the stand-ins for the commands of schedulers share. A job is real: `start` starts the study's own runner.

Those of Slurm begin their scripts in another way, and know more words for answers.

Their state is a directory of files::

    FOLDER/answers       what the next submissions come to, one word a line; none left: "accept"
    FOLDER/queue         what the listing commands come to: "silent", "garbage" or "cut off"; without it, they answer
    FOLDER/calls         the commands that were called, with their arguments
    FOLDER/jobs/7/       a job: `line` (its command), `workspace`, `env`,
                         and `pid`, `code`, `cancelled`, `hidden` (not in the queue yet) once it has them

The words for a submission are those of `tests.fakes.slurm_commands`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import ClassVar

_HEAD = """#!/bin/sh
folder='{folder}'
echo "${{0##*/}} $*" >>"$folder/calls"
planned() {{ cat "$folder/queue" 2>/dev/null; }}

# The word for the state of the job in the directory $1.
state_of() {{
    pid=$(cat "$1/pid" 2>/dev/null)
    stat_of=$(cat "/proc/${{pid:-none}}/stat" 2>/dev/null)
    if [ -e "$1/code" ]; then
        [ "$(cat "$1/code")" = 0 ] && echo COMPLETED || echo FAILED
    elif [ -n "$stat_of" ] && [ "${{stat_of#*) Z}}" = "$stat_of" ]; then echo RUNNING
    elif [ -e "$1/cancelled" ]; then echo CANCELLED
    elif [ -n "$pid" ]; then echo NODE_FAIL
    else echo PENDING
    fi
}}
"""

_SUBMITS = r"""
answer=$(head -n 1 "$folder/answers" 2>/dev/null)
[ -n "$answer" ] && sed -i 1d "$folder/answers"
workspace=/

# Queue a job with this command.
add() {
    id=$(($(ls "$folder/jobs" | sort -n | tail -n 1) + 1))
    job=$folder/jobs/$id
    mkdir "$job"
    printf '%s\n' "$workspace" >"$job/workspace"
    env -0 >"$job/env"
    printf '%s\0' "$@" >"$job/words"
    printf '%s\n' "$*" >"$job/line"
}
"""

#: A node's part: it keeps the exit code. It outlives the signals that end the job.
_NODE = 'trap : TERM INT; code=$1; shift; "$@"; echo $? >"$code.new"; mv "$code.new" "$code"'


class BatchCommands:
    """The commands, in the directory `path`, and methods with which a test controls them."""

    #: The text of each command, those that submit, and the variable in which a job finds its id.
    commands: ClassVar[dict[str, str]]
    submits: ClassVar[tuple[str, ...]]
    job_variable: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "bin"
        (folder / "jobs").mkdir(parents=True)
        self.path.mkdir()
        for name, text in self.commands.items():
            begin = _HEAD.format(folder=folder) + (_SUBMITS if name in self.submits else "")
            (self.path / name).write_text(begin + text)
            (self.path / name).chmod(0o755)

    def command(self, job: Path) -> list[str]:
        """Return the command of a job as its node runs it."""
        raise NotImplementedError

    def environment(self, job: Path) -> dict[str, str]:
        """Return the environment in which a node starts a job."""
        return dict(entry.split("=", 1) for entry in (job / "env").read_text().split("\0") if entry)

    def id_of(self, job: Path) -> str:
        """Return the id of a job as the scheduler prints it."""
        return job.name

    def plan(self, *answers: str) -> None:
        """Set the answers to the next submissions."""
        with (self.folder / "answers").open("a") as file:
            file.writelines(f"{answer}\n" for answer in answers)

    def query(self, answer: str) -> None:
        """Set the answer of the listing commands from now on (empty: they answer normally)."""
        (self.folder / "queue").write_text(answer)

    def calls(self) -> list[str]:
        """Return the commands that were called."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def start(self) -> None:
        """Start all jobs in the queue that were neither started nor cancelled."""
        for job in sorted((self.folder / "jobs").iterdir()):
            if not any((job / name).exists() for name in ("pid", "cancelled", "hidden")):
                self._start(job)

    def deliver(self) -> None:
        """List the jobs that were accepted late in the queue."""
        for hidden in (self.folder / "jobs").glob("*/hidden"):
            hidden.unlink()

    def _start(self, job: Path) -> None:
        with (job / "out").open("ab") as out:
            started = subprocess.Popen(
                ["/bin/sh", "-c", _NODE, "node", str(job / "code"), *self.command(job)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=(job / "workspace").read_text().rstrip("\n"),
                env={**self.environment(job), self.job_variable: self.id_of(job)},
                start_new_session=True,
            )
        (job / "pid").write_text(str(started.pid))
        started.returncode = 0  # nobody waits for it: the file says how it ended
