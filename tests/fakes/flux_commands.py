"""The command ``flux`` as a script for a PATH. A test plans its answers, good or bad.

Tests in tests/flux use a real Flux. This script tests how the adapter interprets an answer, in milliseconds and on
every machine. It prints the output of flux-core 0.88. A job is real: `start` starts the study's own runner.

Its state is a directory of files::

    FOLDER/answers       what the next calls of "flux job submit" come to, one word a line; none left: "accept"
    FOLDER/python        if there is such a file, Flux's Python can't be used
    FOLDER/queue         what "flux job list" comes to: "silent", "garbage", "cut off" or "hang"; without it, an answer
    FOLDER/instance      what identifies the start of the instance
    FOLDER/lacks         subcommands of "flux job" that this version does not have
    FOLDER/calls         the commands that were called, with their arguments
    FOLDER/jobs/7/       a job: `spec`, and `pid`, `code`, `hidden` (not in the list yet), `list` (what the list says)

The words for "flux job submit" are those of `tools.testbed.scheduler`, and these:

    garbage  the job is queued, and the answer is no id
    twice    two jobs are queued, and the answer is the id of the second
    hang     the job is queued, and there is no answer
    killed   the job is queued, and the program that submits many jobs is killed
"""

from __future__ import annotations

import fcntl
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HANGS = 600

#: What Flux says, by the planned answer. After the first three, nothing is queued.
_MESSAGES = {
    "refuse": "Invalid queue 'nope' specified",
    "full": "job submission to batch is disabled: closed",
    "deaf": "flux_open: broker socket /run/flux/local was not found",
    "doubt": "Connection reset by peer",
    "late": "Connection reset by peer",
}
_NOTHING_QUEUED = ("refuse", "full", "deaf")

#: What the list says about a job, by its state. The first number is the state, the second is the result.
_PENDING, _RUNNING, _INACTIVE = 8, 16, 64
_COMPLETED, _FAILED, _CANCELED = 1, 2, 4


def f58(number: int) -> str:
    """Return the id of a job, with Flux's mark."""
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return f"ƒ{digits}"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


