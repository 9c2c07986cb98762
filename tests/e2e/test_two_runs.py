"""Several commands create a study in one directory or in one second: each study is whole, and no other one is hurt."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.core.rerun import retry
from maestro_es.errors import LogUnavailable, RequestRefused
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study import registry
from maestro_es.study.invocation import open_as_it_is
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.faults import with_fault
from tools.testbed.processes import wait_for

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"), pytest.mark.usefixtures("own_home"),
]  # fmt: skip

SPEC = """
description: {name: shared, description: who comes first}
study:
    - {name: a, description: d, run: {cmd: 'until [ -e $(OUTPUT_PATH)/go ]; do sleep 0.05; done'}}
"""

#: A `git` that takes as long as a test wants: until there is a file `go` beside it.
SLOW_GIT = (
    '#!/bin/sh\ncase $1 in ls-remote) touch "${0%/*}/called"; until [ -e "${0%/*}/go" ]; do sleep 0.05; done; esac\n'
)

BUSY = "another process is creating a study here"

#: What a second `run` says, depending on how far the first one is.
REASONS = (BUSY, "another process is running a tick of the study in it", "the study in it has 1 job;")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Return a study file, whose step runs until there is a file `go` in the study directory."""
    path = tmp_path / "shared.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def slow(tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the study have a git dependency that takes as long as the test wants; returns the directory of `go`."""
    spec.write_text(f"{SPEC}env: {{dependencies: {{git: [{{name: code, path: $(OUTPUT_PATH), url: here}}]}}}}\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(SLOW_GIT)
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def creators() -> Iterator[list[subprocess.Popen[str]]]:
    """Return a list of processes that are ended after the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def begin(*words: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start ``maestro-es`` and return at once."""
    command = [sys.executable, "-m", "maestro_es", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, text=True, cwd=cwd, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def finish(root: Path) -> None:
    """Let the step of a study end, and tick the study to its end."""
    (root / "go").touch()

    def is_finished() -> bool:
        maestro_es("tick", root)
        with Session(root) as study:
            return study.status is StudyStatus.FINISHED

    wait_for(is_finished)
    with open_as_it_is(root) as log:
        verify(log)
        assert len([recorded for recorded in log.events() if isinstance(recorded.event, e.JobSubmitted)]) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_second_run_is_refused_while_a_study_is_created(tmp_path, spec, slow, creators, replaced):
    root, export = tmp_path / "study", tmp_path / "export"
    ExecutionGraph.create(tmp_path / "another").close()
    assert maestro_es("export", tmp_path / "another", "-o", export).returncode == 0
    if replaced:
        (slow / "go").touch()
        assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
        finish(root)
        for name in ("go", "called"):
            (slow / name).unlink()
    first = begin("run", "-y", "-o", root, spec)
    creators.append(first)
    wait_for((slow / "called").exists)
    others = [
        maestro_es("run", "-y", "-o", root, spec),
        maestro_es("import-log", export, root),
        maestro_es("recover", root, "--from", export),
    ]
    with pytest.raises(RequestRefused, match=BUSY):
        ExecutionGraph.create(root)
    (slow / "go").touch()
    out, err = first.communicate(timeout=60)

    assert [(done.returncode, BUSY in done.stderr) for done in others] == [(1, True)] * 3
    assert first.returncode == 0, err
    assert f"Study launched in {root}" in out
    assert list(registry.registered().values()) == [root]
    finish(root)
    assert not (root / ".maestro-es.lock").exists()


def test_a_study_whose_step_runs_is_not_replaced(tmp_path, spec):
    root = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
    again = maestro_es("run", "-y", "-o", root, spec)

    assert again.returncode == 1
    assert again.stderr == (f"maestro-es: {root}: the study in it has 1 job; run 'maestro-es cancel {root}' first\n")
    finish(root)


def test_of_pairs_of_runs_in_one_directory_one_launches_and_the_other_says_why_not(tmp_path, spec):
    for number in range(6):
        root = tmp_path / f"study-{number}"
        pair = [begin("run", "-y", "-o", root, spec) for _ in range(2)]
        ended = sorted((process.communicate(timeout=60)[1], process.returncode) for process in pair)

        assert [code for _, code in ended] == [0, 1], ended
        assert any(reason in ended[1][0] for reason in REASONS), ended
        finish(root)


def test_a_run_that_fails_leaves_nothing_and_does_not_touch_what_another_has_made(tmp_path, spec, slow, creators):
    root = tmp_path / "missing/study"
    (slow / "git").write_text(SLOW_GIT + "exit 1\n")
    first = begin("run", "-y", "-o", root, spec)
    creators.append(first)
    wait_for((slow / "called").exists)
    root.rename(tmp_path / "moved away")
    spec.write_text(SPEC)
    second = maestro_es("run", "-y", "-o", root, spec)
    (slow / "go").touch()
    first.communicate(timeout=60)

    assert (first.returncode, second.returncode) == (1, 0), second.stderr
    finish(root)


def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path, spec, slow, creators):
    first = begin("run", "-y", "-o", tmp_path / "made/here/study", spec)
    creators.append(first)
    wait_for((slow / "called").exists)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)

    assert first.returncode != 0
    assert not (tmp_path / "made").exists()
    assert registry.registered() == {}


