"""Debian's cron itself drives a study, an hour of its time in a minute of ours.

The daemon runs in namespaces of its own: it sees a private /run, private crontabs and no crontab of the system, and it
ends with them. libfaketime makes its clock 60 times as fast, so it starts what is due each minute once a second; what
it starts has the true time. Where this can't be done the test is skipped, and in continuous integration (CI is set) it
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

SPEC = """
description: {name: chain, description: a chain and a fan-out}
study:
    - {name: first, description: d, run: {cmd: 'while [ ! -e $(SPECROOT)/go ]; do sleep 0.1; done; echo hello > word'}}
    - {name: fan, description: d, run: {cmd: 'cat $(first.workspace)/word; echo $(N) > n', depends: [first]}}
    - {name: last, description: d, run: {cmd: 'cat $(fan.workspace)/*/n | sort -n > all', depends: [fan_*]}}
global.parameters:
    N: {values: [3, 1, 2], label: N.%%}
"""

#: A crontab that the user has already; the job is due next New Year.
OTHERS = '# mine\nMAILTO=""\n0 3 1 1 * true 100\\%\n'

#: Who runs it has no crontabs but private ones, and ends all that it started when it ends.
PRIVATE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-eu", "-c"]

SCRIPT = r"""
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1730,gid="$(stat -c %g /var/spool/cron/crontabs)" tmpfs /var/spool/cron/crontabs
mount -t tmpfs -o mode=0755 tmpfs /etc/cron.d
mount --bind /dev/null /etc/crontab

maestro_es() { "$PYTHON" -m maestro_es "$@"; }
await() {  # await SECONDS COMMAND...
    tries=$(($1 * 10)); shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "in vain: $*" >&2; maestro_es status --disable-pager study >&2; exit 1; }
        sleep 0.1
    done
}
newer() { [ study/.maestro-es/last-tick -nt mark ]; }
ended() { ! maestro_es status --json --summary study | grep -q '"status": "RUNNING"'; }

crontab others
maestro_es cron install
maestro_es run -y -o study chain.yaml
rm study/.maestro-es/next-tick                    # the runners can't ask for ticks
touch mark
LD_PRELOAD=$LIBRARY FAKETIME='+0 x60' cron -f &   # its minute is a second
await 20 newer
maestro_es cron check
touch go
await 60 ended
kill $!
maestro_es cron remove
crontab -l >after
"""


def _library() -> Path | None:
    """Return libfaketime, which Debian keeps where only its own command looks."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def _why_not() -> str:
    """Say why there can be no cron of our own here; empty if there is no reason."""
    absent = [command for command in ("cron", "crontab", "unshare") if not shutil.which(command, path=_path())]
    absent += [] if _library() else ["libfaketime"]
    if absent:
        return f"{', '.join(absent)} not installed (Debian's packages cron and faketime)"
    if os.geteuid():
        return "only root can start a cron of its own"
    probe = subprocess.run([*PRIVATE, "mount -t tmpfs tmpfs /run"], capture_output=True, text=True, check=False)
    return f"no private mounts: {probe.stderr.strip()}" if probe.returncode else ""


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@pytest.fixture
def _cron_of_our_own():
    reason = _why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(f"NO CRON HERE: {reason}", pytrace=False)
    if reason:
        pytest.skip(f"NO CRON HERE: {reason}")


@pytest.mark.usefixtures("_cron_of_our_own")
def test_the_installed_line_and_nothing_else_drives_a_study_to_its_end(tmp_path):
    home = tmp_path / "100% ours"  # a space for the shell, a percent sign for cron
    (tmp_path / "others").write_text(OTHERS)
    (tmp_path / "chain.yaml").write_text(SPEC)
    done = subprocess.run(
        [*PRIVATE, SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PATH": _path(), "PYTHON": sys.executable, "LIBRARY": str(_library()),
             "MAESTRO_ES_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "\ncron ticks it each minute\n" in done.stdout
    assert "\nMissed:     0\n" in done.stdout
    assert (tmp_path / "study" / "last" / "all").read_text() == "1\n2\n3\n"
    assert (tmp_path / "after").read_text() == OTHERS
    assert _who_ticked(tmp_path / "study") == ["__main__.py tick --all"]


def _who_ticked(study: Path) -> list[str]:
    """Return the commands that wrote the log, but for the one that created the study."""
    with sqlite3.connect(study / "events.db") as log:
        rows = log.execute("SELECT json_extract(data, '$.command') FROM event WHERE type = 'InvocationStarted'")
        commands = {command for (command,) in rows}
    log.close()
    return sorted(command for command in commands if " run " not in command)
