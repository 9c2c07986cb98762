"""An instance of Flux as a `RealScheduler`. Its command can lose or double a submission."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.kill_matrix.instance import Instance
from tools.kill_matrix.real_scheduler import RealScheduler

_FLUX = """#!/bin/sh
fault=$(cat '{folder}/fault' 2>/dev/null)
case "$1 $2" in "job submit") ;; *) fault= ;; esac
[ -z "$fault" ] || rm '{folder}/fault'
case $fault in
    lost) {real} "$@" >/dev/null 2>&1; kill -9 $$ ;;
    twice) {real} "$@" >/dev/null; {real} "$@" ;;
    *) exec $TRACER {real} "$@" ;;
esac
"""


#: Enough for all steps of several trials that wait at the same time.
_CORES = 200


class FluxScheduler(RealScheduler):
    """An instance of Flux with queues. Its broker is both the server and the daemon of the node."""

    kind, queue, shortest, prefixes = "flux", "debug", "00:00:03", ("FLUX_",)
    head = "batch: {type: flux, host: here, bank: mine, queue: debug}\n"
    #: The broker of a nested instance dies with that of the outer one, and so does the step.
    keys = ", nested: false"
    submit_commands = ("flux job submit", "flux python")
    killed = (
        *["flux job-submit"] * 6,
        "flux job-list",
        "flux ping",
        "flux batch",
        "flux submit",
        *["flux python"] * 4,
    )

    def __init__(self, prefix: Path, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        os.environ["PATH"] = f"{prefix}/bin:{os.environ['PATH']}"
        script = self.bin / "flux"
        script.write_text(_FLUX.format(folder=folder, real=prefix / "bin" / "flux"))
        script.chmod(0o755)
        self.instance = Instance(folder / "instance", cores=_CORES, queues=True)

    def start(self) -> None:
        self.instance.start()

    def stop(self) -> None:
        self.instance.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def variables(self) -> dict[str, str]:
        return {"FLUX_URI": self.instance.uri}

    def version(self) -> str:
        return f"flux-core {self.instance.run('getattr', 'version').stdout.strip()}"

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.instance.run(name, *arguments)

    def batch(self, script: Path) -> str:
        return self.run("batch", str(script)).stdout.strip()

    def cancel(self, job_id: str) -> int:
        return self.run("cancel", job_id).returncode

    def queued(self) -> list[str]:
        return self.run("jobs", "-n", "-o", "{id}").stdout.split()

    def requeue(self, job_id: str) -> None:
        """Do nothing: Flux can't do this."""

    def lose_node(self) -> None:
        self.instance.kill()

    def repair_node(self) -> None:
        self.instance.start()

    def signal_server(self, number: signal.Signals) -> None:
        if number is signal.SIGKILL:
            self.instance.kill()
        else:
            self.instance.signal(number)

    def recover(self) -> None:
        self.instance.signal(signal.SIGCONT)
        if not self.instance.brokers():
            self.instance.start()

    def restart_server(self) -> None:
        self.instance.start()
