"""Commands and hostile inputs, one with the other: an answer or one line, soon, and never a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from maestro_es.store.log_file import LOG_NAME
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tools.testbed.logs import without_triggers, written
from tools.testbed.processes import end_all_under

GOOD = "description: {name: x, description: d}\nstudy:\n- {name: a, description: d, run: {cmd: 'true'%s}}\n%s"
LONG = "0x" + "f" * 5000


def bomb(last: str) -> str:
    """Return a study file with a list whose aliases unfold into 9**8 values."""
    levels = (f"x{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 8))
    return "x0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(levels) + last


FILES: Mapping[str, str | bytes] = {
    "a long number of nodes": GOOD % (f", nodes: {LONG}", ""),
    "a long parameter": GOOD % ("", f"global.parameters:\n    N: {{values: [{LONG}], label: N.%%}}\n"),
    "a long variable": GOOD % ("", f"env:\n    variables: {{V: {LONG}}}\n"),
    "a long value of the batch": GOOD % ("", f"batch: {{type: local, nodes: 0b{'1' * 50_000}}}\n"),
    "a long decimal number": GOOD % (f", nodes: {'9' * 5000}", ""),
    "a long number to the base 60": GOOD % (f", nodes: {':'.join(['59'] * 3000)}", ""),
    "numbers without end": GOOD % (", nodes: .inf, depends: .nan", ""),
    "dates that are none": GOOD % ("", "env:\n    variables: {V: 9999-99-99, W: 0000-00-00}\n"),
    "deep lists": "a: " + "[" * 200_000,
    "deep blocks": "- " * 100_000 + "x",
    "deep keys": "? " * 100_000 + "x",
    "deep mappings": "a: " + "{a: " * 100_000,
    "aliases in the batch": bomb(GOOD % ("", "batch: {type: local, y: *a7}\n")),
    "aliases in variables": bomb(GOOD % ("", "env:\n    variables: {V: *a7}\n")),
    "an alias of itself": "a: &a\n    <<: [*a]\n",
    "a python object": '!!python/object/apply:os.system ["touch executed"]\n',
    "bytes": bytes(range(256)) * 100,
    "another encoding": (GOOD % ("", "")).encode("utf-16"),
    "a million lines": "\n" * 2_000_000,
    "many values": GOOD % ("", f"global.parameters:\n    N: {{values: [&a {'x,' * 2_000_000}], label: N.%%}}\n"),
    "many wrong values": GOOD % ("", f"global.parameters:\n    N: {{valeus: [{'[],' * 2_000_000}], label: N.%%}}\n"),
    "more than ten million bytes": GOOD % ("", "#" * 11_000_000),
    "nothing": "",
    "a list": "[]",
}


def told(done: subprocess.CompletedProcess[str], codes: tuple[int, ...] = (1,)) -> str:
    """Check that a command has refused something in its own words, and return them."""
    assert "Traceback" not in done.stderr, done
    assert done.returncode in codes, done
    assert done.stderr.startswith("maestro-es: "), done
    return done.stderr


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield
    end_all_under(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_study_file_that_is_none_is_refused_and_takes_no_more_memory_than_any(tmp_path: Path, name: str):
    content = FILES[name]
    (tmp_path / "study.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    shell = 'ulimit -v 1500000; exec "$@"'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "maestro_es"]
    for words in (("validate", "study.yaml"), ("run", "-y", "-o", "out", "study.yaml")):
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert told(done)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("words", ["validate /dev/zero", "run -y -o out /dev/zero", "import-log /dev/zero out",
                                   "recover out --from /dev/zero", "validate /dev/null"])  # fmt: skip
def test_a_device_is_no_study_and_no_export(tmp_path: Path, words: str):
    command = ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh", sys.executable, "-m", "maestro_es", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert told(done).count("\n") == 1


#: What another hand may do to a log.
CHANGES = (
    "UPDATE event SET recorded_at = recorded_at + 4611686018427387904 WHERE seq >= 20",
    "UPDATE event SET recorded_at = -62135596800000001",
    "UPDATE event SET recorded_at = 'x' WHERE seq = 12",
    "UPDATE event SET step = 99999 WHERE step IS NOT NULL",
    "UPDATE event SET step = 'x' WHERE step = 1",
    "UPDATE event SET invocation = 'x'",
    "UPDATE event SET type = x'00ff' WHERE seq = 8",
    "DELETE FROM event",
    "UPDATE step SET phase = 77",
    "UPDATE step SET ended_at = 'x'",
    "UPDATE step SET started_at = -9000000000000000000",
    "INSERT INTO edge (parent, child) SELECT child, parent FROM edge",
)

READERS = (
    "status {}", "status {} --layout narrow", "status {} --at 10", "history {}", "show {} alone", "why {}",
    "blame {} alone", "diff {} 1", "diff {} 5 20", "verify {}", "tick {}", "tick --dry {}", "tick --all",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_log_that_another_hand_has_changed_is_answered_from_or_named(tmp_path: Path, change: str):
    study = tmp_path / "study"
    study.mkdir()
    written(study / LOG_NAME).close()
    log = sqlite3.connect(study / LOG_NAME, isolation_level=None)
    log.execute("PRAGMA ignore_check_constraints = ON")
    with without_triggers(log):
        log.execute(change)
    log.close()
    (tmp_path / "home/studies").mkdir(parents=True)
    (tmp_path / "home/studies/cafe").write_text(f"{study}\n")
    changed = (study / LOG_NAME).read_bytes()
    for words in READERS:
        (study / LOG_NAME).write_bytes(changed)
        done = maestro_es(*words.format(study).split())
        if done.returncode or done.stderr:
            line = told(done, (0, 1, 75))
            assert str(study) in line or not words.startswith("tick --all"), words


def test_what_a_changed_log_makes_impossible_to_answer_is_told_by_what_was_changed(tmp_path: Path):
    written(tmp_path / LOG_NAME).close()
    log = sqlite3.connect(tmp_path / LOG_NAME, isolation_level=None)
    with without_triggers(log):
        log.execute("UPDATE event SET recorded_at = 300000000000000000 WHERE seq >= 7")
    log.close()
    for words in ("diff {} 5 20", "history {}"):
        line = told(maestro_es(*words.format(tmp_path).split()))
        assert line.startswith(f"maestro-es: {tmp_path / LOG_NAME}: event 7")
        assert line.count("\n") == 1


COMMANDS = (
    "tick study", "tick --all", "status study", "history study", "validate study.yaml", "studies", "diff study 1h",
    "status study --at 2h", "why study", "run -y -o new study.yaml", "tick --dry study", "hold study a",
)  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(GOOD % ("", ""))
    assert maestro_es("run", "-y", "-o", "study", "study.yaml", cwd=tmp_path).returncode == 0
    return tmp_path


def _in_the_year(year: int, words: str, study: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["faketime", "-f", f"@{year}-01-01 00:00:00", sys.executable, "-m", "maestro_es", *words.split()],
        cwd=study, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("year", [1960, 2300])
def test_a_clock_that_is_centuries_off_is_told_of_or_used(study: Path, year: int):
    if not shutil.which("faketime"):
        leave_out("there is no faketime")
    for words in COMMANDS:
        done = _in_the_year(year, words, study)
        while "faketime: sem_open" in done.stderr:  # a killed process of the same number has left its semaphore
            done = _in_the_year(year, words, study)
        if done.returncode or done.stderr:
            line = told(done, (0, 1, 75))
            assert year == 1960 or "the clock of this host shows a time after the year 2262" in line


@pytest.mark.parametrize("limit", ["-n 4", "-n 5", "-n 7", "-v 40000", "-v 60000"])
def test_a_host_that_gives_no_files_or_no_memory_is_named_and_nothing_is_half_done(study: Path, limit: str):
    """The interpreter must get as far as our first line, so it does without what `site` loads for a developer."""
    program = "import sys; sys.path += sys.argv.pop(1).split(':'); from maestro_es.__main__ import run; run()"
    places = ":".join(entry for entry in sys.path if entry)
    shell = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh"]
    for words in COMMANDS:
        done = subprocess.run(
            [*shell, sys.executable, "-I", "-S", "-c", program, places, *words.split()],
            cwd=study, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode or done.stderr:
            told(done, (0, 1, 75))
    assert maestro_es("verify", "study", cwd=study).returncode == 0


@pytest.mark.parametrize("library", ["msgspec/_core", "_sqlite3", "_yaml", "_datetime"])
@pytest.mark.parametrize("words", ["validate study.yaml", "status study", "history study", "tick study", "--help"])
def test_ctrl_c_while_a_command_is_loaded_ends_it_in_one_line(study: Path, words: str, library: str):
    if library in sys.builtin_module_names:
        pytest.skip(f"this Python contains {library}, so it loads no file for it")
    command = [sys.executable, "-m", "maestro_es", *words.split()]
    interrupted = 0
    for _ in range(2):
        with subprocess.Popen(
            command, cwd=study, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            maps = Path(f"/proc/{process.pid}/maps")
            while process.poll() is None and library not in maps.read_text():
                time.sleep(0.0005)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        if process.returncode == 130:
            assert err == "maestro-es: interrupted\n"
            interrupted += 1
        else:
            assert (process.returncode, err) == (0, "")
    assert interrupted or words == "--help" or library == "_yaml" or words == "tick study"


#: Sends the process an interrupt as it imports a module.
INTERRUPT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("place", ["maestro_es", "maestro_es.__main__", "maestro_es.import_path", "maestro_es.cli"])
@pytest.mark.parametrize("words", ["status study", "tick study"])
def test_ctrl_c_while_the_command_starts_ends_it_without_a_traceback(study: Path, words: str, place: str):
    (study / "path").mkdir()
    (study / "path/sitecustomize.py").write_text(INTERRUPT)
    command = Path(sys.executable).with_name("maestro-es")
    done = subprocess.run(
        [str(command), *words.split()], cwd=study, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(study / "path"), "INTERRUPT_AT": place},
    )  # fmt: skip
    assert done.stderr in {"", "maestro-es: interrupted\n"}
    assert done.returncode == (130 if done.stderr else -signal.SIGINT), "a shell says 130 in both cases"


@pytest.mark.parametrize("start", ["script", "module"])
def test_an_interrupt_that_the_caller_ignores_is_ignored(study: Path, start: str):
    script = str(Path(sys.executable).with_name("maestro-es"))
    command = [script] if start == "script" else [sys.executable, "-m", "maestro_es"]
    (study / "path").mkdir()
    (study / "path/sitecustomize.py").write_text(INTERRUPT)
    done = subprocess.run(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command, "verify", "study"], cwd=study, capture_output=True,
        text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(study / "path"), "INTERRUPT_AT": "maestro_es.cli"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_at_any_moment_shows_no_line_of_ours(study: Path):
    """Before our first line Python may show where it was; that no line of ours stands there is all we can do."""
    started = time.monotonic()
    maestro_es("status", "study", cwd=study)
    length = time.monotonic() - started
    for number in range(25):
        with subprocess.Popen(
            [sys.executable, "-m", "maestro_es", "status", "study"], cwd=study, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as process:  # fmt: skip
            time.sleep(length * number / 25)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert f"{os.sep}maestro_es{os.sep}" not in err
        assert "Traceback" in err or err in {"", "maestro-es: interrupted\n"}
