"""A later version upgrades the logs of this one: whole or not at all, once, and only where it may write."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from maestro_es.core import events as e
from maestro_es.store.log_file import LOG_NAME
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out, needs_strace
from tests.fakes.next_version import NextVersion
from tools.testbed.processes import end_all_under, running_under, wait_for
from tools.testbed.studies import Bench, Step

pytestmark = pytest.mark.xdist_group("upgrade")

#: Opens a log with the next version, in a process of its own; says when it begins to lock the file.
OPENER = """
import sys
from pathlib import Path
from maestro_es.study.session import Session
from maestro_es.store import connection

class Traced(connection.Connection):
    def execute(self, *arguments):
        if arguments[0].startswith("BEGIN"):
            print("locks", flush=True)
        return super().execute(*arguments)

connection.Connection = Traced
print("ready", flush=True)
sys.stdin.readline()
with Session(Path(sys.argv[1])) as study:
    print(study.graph.step(1).priority, flush=True)
"""

#: Upgrades copies of a log, each in a process that is killed at one statement later, and prints how each was left.
KILLER = """
import contextlib, shutil, sqlite3, sqlite_utils, sys
from pathlib import Path
from maestro_es.study.session import Session
from maestro_es.store.verification import verify
sys.path.append(sys.argv[2])
from tests.fakes.killed_statements import kill_at_statement

old, count, killed = Path(sys.argv[1]), 0, True

def upgrade(root, check=False):
    with Session(root) as study:
        if check:
            verify(study.log)

while killed:
    count += 1
    root = old.with_name(f"killed-{count}")
    root.mkdir()
    shutil.copy(old / "events.db", root)
    killed = kill_at_statement(count, lambda: upgrade(root))
    with contextlib.closing(sqlite3.connect(root / "events.db")) as log:
        version = log.execute("PRAGMA user_version").fetchone()[0]
        objects = dict(log.execute("SELECT name, sql FROM sqlite_master"))
    print(version, len({"note", "v_note", "v_step"} & objects.keys()), "loud_name" in objects["v_step"])
    assert not kill_at_statement(10**9, lambda: upgrade(root, check=True))
    shutil.rmtree(root)
"""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> NextVersion:
    """A later version, with other tables, views and events."""
    return NextVersion(tmp_path_factory.mktemp("next"))


@pytest.fixture(scope="module")
def with_views(tmp_path_factory: pytest.TempPathFactory) -> NextVersion:
    """A later version that has changed a view, and no table."""
    return NextVersion(tmp_path_factory.mktemp("views"), tables=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of this version that was moved away: one step has finished, the other one is held."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("made")
        patch.setenv("MAESTRO_ES_HOME", str(folder / "home"))
        study = folder / "study"
        Bench(study).create(Step("a", "true"), Step("b", "true", parents=("a",)))
        assert maestro_es("hold", study, "b", "--reason", "look first").returncode == 0
        assert maestro_es("tick", study).returncode == 0
        wait_for(lambda: not running_under(study))
        assert maestro_es("tick", study).returncode == 0
        yield study.rename(folder / "kept")
        end_all_under(folder)


@pytest.fixture
def study(made: Path) -> Iterator[Path]:
    """A copy of it, in its old place."""
    study = made.with_name("study")
    yield Path(shutil.copytree(made, study, symlinks=True))
    end_all_under(study)
    shutil.rmtree(study)


def schema(study: Path) -> tuple[int, list[str]]:
    """Return the version of a log's tables, and the columns of v_step, as any program sees them."""
    with contextlib.closing(sqlite3.connect(study / LOG_NAME)) as log:
        columns = [row[1] for row in log.execute("PRAGMA table_info(v_step)")]
        return log.execute("PRAGMA user_version").fetchone()[0], columns