class Fake:
    """One call of ``flux``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def said(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def fail(self, message: str, code: int = 1) -> int:
        sys.stderr.write(f"{message}\n")
        return code

    def silent(self, who: str) -> int:
        return self.fail(f"{who}: flux_open: broker socket /run/flux/local was not found")

    # -- subcommands -------------------------------------------------------------------------------------------------

    def run(self, words: Sequence[str]) -> int:
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"flux {' '.join(words)}\n")
        match list(words):
            case ["ping", *_]:
                return self.ping()
            case ["getattr", "version"]:
                say("0.88.0")
                return 0
            case ["config", "get", "queues"]:
                say('{"debug": {}, "batch": {}}')
                return 0
            case ["batch" | "submit" as kind, "--dry-run", *options]:
                return self.describe(options, nested=kind == "batch")
            case ["job", command, *rest] if command not in self.said("lacks").split():
                return self.submit(rest) if command == "submit" else self.list_jobs()
        return self.run_python(words)

    def run_python(self, words: Sequence[str]) -> int:
        """Run the subcommands that are Python programs."""
        match list(words):
            case ["python", program, path]:
                return self.python(program, path)
            case ["jobs", *_, "--json"]:
                return self.list_jobs(table=True)
            case ["cancel", *ids]:
                return self.cancel([word for word in ids if not word.startswith("--")])
        return self.fail("Usage: flux-job [OPTIONS] COMMAND ARGS\n  -h, --help             Display this message.")

    def ping(self) -> int:
        if self.said("queue") == "silent":
            return self.silent("flux-ping")
        say("flux-ping 0!broker")
        say(f"0!broker.ping pad=0 seq=0 time=0.123 ms (627c514e!17631d7c!{self.said('instance')})")
        return 0

    def describe(self, options: Sequence[str], *, nested: bool) -> int:
        """Print a description as ``--dry-run`` does; refuse ``-t bogus``."""
        if "bogus" in options:
            return self.fail("flux-submit: ERROR: invalid Flux standard duration")
        command = ["flux", "broker", "{{tmpdir}}/script"] if nested else [options[-1]]
        system = {
            "duration": 0,
            "environment": dict(os.environ),
            "cwd": next(word.partition("=")[2] for word in options if word.startswith("--cwd=")),
            "job": {"name": next(word.partition("=")[2] for word in options if word.startswith("--job-name="))},
            "shell": {"options": {"output": {"stdout": {"type": "file", "path": "maestro-es.out"}}}},
            **({"files": {"script": {"mode": 33216, "data": "#!/bin/sh\n", "encoding": "utf-8"}}} if nested else {}),
        }
        slot = {"type": "slot", "count": 4, "with": [{"type": "core", "count": 1}], "label": "task"}
        task = {"command": command, "slot": "task", "count": {"per_slot": 1}}
        say(json.dumps({"resources": [slot], "tasks": [task], "attributes": {"system": system}, "version": 1}))
        return 0

    def submit(self, words: Sequence[str]) -> int:
        answer, job = self.answer(Path(words[-1]).read_text())
        if answer in _MESSAGES:
            return self.fail(f"flux-job: {_MESSAGES[answer]}")
        if answer == "hang":
            time.sleep(_HANGS)
        say("\N{REPLACEMENT CHARACTER} welcome" if answer == "garbage" else f58(job))
        return 0

    def answer(self, spec: str) -> tuple[str, int]:
        """Queue a job as planned. Returns the answer that was planned, and the id of the job."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self.next_answer(spec)

    def next_answer(self, spec: str) -> tuple[str, int]:
        """Do the same without a lock."""
        answers = self.said("answers").splitlines()
        (self.folder / "answers").write_text("".join(f"{word}\n" for word in answers[1:]))
        answer = answers[0] if answers else "accept"
        if answer in _NOTHING_QUEUED:
            return answer, 0
        job = self.add(spec)
        if answer == "twice":
            job = self.add(spec)
        if answer == "late":
            (job / "hidden").touch()
        return answer, int(job.name)

    def python(self, program: str, path: str) -> int:
        """Run a program with modules that stand in for Flux's."""
        if self.said("python"):
            return self.fail("ModuleNotFoundError: No module named 'flux'")
        job, flux = types.ModuleType("flux.job"), types.ModuleType("flux")
        vars(job)["submit_async"] = self.sent
        vars(flux).update(Flux=object, job=job)
        sys.modules.update({"flux": flux, "flux.job": job})
        runpy.run_path(program)["main"](path)
        return 0

    def sent(self, _handle: object, spec: str, **options: object) -> SimpleNamespace:
        with (self.folder / "options").open("a") as file:
            file.write(f"{json.dumps(options)}\n")
        answer, job = self.answer(spec)

        def get_id() -> int:
            if answer in {"hang", "killed"}:
                time.sleep(_HANGS) if answer == "hang" else os.kill(os.getpid(), signal.SIGKILL)
            if answer in _MESSAGES:
                raise OSError(1, _MESSAGES[answer])
            return job

        return SimpleNamespace(get_id=get_id)

    def add(self, spec: str) -> Path:
        number = 1 + max((int(path.name) for path in (self.folder / "jobs").iterdir()), default=83466649600)
        job = self.folder / "jobs" / str(number)
        job.mkdir()
        (job / "spec").write_text(spec)
        return job

    def list_jobs(self, *, table: bool = False) -> int:
        match self.said("queue"):
            case "silent":
                return self.silent("flux-job")
            case "hang":
                time.sleep(_HANGS)
            case "garbage":
                say("\N{REPLACEMENT CHARACTER} welcome")
                return 0
            case "cut off":
                sys.stdout.write('{"id": 7, "userid": 0, "urg')
                return 0
        jobs = [self.listed(path) for path in sorted((self.folder / "jobs").iterdir())]
        lines = [job for job in jobs if job]
        say(json.dumps({"jobs": list(map(in_table, lines))}) if table else "\n".join(map(json.dumps, lines)))
        return 0

    def listed(self, job: Path) -> dict[str, Any]:
        """Return what the list says about a job; empty if it does not list the job."""
        if (job / "hidden").exists():
            return {}
        system = json.loads((job / "spec").read_text())["attributes"]["system"]
        known = {"id": int(job.name), "urgency": 16, "name": system["job"]["name"], "cwd": system["cwd"]}
        said = json.loads((job / "list").read_text()) if (job / "list").exists() else {}
        return {**known, **self.state(job), **said}

    def state(self, job: Path) -> dict[str, Any]:
        if (job / "code").exists():
            code = int((job / "code").read_text())
            result = _FAILED if code else _COMPLETED
            return {"state": _INACTIVE, "result": result, "waitstatus": code << 8, "t_run": 2.0, "t_inactive": 3.0}
        running = (job / "pid").exists() and is_running((job / "pid").read_text())
        return {"state": _RUNNING, "t_run": 2.0} if running else {"state": _PENDING}

    def cancel(self, ids: Sequence[str]) -> int:
        if self.said("queue") == "silent":
            return self.fail(
                "flux-cancel: ERROR: Unable to connect to Flux: broker socket /run/flux/local was not found"
            )
        by_id = {f58(int(path.name)): path for path in (self.folder / "jobs").iterdir()}
        for job_id in ids:
            job = by_id.get(job_id)
            if not job:
                self.fail(f"flux-cancel: ERROR: {job_id}: unknown job id")
            elif self.state(job)["state"] == _INACTIVE:
                self.fail(f"flux-cancel: ERROR: {job_id}: job is inactive")
            elif self.state(job)["state"] == _RUNNING:
                os.killpg(int((job / "pid").read_text()), signal.SIGTERM)
            else:
                canceled = {"state": _INACTIVE, "result": _CANCELED, "exception_occurred": True}
                (job / "list").write_text(json.dumps({**canceled, "exception_type": "cancel"}))
        return 0


