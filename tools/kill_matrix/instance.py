"""A real Flux instance of one user, with made-up resources, for tests and for `tools/kill-matrix`.

Flux is looked for in the directory MAESTRO_ES_FLUX, where it was installed, and on the PATH. All that belongs to an
instance is in one directory. Its address stays the same when it is started again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.testbed.processes import wait_for

#: The variable with the directory where Flux was installed.
PREFIX = "MAESTRO_ES_FLUX"

#: Why the tests are skipped where there is no Flux.
NO_FLUX = f"NO REAL FLUX WAS TESTED: no 'flux' on PATH, and {PREFIX} is not set"

_CONFIGURATION = """
[resource]
noverify = true
[[resource.config]]
hosts = "{hosts}"
cores = "0-{last}"
[kvs]
checkpoint-period = "{checkpoint}"
"""

_QUEUES = """
[queues.debug]
[queues.short]
policy.limits.duration = "1h"
[policy.jobspec.defaults.system]
queue = "debug"
"""


def find_flux() -> str:
    """Return the directory of the command ``flux``; empty if there is none."""
    prefix = os.environ.get(PREFIX)
    places = [f"{prefix}/bin"] if prefix else []
    found = shutil.which("flux", path=os.pathsep.join([*places, os.environ.get("PATH", "")]))
    return os.path.dirname(found) if found else ""


class Instance:
    """One instance. With `nodes` > 1, several brokers run on this host, and its address is not permanent."""

    def __init__(
        self, folder: Path, *, nodes: int = 1, cores: int = 8, queues: bool = False, checkpoint: str = "10m"
    ) -> None:
        self.folder = folder
        self.nodes = nodes
        self.uri = ""
        self._brokers: subprocess.Popen[bytes] | None = None
        hosts = os.uname().nodename if nodes == 1 else f"node[0-{nodes - 1}]"
        for name in ("conf", "state", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        text = _CONFIGURATION.format(hosts=hosts, last=cores - 1, checkpoint=checkpoint) + (_QUEUES if queues else "")
        (folder / "conf" / "instance.toml").write_text(text)

    def start(self) -> None:
        """Start the brokers, and wait until they answer."""
        note = self.folder / "uri"
        note.unlink(missing_ok=True)
        run = self.folder / "run"
        alone = [f"-Srundir={run}", f"-Slocal-uri=local://{run}/local"]
        options = [f"--test-size={self.nodes}"] if self.nodes > 1 else alone
        command = f"echo $FLUX_URI >{note}.new; mv {note}.new {note}; exec sleep infinity"
        with (self.folder / "output").open("ab") as output:
            self._brokers = subprocess.Popen(
                ["flux", "start", f"--config-path={self.folder}/conf", f"-Sstatedir={self.folder}/state", *options,
                 "sh", "-c", command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env=self.environment(),
            )  # fmt: skip
        self.uri = wait_for(lambda: note.read_text().strip() if note.exists() else "")
        wait_for(lambda: self.run("resource", "list").returncode == 0)
        self.run("queue", "start", "--all", "--quiet")  # a new queue is stopped

    def environment(self) -> dict[str, str]:
        """Return an environment that leads to this instance."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("FLUX_")}
        return {**kept, "FLUX_URI": self.uri} if self.uri else kept

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``flux``."""
        return subprocess.run(
            ["flux", *words], env=self.environment(), capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def brokers(self) -> list[int]:
        """Return the processes of the brokers; the first one is that of the first node."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"flux-broker") and f"-Sstatedir={self.folder}/state".encode() in words:
                    found.append(int(path.parent.name))
        return sorted(found)

    def signal(self, number: signal.Signals, *, node: int | None = None) -> None:
        """Send a signal to all brokers, or to that of a node."""
        brokers = self.brokers()
        for pid in brokers if node is None else [brokers[node]]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill all brokers, as a crash does."""
        self.signal(signal.SIGKILL)
        assert self._brokers
        self._brokers.wait(30)

    def shut_down(self) -> None:
        """End the instance in order, as an administrator does."""
        self.run("shutdown", "--quiet")
        assert self._brokers
        self._brokers.wait(60)

    def stop(self) -> None:
        """End the instance and its jobs."""
        if self._brokers and self._brokers.poll() is None:
            self.signal(signal.SIGCONT)
            self.run("cancel", "--all", "--quiet")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.shut_down()
        self.signal(signal.SIGKILL)


@contextlib.contextmanager
def started(make: Callable[[], Instance]) -> Iterator[Instance]:
    """Have an instance, and nothing of it afterwards."""
    instance = make()
    try:
        instance.start()
        yield instance
    finally:
        instance.stop()


def pause(seconds: float) -> None:
    """Wait: a word for the scenes."""
    time.sleep(seconds)
