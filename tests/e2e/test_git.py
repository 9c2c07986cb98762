"""A git dependency whose server does not answer: the user is told what is waited for, and not for ever."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import running_under, wait_for

SPEC = """\
description: {{name: s, description: d}}
env:
  dependencies:
    git:
    - {{name: LIB, path: {path}, url: "{url}"}}
study: [{{name: a, description: d, run: {{cmd: ls}}}}]
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/lib.git"


def _processes(word: str) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in words and process.name != str(os.getpid()):
            found.append(process)
    return found


def test_a_server_that_does_not_answer_is_named_and_waited_for_no_longer_than_said(tmp_path: Path, silent: str):
    (tmp_path / "study.yaml").write_text(SPEC.format(path="$(OUTPUT_PATH)", url=silent))
    done = maestro_es("run", "-y", "-o", "out", "study.yaml", cwd=tmp_path, env={"MAESTRO_ES_GIT_TIMEOUT": "1"})

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"maestro-es: fetching the git dependency 'LIB' from {silent}",
        (
            "maestro-es: study.yaml:5: The git dependency 'LIB' could not be acquired. "
            f"Connectivity check failed for {silent}: no answer within 1 s; MAESTRO_ES_GIT_TIMEOUT=SECONDS sets "
            "another limit, and 0 means none. Check the address, your permissions and the network."
        ),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
    assert sys.platform != "linux" or not _processes(silent)  # git's own children have ended with it


def test_a_time_that_is_none_is_refused_in_one_line(tmp_path: Path, silent: str):
    (tmp_path / "study.yaml").write_text(SPEC.format(path="$(OUTPUT_PATH)", url=silent))
    done = maestro_es("run", "-y", "-o", "out", "study.yaml", cwd=tmp_path, env={"MAESTRO_ES_GIT_TIMEOUT": "soon"})

    assert done.returncode == 1
    assert ": MAESTRO_ES_GIT_TIMEOUT is 'soon'; write a whole number of seconds. " in done.stderr.splitlines()[1]


def test_a_copy_that_is_not_complete_is_removed(tmp_path: Path):
    """The server of a repository says its branches, and then nothing: git itself is a script here."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text('#!/bin/sh\ncase $1 in ls-remote) ;; clone) mkdir -p "$4/part"; exec sleep 60;; esac\n')
    git.chmod(0o755)
    (tmp_path / "study.yaml").write_text(SPEC.format(path="beside", url="somewhere"))
    environment = {"MAESTRO_ES_GIT_TIMEOUT": "1", "PATH": f"{git.parent}:{os.environ['PATH']}"}
    done = maestro_es("run", "-y", "-o", "out", "study.yaml", cwd=tmp_path, env=environment)

    assert done.returncode == 1
    assert f"Cloning somewhere into '{tmp_path}/beside/LIB' failed: no answer within 1 s" in done.stderr
    assert not (tmp_path / "beside" / "LIB").exists()
    wait_for(lambda: not running_under(tmp_path))