def in_table(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as ``flux jobs --json`` has it, with words for numbers."""
    words = {_PENDING: "SCHED", _RUNNING: "RUN", _INACTIVE: "INACTIVE"}
    results = {_COMPLETED: "COMPLETED", _FAILED: "FAILED", _CANCELED: "CANCELED"}
    more = {"result": results[job["result"]]} if "result" in job else {}
    return {**job, **more, "state": words[job["state"]], "exception": {"occurred": False}}


def is_running(pid: str) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


#: A node's part: it keeps the exit code. It outlives the signal that ends the job.
_NODE = 'trap : TERM; code=$1; shift; /bin/sh "$@"; echo $? >"$code.new"; mv "$code.new" "$code"'


class FluxCommands:
    """The command, in the directory `path`, and methods with which a test controls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "bin"
        (folder / "jobs").mkdir(parents=True)
        self.path.mkdir()
        self.restart("6d0029bf")
        script = f"#!/bin/sh\nexec '{sys.executable}' -S -E '{__file__}' '{folder}' \"$@\"\n"
        (self.path / "flux").write_text(script)
        (self.path / "flux").chmod(0o755)

    def plan(self, *answers: str) -> None:
        """Set the answers to the next submissions."""
        with (self.folder / "answers").open("a") as file:
            file.writelines(f"{answer}\n" for answer in answers)

    def query(self, answer: str) -> None:
        """Set the answer of the list from now on (empty: it answers normally)."""
        (self.folder / "queue").write_text(answer)

    def lack(self, command: str) -> None:
        """Be a version without a subcommand of ``flux job``."""
        (self.folder / "lacks").write_text(command)

    def lack_python(self) -> None:
        """Be an installation whose Python can't be used."""
        (self.folder / "python").write_text("missing")

    def options(self) -> list[dict[str, Any]]:
        """Return the options of the jobs that were submitted together."""
        return [json.loads(line) for line in (self.folder / "options").read_text().splitlines()]

    def restart(self, instance: str) -> None:
        """Start the broker again; this identifies the new start."""
        (self.folder / "instance").write_text(instance)

    def forget(self) -> None:
        """List no job any more, as after a purge, or a crash of a broker without checkpoints."""
        for job in (self.folder / "jobs").iterdir():
            (job / "hidden").touch()

    def tell(self, **said: object) -> None:
        """Set what the list says about all jobs, by the names in ``flux job list``."""
        for job in (self.folder / "jobs").iterdir():
            (job / "list").write_text(json.dumps(said))

    def specs(self) -> list[dict[str, Any]]:
        """Return the descriptions of all jobs."""
        return [json.loads((job / "spec").read_text()) for job in sorted((self.folder / "jobs").iterdir())]

    def calls(self) -> list[str]:
        """Return the commands that were called."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def start(self) -> None:
        """Start all jobs in the queue that were neither started nor cancelled."""
        for job in sorted((self.folder / "jobs").iterdir()):
            if not any((job / name).exists() for name in ("pid", "list", "hidden")):
                self._start(job)

    def deliver(self) -> None:
        """List the jobs that were accepted late."""
        for hidden in (self.folder / "jobs").glob("*/hidden"):
            hidden.unlink()

    def _start(self, job: Path) -> None:
        spec = json.loads((job / "spec").read_text())
        system, command = spec["attributes"]["system"], spec["tasks"][0]["command"]
        nested = command[:2] == ["flux", "broker"]
        variable = "FLUX_ENCLOSING_ID" if nested else "FLUX_JOB_ID"
        with (job / "out").open("ab") as out:
            started = subprocess.Popen(
                ["/bin/sh", "-c", _NODE, "node", str(job / "code"), *command[2 if nested else 0 :]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=system["cwd"],
                env={**system["environment"], variable: f58(int(job.name))},
                start_new_session=True,
            )
        (job / "pid").write_text(str(started.pid))
        started.returncode = 0  # nobody waits for it: the file says how it ended


#: What the contract suite looks for.
COMMANDS = FluxCommands

if __name__ == "__main__":
    sys.exit(Fake(Path(sys.argv[1])).run(sys.argv[2:]))
