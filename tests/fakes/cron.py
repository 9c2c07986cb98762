"""Debian's own cron for a single test. One minute of ours is an hour for it.

The daemon runs in its own namespaces and ends with them. It sees a private /run, private crontabs, no crontab of the
system, and a sendmail that stores each mail. libfaketime makes its clock 60 times as fast, so it starts a line that is
due every minute once per second. The started programs have the true time, and an environment of only HOME, LOGNAME,
PATH=/usr/bin:/bin, SHELL and PWD. Where cron can't run, a test is skipped; in continuous integration (CI is set), it
fails.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

#: Who runs it has no crontabs but private ones, and ends all that it started when it ends.
_PRIVATE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-eu", "-c"]

#: What a script may call: `maestro_es`, `await SECONDS COMMAND...`, `ended STUDY`, `alone STUDY` (its runners can't
#: ask for ticks), `start_cron` and `stop_cron`. What cron mails is in the file `mail`.
_WORDS = r"""
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1730,gid="$(stat -c %g /var/spool/cron/crontabs)" tmpfs /var/spool/cron/crontabs
mount -t tmpfs -o mode=0755 tmpfs /etc/cron.d
mount --bind /dev/null /etc/crontab
mkdir /run/sbin
mount --bind /usr/sbin /run/sbin
mount -t tmpfs -o mode=0755 tmpfs /usr/sbin
ln -s /run/sbin/* /usr/sbin
rm -f /usr/sbin/sendmail
printf '#!/bin/sh\ncat >>"%s/mail"\n' "$PWD" >/usr/sbin/sendmail
chmod +x /usr/sbin/sendmail

maestro_es() { "$PYTHON" -m maestro_es "$@"; }
await() {
    tries=$(($1 * 5)); shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "in vain: $*" >&2; maestro_es studies >&2; exit 1; }
        sleep 0.2
    done
}
ended() { ! maestro_es status --json --summary "$1" | grep -q '"status": "RUNNING"'; }
alone() {  # by a rename: a tick that sees an empty file writes it again
    cp -p "$1/.maestro-es/next-tick" "$1/.maestro-es/.alone" &&
    echo '#!/bin/sh' >"$1/.maestro-es/.alone" && mv "$1/.maestro-es/.alone" "$1/.maestro-es/next-tick"
}
start_cron() { LD_PRELOAD=$LIBRARY FAKETIME='+0 x60' cron -f & }  # its minute is a second
stop_cron() { kill $!; wait $! || :; }
"""


def _library() -> Path | None:
    """Return the path of libfaketime, which Debian installs in a private directory."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _why_not() -> str:
    """Return why a test can't run its own cron here; empty if it can."""
    absent = [command for command in ("cron", "crontab", "unshare") if not shutil.which(command, path=_path())]
    absent += [] if _library() else ["libfaketime"]
    if absent:
        return f"{', '.join(absent)} not installed (Debian's packages cron and faketime)"
    if os.geteuid():
        return "only root can start a cron of its own"
    probe = subprocess.run([*_PRIVATE, "mount -t tmpfs tmpfs /run"], capture_output=True, text=True, check=False)
    return f"no private mounts: {probe.stderr.strip()}" if probe.returncode else ""


def run_with_cron(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may start its own cron, in a directory. Skip the test if cron can't run here."""
    reason = _why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(f"NO CRON HERE: {reason}", pytrace=False)
    if reason:
        pytest.skip(f"NO CRON HERE: {reason}")
    done = subprocess.run(
        [*_PRIVATE, _WORDS + script],
        cwd=folder,
        env={**os.environ, "PATH": _path(), "PYTHON": sys.executable, "LIBRARY": str(_library()), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done
    return done


def who_ticked(study: Path) -> list[str]:
    """Return the commands that have written to a study's log, except the one that created it."""
    with sqlite3.connect(study / "events.db") as log:
        rows = log.execute("SELECT json_extract(data, '$.command') FROM event WHERE type = 'InvocationStarted'")
        commands = {command for (command,) in rows}
    log.close()
    return sorted(command for command in commands if " run " not in command)
