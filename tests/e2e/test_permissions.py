"""Whose files a study is made of: modes by the umask of `run`, a group that may read, and one that renames entries."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="wants setpriv, and looks into /proc")

SPEC = """
description: {name: commons, description: a study that a group shares}
study:
    - {name: share, description: any step, run: {cmd: echo $(N) >out}}
    - {name: last, description: any step, run: {cmd: 'false', depends: [share_*]}}
global.parameters: {N: {values: [1, 2], label: N.%%}}
"""

#: Anybody but us, and a group of no user's.
UID, GID = 54321, 54322

READING = (
    ("status",), ("status", "--summary"), ("status", "--at", "5"), ("history",), ("history", "--json"),
    ("show", "share_N.1"), ("why", "last"), ("blame", "last"), ("diff", "1", "9"), ("diff", "--since-last"),
    ("verify",), ("export",), ("env",), ("query", "SELECT * FROM v_event"),
)  # fmt: skip


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory that others can reach and whose files belong to a group; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="maestro-es-commons-"))
    (folder / "home").mkdir()
    (folder / "spec.yaml").write_text(SPEC)
    monkeypatch.setenv("MAESTRO_ES_HOME", str(folder / "home"))
    if os.geteuid() == 0:
        os.chown(folder, 0, GID)
    folder.chmod(0o2755)
    yield folder
    end_all_under(folder)
    shutil.rmtree(folder)


@pytest.fixture
def umask() -> Iterator[None]:
    """Let the group of all files read and write."""
    before = os.umask(0o007)
    yield
    os.umask(before)


@pytest.fixture
def other_user(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a test out if no other user can run our command here."""
    (place / "other home").mkdir()
    if os.geteuid() or not shutil.which("setpriv"):
        leave_out("only root can be another user")
    (place / "other home").chmod(0o777)
    if as_other("--version").returncode:
        leave_out("another user can't run this Python")


def as_other(*words: str | Path, group: int = GID) -> subprocess.CompletedProcess[str]:
    """Run ``maestro-es`` as somebody else, who is in the group of the files unless another one is named."""
    return run_as_other(sys.executable, "-m", "maestro_es", *words, group=group)