def ask(study: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask as the sqlite3 command line does."""
    with contextlib.closing(sqlite3.connect(f"file:{study / LOG_NAME}?mode=ro", uri=True)) as log:
        return log.execute(sql).fetchall()


def timeless(text: str) -> str:
    """Return a text without the numbers in it, and without what their lengths change."""
    return " ".join(re.sub(r"\d+|[─┬┴┼]+", " ", text).split())


WRITERS = [("tick",), ("status",), ("verify",), ("history",), ("release",), ("rebuild",)]


@pytest.mark.parametrize("words", WRITERS, ids="".join)
def test_the_first_command_of_a_later_version_upgrades_the_log(study: Path, newer: NextVersion, words: tuple[str]):
    assert "priority" not in schema(study)[1]

    done = newer(*words, study, *(["b"] if words == ("release",) else []))

    assert (done.returncode, done.stderr) == (0, ""), done
    version, columns = schema(study)
    assert (version, {"priority", "loud_name"} <= set(columns)) == (2, True)
    assert ask(study, "SELECT * FROM v_note") == []
    assert newer("verify", study).returncode == 0
    assert ask(study, "SELECT loud_name, priority FROM v_step") == [("A", 7), ("B", 7)]


def test_an_event_of_an_earlier_version_is_read_as_one_of_the_present(study: Path, newer: NextVersion):
    assert "look first" in maestro_es("history", study).stdout
    assert "LOOK FIRST" in newer("history", study).stdout
    assert newer("release", study, "b").returncode == 0
    assert newer("hold", study, "b", "--reason", "again").returncode == 0
    assert ask(study, "SELECT version, data FROM event WHERE type = 'StepHeld'") == [
        (1, '{"reason":"look first"}'), (2, '{"reason":"again"}'),
    ]  # fmt: skip
    assert "again" in newer("history", study).stdout
    assert newer("verify", study).returncode == 0


def test_a_tick_of_an_upgraded_log_compares_no_views(study: Path, newer: NextVersion):
    assert newer("tick", study).returncode == 0
    command = newer.command("tick", study)
    command[1:1] = ["-X", "importtime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "maestro_es.store.migrations" in imported
    assert not imported & {"importlib.resources", "sqlite_utils", "maestro_es.schema"}


READERS = [("status",), ("tick",), ("tick", "--dry"), ("verify",), ("history",), ("export",), ("why",), ("rebuild",)]


@pytest.mark.parametrize("words", READERS, ids="".join)
def test_an_upgraded_log_is_refused_by_the_version_before(study: Path, newer: NextVersion, words: tuple[str]):
    assert newer("release", study, "b").returncode == 0
    before = (study / LOG_NAME).read_bytes()

    done = maestro_es(*words, study)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert "written by maestro-es 0.2.0; install that version or a later one to read it" in done.stderr
    assert (study / LOG_NAME).read_bytes() == before


@pytest.mark.parametrize("words", [("tick", "--dry"), ("export",)], ids=" ".join)
def test_a_command_that_only_reads_events_upgrades_nothing(study: Path, newer: NextVersion, words: tuple[str, ...]):
    before = (study / LOG_NAME).read_bytes()
    done = newer(*words, study)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert (study / LOG_NAME).read_bytes() == before


def open_to_others(study: Path) -> contextlib.AbstractContextManager[object]:
    """Let other users write to a log, so that SQLite opens it read-only."""
    (study / LOG_NAME).chmod(0o666)
    return contextlib.nullcontext()


@contextlib.contextmanager
def frozen(study: Path) -> Iterator[None]:
    """Make the file system of a study read-only, as a snapshot is."""
    mount = ["mount", "--bind", str(study), str(study)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        leave_out("nothing can be mounted")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(study)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(study)], check=True)


@pytest.mark.parametrize("protect", [open_to_others, frozen])
@pytest.mark.parametrize("words", ["status", "history", "verify", "why", "export", "status --json"])
def test_a_reader_that_can_not_write_reads_a_log_of_the_version_before(
    study: Path,
    newer: NextVersion,
    words: str,
    protect: Callable[[Path], contextlib.AbstractContextManager[object]],
    tmp_path: Path,
):
    expected = newer(*words.split(), shutil.copytree(study, tmp_path / "study", symlinks=True))
    before = (study / LOG_NAME).read_bytes()

    with protect(study):
        done = newer(*words.split(), study)

    assert (done.returncode, done.stderr) == (0, ""), done
    assert timeless(done.stdout) == timeless(expected.stdout.replace(str(tmp_path), str(study.parent)))
    assert (study / LOG_NAME).read_bytes() == before


def test_a_request_about_a_log_on_a_read_only_file_system_is_refused_in_one_line(study: Path, newer: NextVersion):
    with frozen(study):
        done = newer("release", study, "b")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done


def test_a_process_of_the_version_before_that_has_the_log_open_goes_on(study: Path, newer: NextVersion):
    with Session(study) as opened, contextlib.closing(sqlite3.connect(study / LOG_NAME)) as other:
        rows = other.execute("SELECT name FROM v_step")
        assert rows.fetchone() == ("a",)
        rows.close()

        assert newer("status", study).returncode == 0

        opened.log.append([(None, e.StudyPaused(reason="by the old one"))])
        assert opened.log.graph.study.paused
        assert other.execute("SELECT name FROM v_step").fetchall() == [("a",), ("b",)]
    assert "by the old one" in newer("history", study).stdout
    assert newer("verify", study).returncode == 0
    assert ask(study, "SELECT loud_name, priority FROM v_step") == [("A", 7), ("B", 7)]


def test_a_log_is_of_one_version_whichever_statement_of_an_upgrade_a_process_is_killed_at(
    study: Path, newer: NextVersion
):
    """Afterwards the next process upgrades it, and every event and row is right."""
    left = newer.python(KILLER, study, Path(__file__).parents[2]).splitlines()
    assert set(left) == {"1 1 False", "2 3 True"}
    assert left == sorted(left)
    assert left.count("1 1 False") > 20


@pytest.mark.parametrize(
    ("call", "count"),
    [("fdatasync", 1), ("fdatasync", 2), ("fdatasync", 3), ("ftruncate", 1), ("pwrite64", 3), ("pwrite64", 20)],
)
def test_a_log_is_of_one_version_whichever_write_of_an_upgrade_a_process_is_killed_at(
    study: Path, newer: NextVersion, call: str, count: int
):
    needs_strace()
    files = [word for name in (LOG_NAME, f"{LOG_NAME}-journal") for word in ("-P", str(study / name))]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={count}"]
    command = ["strace", "-qq", "-f", "-o", "/dev/null", *files, *inject, *newer.command("status", study)]
    done = subprocess.run(command, capture_output=True, timeout=100, check=False)
    assert done.returncode != 0, "it was not killed"
    version, columns = schema(study)
    assert (version, "priority" in columns) in ((1, False), (2, True))
    assert newer("verify", study).returncode == 0
    assert schema(study)[0] == 2


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_processes_that_upgrade_at_once_do_it_once(study: Path, newer: NextVersion):
    """Both have seen the old version when the first of them gets the lock."""
    command = [sys.executable, "-c", OPENER, str(study)]
    openers = [
        subprocess.Popen(command, cwd="/", env=newer.environment, text=True, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        for _ in range(2)
    ]
    holder = sqlite3.connect(study / LOG_NAME, isolation_level=None)
    try:
        assert [line_of(opener) for opener in openers] == ["ready", "ready"]
        holder.execute("BEGIN IMMEDIATE")
        for opener in openers:
            tell(opener)
        assert [line_of(opener) for opener in openers] == ["locks", "locks"]
        holder.execute("COMMIT")
        for opener in openers:
            said, complaint = opener.communicate(timeout=100)
            assert (opener.returncode, complaint, said.split()[-1]) == (0, "", "7")
    finally:
        holder.close()
        for opener in openers:
            opener.kill()
            opener.communicate()
    assert schema(study)[0] == 2
    assert newer("verify", study).returncode == 0


def test_a_changed_view_needs_no_migration_and_shuts_nobody_out(study: Path, with_views: NextVersion):
    assert "loud_name" not in schema(study)[1]
    assert with_views("tick", study).returncode == 0
    version, columns = schema(study)
    assert (version, "loud_name" in columns) == (1, True)

    for words in (("status",), ("tick",), ("verify",), ("history",), ("rebuild",)):
        done = maestro_es(*words, study)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        assert schema(study) == (1, columns), "the version before has taken the view back"
    assert with_views("verify", study).returncode == 0


@pytest.mark.parametrize("protect", [open_to_others, frozen])
def test_a_query_of_a_log_that_can_not_be_written_finds_the_views_of_its_own_version(
    study: Path, with_views: NextVersion, protect: Callable[[Path], contextlib.AbstractContextManager[object]]
):
    before = (study / LOG_NAME).read_bytes()
    with protect(study):
        done = with_views("query", study, "SELECT loud_name FROM v_step", "--csv")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["loud_name", "A", "B"], ""), done
    assert (study / LOG_NAME).read_bytes() == before


@pytest.mark.parametrize("words", [("status",), ("history",), ("verify",)], ids="".join)
def test_a_reader_that_must_not_write_needs_no_views(study: Path, with_views: NextVersion, words: tuple[str]):
    (study / LOG_NAME).chmod(0o666)
    before = (study / LOG_NAME).read_bytes()
    done = with_views(*words, study)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert (study / LOG_NAME).read_bytes() == before