def test_a_run_that_fails_brings_back_what_it_was_to_replace(tmp_path, spec, slow):
    root = tmp_path / "study"
    (slow / "go").touch()
    assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
    finish(root)
    waiting = Path(".maestro-es/waiting")  # which its runner removes
    before = {path.relative_to(root) for path in root.rglob("*")} - {waiting}
    (slow / "git").write_text("#!/bin/sh\nexit 1\n")
    done = maestro_es("run", "-y", "-o", root, spec)

    assert done.returncode == 1
    assert "could not be acquired" in done.stderr
    assert before <= {path.relative_to(root) for path in root.rglob("*")}
    assert not {".maestro-es.new", ".maestro-es.lock"} & {*os.listdir(root)}
    assert "previous" not in os.listdir(root / ".maestro-es")
    finish(root)
    assert list(registry.registered().values()) == [root]


def test_runs_of_one_file_in_one_second_get_names_of_their_own(tmp_path, spec):
    runs = [begin("run", "-y", spec, cwd=tmp_path) for _ in range(4)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in runs]

    roots = sorted(tmp_path.glob("shared_*"))
    assert [(err, code) for _, err, code in ended] == [("", 0)] * 4
    assert len(roots) == 4
    assert all(re.fullmatch(r"shared_\d{8}-\d{6}", root.name) for root in roots)
    assert sorted(registry.registered().values()) == roots
    for root in roots:
        finish(root)


def test_a_study_with_no_jobs_is_cancelled_when_it_is_replaced_and_is_kept_whole(tmp_path, spec):
    root = tmp_path / "study"
    with ExecutionGraph.create(root) as graph:
        graph.add_step("b", StudyStep("b", "", {"cmd": "true"}), "b", 0)
    (root / "mine").write_text("my own file")
    done = maestro_es("run", "-y", "-o", root, spec)

    assert done.returncode == 0, done.stderr
    [place] = (root / ".maestro-es/previous").iterdir()
    assert f"The earlier files of {root} are in {place}" in done.stdout
    assert (place / "mine").read_text() == "my own file"
    with open_as_it_is(place) as log:
        verify(log)
        assert log.graph.study.status is StudyStatus.CANCELLED
        assert "replaced by 'maestro-es run -o'" in str(list(log.events()))
    assert list(registry.registered().values()) == [root]
    finish(root)


def test_a_process_that_has_the_log_of_a_replaced_study_open_notices_that(tmp_path, spec):
    """SQLite would take the new log's journal for one of the old log, and roll it back."""
    root = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
    finish(root)
    with Session(root) as study:
        assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
        for use in (study.log.refresh, lambda: tick(study), lambda: study.request(lambda graph: retry(graph, ["a"]))):
            with pytest.raises(LogUnavailable, match="another log has taken its place since it was opened"):
                use()
    finish(root)


def test_a_job_of_a_replaced_study_that_its_scheduler_had_lost_does_not_start_in_the_new_one(tmp_path, spec):
    root = tmp_path / "study"
    tokens = []
    for _ in range(2):
        assert maestro_es("run", "-y", "-o", root, spec).returncode == 0
        finish(root)
        with open_as_it_is(root) as log:
            tokens += [r.event.token for r in log.events() if isinstance(r.event, e.JobSubmitted)]
    late = [
        subprocess.run(
            [root / ".maestro-es/runner.sh", f"{token[:-8]}0badcafe", root / "a", "./a.sh", root], check=False
        )
        for token in tokens
    ]

    assert [done.returncode for done in late] == [75, 0]
    assert not (root / f"a/.claim.{tokens[0][:-8]}0badcafe").is_symlink()


def test_no_question_is_answered_after_something_was_moved(tmp_path, spec):
    root = tmp_path / "study"
    ExecutionGraph.create(root).close()
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "maestro_es", "run", "-o", root, spec],
        input="y\nn\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout[-22:]) == (0, "Study launch aborted.\n")
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP"])
def test_a_file_system_without_hard_links_can_hold_a_study(tmp_path, spec, error):
    root = tmp_path / "study"
    log = root / "events.db"
    spec.write_text("description: {name: s, description: d}\nstudy: [{name: a, description: d, run: {cmd: 'true'}}]\n")
    done = with_fault([log], "link,linkat", error, "-m", "maestro_es", "run", "-y", "-o", root, spec)

    assert done.returncode == 0, done.stderr
    finish(root)


def test_a_log_that_is_there_is_never_replaced(tmp_path, spec, slow, creators):
    """A program that knows nothing of our lock puts a log into the directory while a study is created there."""
    root = tmp_path / "study"
    first = begin("run", "-y", "-o", root, spec)
    creators.append(first)
    wait_for((slow / "called").exists)
    (root / "events.db").write_text("somebody else's")
    (slow / "go").touch()
    _, err = first.communicate(timeout=60)

    assert first.returncode == 1
    assert "there is already a study in this directory" in err
    assert (root / "events.db").read_text() == "somebody else's"