def run_as_other(*words: str | Path, group: int = GID) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody else."""
    home = Path(os.environ["MAESTRO_ES_HOME"]).with_name("other home")
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", f"--groups={group}"]
    return subprocess.run(
        [*user, *map(str, words)],
        env={**os.environ, "HOME": str(home), "MAESTRO_ES_HOME": str(home / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def finished(root: Path) -> bool:
    maestro_es("tick", root)
    with Session(root) as study:
        return study.status is not StudyStatus.RUNNING


def modes(root: Path, *names: str) -> list[str]:
    return [f"{stat.S_IMODE((root / name).stat().st_mode) & 0o777:o}" for name in names]


@pytest.mark.parametrize(
    ("mask", "folder", "script"), [(0o007, "770", "760"), (0o022, "755", "744"), (0o077, "700", "700")]
)
def test_a_study_has_the_permissions_of_the_umask_of_run_whoever_ticks(place, mask, folder, script):
    root = place / "study"
    before = os.umask(mask)
    try:
        assert maestro_es("run", "-y", "-o", root, place / "spec.yaml").returncode == 0
        os.umask(0o022)  # that of cron
        wait_for(lambda: finished(root))
    finally:
        os.umask(before)

    assert modes(root, "", "share", "share/N.1", "last", "meta") == [folder] * 5
    assert modes(root, "share/N.1/share_N.1.sh", "last/last.sh") == [script] * 2
    assert modes(root, "events.db", ".maestro-es", ".maestro-es/inbox") == ["600", "700", "700"]


def test_nothing_of_a_study_can_be_written_by_all_whatever_the_umask(place):
    root = place / "study"
    before = os.umask(0o000)
    try:
        assert maestro_es("run", "-y", "--wait", "-o", root, place / "spec.yaml").returncode == 2
    finally:
        os.umask(before)

    assert modes(root, "", "share/N.1", "last") == ["775"] * 3
    assert modes(root, "last/last.sh") == ["764"]


@pytest.mark.usefixtures("umask", "other_user")
def test_a_colleague_can_add_files_and_change_a_script_under_umask_007(place):
    root = place / "study"
    assert maestro_es("run", "-y", "--wait", "-o", root, place / "spec.yaml").returncode == 2
    script = "echo note >note && echo note >last/note && sed -i s/false/true/ last/last.sh"
    done = run_as_other("sh", "-c", f"cd {root} && {script}")

    assert (done.returncode, done.stderr) == (0, "")
    assert maestro_es("tick", root).returncode == 0
    assert "which you may not read; " in as_other("status", root).stderr


@pytest.mark.usefixtures("umask", "other_user")
@pytest.mark.parametrize("what", ["events.db", ".maestro-es", "events.db-journal"])
def test_what_a_colleague_has_put_into_the_place_of_ours_is_refused_by_each_tick(place, what):
    root = place / "study"
    assert maestro_es("run", "-y", "-o", root, place / "spec.yaml").returncode == 0
    wait_for(lambda: finished(root))
    assert maestro_es("retry", root, "last").returncode == 0
    path = root / what
    path.touch()
    done = run_as_other("sh", "-c", f"mv {path} {path}.away && cp -r {root}/meta {path}.new && mv {path}.new {path}")
    if what != ".maestro-es":
        done = run_as_other("sh", "-c", f"rm -r {path} && echo planted >{path}")
    ticks = [maestro_es("tick", root), maestro_es("tick", "--all")]

    assert (done.returncode, done.stderr) == (0, "")
    for tick in ticks:
        assert (tick.returncode, tick.stdout) == (1, "")
        assert (
            f"{path}: belongs to another user (uid {UID}); the study directory is yours, so see who put it there\n"
            in tick.stderr
        )
    run_as_other("sh", "-c", f"rm -r {path} && mv {path}.away {path}")
    wait_for(lambda: finished(root))
    with Session(root) as study:
        assert len([r for r in study.log.events() if isinstance(r.event, e.JobSubmitted)]) == 4


@pytest.mark.usefixtures("other_user")
def test_with_group_read_a_colleague_can_use_every_reading_command_and_no_other(place):
    root = place / "study"
    before = os.umask(0o077)
    try:
        assert maestro_es("run", "-y", "--wait", "--group-read", "-o", root, place / "spec.yaml").returncode == 2
    finally:
        os.umask(before)
    for command, *words in READING:
        ours, theirs = maestro_es(command, root, *words), as_other(command, root, *words)

        assert (theirs.returncode, theirs.stderr) == (ours.returncode, ours.stderr), (command, words)
        assert len(theirs.stdout) > 0
        if command not in {"status", "show", "diff"}:  # these say when they were asked
            assert theirs.stdout == ours.stdout, (command, words)
    values = as_other("env", root, "--values")
    assert values.returncode == 1
    assert values.stdout == maestro_es("env", root).stdout
    assert values.stderr.endswith(": Permission denied; only the owner of the study may read the values\n")
    assert as_other("diff", root, "--since-last").stdout == ""  # it was told before
    for request, *words in (("retry", "--failed"), ("cancel", "-y"), ("tick",), ("tick", "--dry"), ("rebuild",)):
        refused = as_other(request, root, *words)
        assert refused.returncode == 1, request
        assert "belongs to another user" in refused.stderr
    assert as_other("status", root, group=UID).returncode == 1
    assert modes(root, "share/N.1") == ["700"]


@pytest.mark.usefixtures("other_user")
def test_a_colleague_with_another_version_can_read_too_and_changes_nothing(place):
    root = place / "study"
    assert maestro_es("run", "-y", "--wait", "--group-read", "-o", root, place / "spec.yaml").returncode == 2
    status = maestro_es("status", "--csv", root).stdout
    with contextlib.closing(sqlite3.connect(root / "events.db")) as log:  # as an older version leaves it
        log.execute("UPDATE projection SET reducer_version = 0, applied_seq = 3")
        log.execute("DELETE FROM step WHERE number > 1")
        log.commit()
    before = (root / "events.db").read_bytes()
    for command in ("status", "history", "verify", "studies"):
        assert as_other(command, *([root] if command != "studies" else [])).returncode == 0
    asked = as_other("query", root, "SELECT name, state FROM v_step", "--csv")
    assert (len(asked.stdout.splitlines()), asked.stderr) == (len(status.splitlines()), "")
    theirs = as_other("status", "--csv", root)
    refused, written = (
        run_as_other(sys.executable, "-c", f"import maestro_es; maestro_es.ExecutionGraph.open({str(root)!r}).{call}")
        for call in ("retry('last')", "add_description('name', 'what for')")
    )

    assert (theirs.stdout, theirs.stderr) == (status, "")
    assert f"NotOurs: {root}: belongs to another user" in refused.stderr
    assert "nothing was written: another user owns it, or its file system is read-only; run this as" in written.stderr
    assert (root / "events.db").read_bytes() == before


@pytest.mark.usefixtures("other_user")
def test_a_study_lies_in_a_directory_of_somebody_else_that_can_not_be_listed(place):
    (place / "closed/study").mkdir(parents=True)
    os.chown(place / "closed/study", UID, UID)
    (place / "closed").chmod(0o711)
    done = [as_other("run", "-y", "--wait", "-o", place / "closed/study", place / "spec.yaml") for _ in range(2)]

    assert [(run.returncode, "Study ended: FAILURE" in run.stdout.splitlines()) for run in done] == [(2, True)] * 2
    assert "The earlier files of" in done[1].stdout


@pytest.mark.usefixtures("umask", "other_user")
def test_a_study_that_exists_is_opened_to_its_group_and_closed_again(place):
    root = place / "study"
    assert maestro_es("run", "-y", "--wait", "-o", root, place / "spec.yaml").returncode == 2
    owner = f"{root}: a study of root, which you may not read; root can let the group read it with"
    codes = []
    for option in ("--group-read", "--no-group-read", "--group-read"):
        codes.append(as_other("status", root).returncode)
        assert maestro_es("update", root, option).returncode == 0
        assert maestro_es("retry", root, "last").returncode == 0  # the journal and what ticks write follow
        wait_for(lambda: finished(root))

    assert codes == [1, 0, 1]
    assert as_other("verify", root).returncode == 0
    for group in (UID, GID):
        if group == GID:
            assert maestro_es("update", root, "--no-group-read").returncode == 0
        refused = as_other("status", root, group=group)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"maestro-es: {owner} 'maestro-es update {root} --group-read'")
        assert refused.stderr.count("\n") == 1
    assert as_other("update", root, "--group-read").returncode == 1
