"""The output of steps, as ``logs`` and ``why`` print it: a real study, whose steps run."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STUDY = """\
description: {name: logs, description: d}
study:
- {name: bad, description: d, run: {cmd: "echo begin; printf '\\\\nmesh\\\\033[1m\\\\nis inverted\\\\n' >&2; exit 3"}}
- {name: killed, description: d, run: {cmd: "printf half; kill -9 $$"}}
- {name: again, description: d, run: {cmd: 'test -e ok || { echo one; exit 1; }; echo two'}}
- {name: quiet, description: d, run: {cmd: "true"}}
- {name: later, description: d, run: {cmd: "echo never", depends: [bad]}}
"""

SLOW = """\
description: {name: slow, description: d}
study:
- {name: slow, description: d, run: {cmd: "touch ready; echo one; until [ -e go ]; do sleep 0.1; done; echo two"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the study `s`, which has ended. Its step `again` has two attempts."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "logs.yaml").write_text(STUDY)
    assert maestro_es("run", "-y", "--wait", "-o", "s", "logs.yaml", cwd=folder).returncode == 2
    (folder / "s/again/ok").touch()
    assert maestro_es("retry", "s", "again", cwd=folder).returncode == 0
    wait_for(
        lambda: (
            "two" in maestro_es("logs", "s", "again", cwd=folder).stdout
            or maestro_es("tick", "s", cwd=folder).returncode
        )
    )
    return folder


def test_one_file_is_printed_as_it_is(folder):
    assert maestro_es("logs", "s", "again", cwd=folder).stdout == "two\n"
    assert maestro_es("logs", "s", "killed", "--out", cwd=folder).stdout == "half"
    assert maestro_es("logs", "s", "bad", "--err", cwd=folder).stdout == "\nmesh\x1b[1m\nis inverted\n"
    assert maestro_es("logs", "s", "bad", "--err", "--tail", "1", cwd=folder).stdout == "is inverted\n"


def test_several_files_are_named(folder):
    ran = maestro_es("logs", "s", "killed", "bad", "--tail", "1", cwd=folder)

    [output], [errors] = (folder / "s/killed").glob("*.out"), (folder / "s/bad").glob("*.err")
    assert ran.stdout == (
        f"==> killed, attempt 1: {output} <==\nhalf\n\n"
        f"==> bad, attempt 1: {errors.with_suffix('.out')} <==\nbegin\n\n"
        f"==> bad, attempt 1: {errors} <==\nis inverted\n"
    )


def test_the_output_of_an_earlier_attempt_is_kept(folder):
    assert maestro_es("logs", "s", "again", "--attempt", "1", cwd=folder).stdout == "one\n"
    ran = maestro_es("logs", "s", "again", "--attempt", "3", cwd=folder)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("maestro-es: again has no output of attempt 3: it finished at ")


def test_a_step_without_output_says_why(folder):
    ran = maestro_es("logs", "s", "later", cwd=folder)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("maestro-es: later has no output: it was not run because bad failed at ")
    assert maestro_es("logs", "s", "quiet", cwd=folder).returncode == 0
    assert maestro_es("logs", "s", "*", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    "words", [["s"], ["s", "bad", "-f", "--attempt", "1"], ["s", "nothing"], ["s", "bad", "-n", "-1"]]
)
def test_wrong_arguments_get_one_line(folder, words):
    ran = maestro_es("logs", *words, cwd=folder)
    assert ran.returncode
    assert ran.stderr.startswith("maestro-es: ")
    assert ran.stderr.count("\n") == 1


def test_the_last_errors_of_a_step_are_its_own(folder):
    """An instance of Flux for one step reports at the end how its only program, the runner, has ended."""
    [errors] = (folder / "s/bad").glob("*.err")
    before = errors.read_text()
    broker = f"broker.err[0]: rc2.0: {folder}/s/.maestro-es/runner.sh 9207ca61-1-1-81fb471f Exited (rc=3) 0.0s\n"
    errors.write_text(before + broker)
    try:
        assert maestro_es("why", "s", "bad", cwd=folder).stdout.endswith("  | is inverted\n")
        assert "rc2.0" not in maestro_es("status", "s", cwd=folder).stdout
        assert maestro_es("logs", "s", "bad", "--err", cwd=folder).stdout.endswith(broker)
    finally:
        errors.write_text(before)


def test_why_ends_with_the_last_errors_of_the_step_that_failed(folder):
    for name in ("bad", "later"):
        lines = maestro_es("why", "s", name, cwd=folder).stdout.splitlines()
        assert lines[-3:] == [
            "The last errors of bad ('maestro-es logs' prints the whole output):",
            "  | mesh",
            "  | is inverted",
        ]
    answer = json.loads(maestro_es("why", "s", "later", "--json", cwd=folder).stdout)
    assert (answer["errors"], answer["written_by"]) == (["mesh", "is inverted"], "bad")
    killed = maestro_es("why", "s", "killed", cwd=folder).stdout
    assert " with exit code 137: killed by SIGKILL, often because the memory was used up (job " in killed
    assert "The last errors" not in killed
    assert "The last errors" not in maestro_es("why", "s", "later", "--at", "0s", cwd=folder).stdout


@contextlib.contextmanager
def following_a_step(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``logs -f`` for a step that waits, and has printed a line."""
    (folder / "slow.yaml").write_text(SLOW)
    assert maestro_es("run", "-y", "-o", "w", "slow.yaml", cwd=folder).returncode == 0
    wait_for((folder / "w/slow/ready").exists)
    command = [sys.executable, "-m", "maestro_es", "logs", "w", "slow", "-f"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout
        assert following.stdout.readline() == "one\n"
        try:
            yield following
        finally:
            (folder / "w/slow/go").touch()
            following.kill()


def test_follow_ends_with_the_step(tmp_path):
    with following_a_step(tmp_path) as following:
        (tmp_path / "w/slow/go").touch()
        assert following.communicate(timeout=60) == ("two\n", "")
        assert following.returncode == 0


def test_ctrl_c_ends_follow_quietly(tmp_path):
    with following_a_step(tmp_path) as following:
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=60) == ("", "")
        assert following.returncode == 0
