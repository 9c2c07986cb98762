"""Every step runs in the environment of `run`, whoever starts it, where /bin/sh is dash too."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import stop_own_ticks
from tests.fakes.cron import run_with_cron, who_ticked
from tools.testbed.processes import wait_for

SPEC = """
description: {name: hangar, description: steps that need what the user has set up}
study:
    - name: first
      description: d
      run: {cmd: 'while [ ! -e $(SPECROOT)/go ]; do sleep 0.05; done; . $(SPECROOT)/look.sh'}
    - {name: later, description: d, run: {cmd: '. $(SPECROOT)/look.sh', depends: [first]}}
    - {name: with=sign, description: d, run: {cmd: '. $(SPECROOT)/look.sh', depends: [later]}}
"""

#: What a step writes down: of the environment, all but what is its own.
LOOK = r"""
{ env | grep -v -e ^MAESTRO_ES_TOKEN= -e ^PWD=; grep ^SigIgn: /proc/$$/status | tr ':\t' '=_'; } | sort >env
{ module load gcc; echo "$output $http_proxy"; umask; ulimit -S -s; ulimit -S -c; nice; } >part
mv part other  # whole the moment it is there
"""

#: A user's shell, set up as clusters do it; `output` is a name of the runner's own, too.
SHELL = r"""
module() { echo "loaded $2"; }
export -f module
export MY_INPUT_DIR=/data output='my own' http_proxy=http://proxy:3128 SSH_CONNECTION=1.2.3.4
trap '' HUP USR1  # as nohup does
umask 007
ulimit -S -s 65536
ulimit -S -c 0
exec nice -n 3 "$@"
"""

#: A shell with hardly any files to open.
FEW_FILES = 'ulimit -S -n 12; exec "$@"'


class Hangar:
    """The study of a test, and the ways to make its ticks."""

    def __init__(self, folder: Path, spec: str = SPEC) -> None:
        self.folder = folder
        self.root = folder / "study"
        (folder / "study.yaml").write_text(spec)
        (folder / "look.sh").write_text(LOOK)
        self.home = {"HOME": str(folder), "MAESTRO_ES_HOME": str(folder / "home")}

    def from_a_shell(self, *words: str | Path, setup: str = SHELL) -> subprocess.CompletedProcess[str]:
        """Call maestro-es from a user's shell."""
        command = ["bash", "-c", setup, "bash", sys.executable, "-m", "maestro_es", *map(str, words)]
        env = {**os.environ, **self.home}
        env.pop("PYTEST_CURRENT_TEST", None)  # another one for each phase of a test
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)

    def like_cron(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Call maestro-es with next to no environment, and another umask, limits and directory than the user's."""
        setup = 'umask 077; ulimit -S -s 4096; cd /; exec nice -n 1 "$@"'
        bare = ["env", "-i", "PATH=/usr/bin:/bin", *(f"{name}={value}" for name, value in self.home.items())]
        command = [*bare, "LEAKED=1", "sh", "-c", setup, "sh", sys.executable, "-m", "maestro_es", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    def run(self, *options: str) -> None:
        """Create the study; its first step waits for `go`."""
        done = self.from_a_shell("run", "-y", *options, "-o", self.root, self.folder / "study.yaml")
        assert done.returncode == 0, done

    def seen(self, step: str) -> tuple[dict[str, str], list[str]]:
        """Return what a step has written down."""
        found = self.root / step.replace("=", "")
        env = (line.partition("=") for line in (found / "env").read_text().splitlines())
        return {name: value for name, _, value in env}, (found / "other").read_text().splitlines()


@pytest.fixture
def hangar(tmp_path: Path) -> Hangar:
    return Hangar(tmp_path)


def ends(hangar: Hangar) -> bool:
    hangar.like_cron("tick", hangar.root)
    return (hangar.root / "withsign" / "other").exists()


def without_runners_ticks(hangar: Hangar) -> None:
    stop_own_ticks(hangar.root)


@pytest.mark.parametrize("who", ["run --wait", "runners", "cron"])
def test_a_step_sees_the_environment_of_run_whoever_starts_it(hangar: Hangar, who: str):
    if who == "run --wait":
        (hangar.folder / "go").touch()
        hangar.run("--wait")
    else:
        hangar.run()
        if who == "cron":
            without_runners_ticks(hangar)
        (hangar.folder / "go").touch()
        wait_for(lambda: ends(hangar) if who == "cron" else (hangar.root / "withsign" / "other").exists())

    for step in ("first", "later", "with=sign"):
        env, other = hangar.seen(step)
        assert other == ["loaded gcc", "my own http://proxy:3128", "0007", "65536", "0", str(3 + os.nice(0))]
        assert env["MY_INPUT_DIR"] == "/data"
        assert env["output"] == "my own"
        assert "SSH_CONNECTION" not in env
        assert "LEAKED" not in env
        assert not any(name.startswith("MAESTRO_ES_") and name != "MAESTRO_ES_HOME" for name in env)
        assert env == hangar.seen("first")[0]


def test_a_step_that_is_run_again_sees_the_same_environment(hangar: Hangar):
    (hangar.folder / "go").touch()
    hangar.run("--wait")
    before = hangar.seen("later")
    (hangar.root / "later" / "env").unlink()
    assert hangar.like_cron("retry", hangar.root, "later", "--descendants").returncode == 0
    hangar.like_cron("tick", hangar.root)
    wait_for((hangar.root / "later" / "other").exists)
    wait_for(lambda: (hangar.root / "later" / "env").exists() and hangar.seen("later") == before)


def test_a_step_has_the_options_of_bash_that_the_user_exports_and_no_others(hangar: Hangar):
    (hangar.folder / "look.sh").write_text("echo $SHELLOPTS >options; mv options other")
    (hangar.folder / "go").touch()
    setup = """set -o pipefail; export SHELLOPTS; exec "$@" """
    done = hangar.from_a_shell("run", "-y", "--wait", "-o", hangar.root, hangar.folder / "study.yaml", setup=setup)
    assert done.returncode == 0, done

    expected = subprocess.run(
        ["bash", "-c", 'set -o pipefail; export SHELLOPTS; exec bash -c "echo \\$SHELLOPTS"'],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    ).stdout
    assert [(hangar.root / step / "other").read_text() for step in ("first", "later", "withsign")] == [expected] * 3


def test_a_step_does_not_see_the_locale_that_python_sets_for_itself(tmp_path):
    """In the locale C, Python sets LC_CTYPE (PEP 538). Where the locale is missing, each bash would warn of it."""
    (tmp_path / "spec.yaml").write_text(
        "description: {name: n, description: d}\n"
        "study: [{name: a, description: d, run: {cmd: 'echo ${LC_CTYPE-none} ${LC_TIME-none}'}}]\n"
    )
    command = [sys.executable, "-m", "maestro_es", "run", "--wait", "-y", "-o", "s", "spec.yaml"]
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_TIME": "C"}
    for extra, seen in (({}, "none C"), ({"LC_CTYPE": "C.UTF-8"}, "C.UTF-8 C")):
        subprocess.run(command, cwd=tmp_path, env=own | extra, check=True, timeout=60, capture_output=True)
        assert [path.read_text().strip() for path in tmp_path.glob("s/a/*.out")] == [seen]


def test_run_refuses_a_limit_of_open_files_with_which_no_step_could_start(hangar: Hangar):
    """Its steps would have it, too: each would end before it begins, at every tick."""
    done = hangar.from_a_shell("run", "-y", "-o", hangar.root, hangar.folder / "study.yaml", setup=FEW_FILES)

    assert done.returncode != 0
    said = "the limit of open files is 12 here, and a step needs at least 16 to start: raise it ('ulimit -S -n')"
    assert done.stderr == f"maestro-es: {said}, and try again\n"
    assert not hangar.root.exists()


def test_a_refreshed_environment_has_open_files_enough_for_a_step(hangar: Hangar):
    hangar.run()
    done = hangar.from_a_shell("env", "--refresh", hangar.root, setup=FEW_FILES)

    assert done.returncode != 0
    assert "the limit of open files is 12 here" in done.stderr
    (hangar.folder / "go").touch()
    wait_for(lambda: ends(hangar))


def test_a_step_waits_for_a_tick_that_has_fewer_files_open_than_the_step_may_have(hangar: Hangar):
    """A tick inherits what its caller has open: then the start of a step with a low limit fails with EBADF."""
    hangar.from_a_shell(
        "run", "-y", "-o", hangar.root, hangar.folder / "study.yaml", setup='ulimit -S -n 24; exec "$@"'
    )
    without_runners_ticks(hangar)
    (hangar.folder / "go").touch()
    wait_for(lambda: list((hangar.root / ".maestro-es" / "inbox").glob("*.exit.0")))
    opening = 'for ((file = 3; file < 60; file++)); do eval "exec $file</dev/null"; done; exec "$@"'
    done = hangar.from_a_shell("tick", hangar.root, setup=opening)

    assert "Bad file descriptor; the tick has more files open than the 24 that 'maestro-es env' allows" in done.stderr
    assert not (hangar.root / "later" / "other").exists()
    wait_for(lambda: ends(hangar))


def test_the_values_are_in_one_file_that_its_owner_alone_can_read(hangar: Hangar):
    hangar.run()
    [kept] = (hangar.root / ".maestro-es").glob("environment.*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"\0MY_INPUT_DIR=/data\0" in kept.read_bytes()
    (hangar.folder / "go").touch()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes() + b"A=1\0")])
def test_without_its_environment_no_step_starts_and_one_line_says_what_to_do(hangar: Hangar, spoil):
    hangar.run()
    without_runners_ticks(hangar)
    [kept] = (hangar.root / ".maestro-es").glob("environment.*")
    spoil(kept)
    (hangar.folder / "go").touch()

    def first_has_ended() -> bool:
        hangar.like_cron("tick", hangar.root)
        return '"FINISHED": 1' in hangar.like_cron("status", hangar.root, "--json").stdout

    wait_for(first_has_ended)
    done = hangar.like_cron("tick", hangar.root)
    assert done.returncode == 75
    [line] = done.stderr.splitlines()
    assert "no step starts" in line
    assert f"'maestro-es env {hangar.root} --refresh'" in line
    assert "no step starts" in hangar.like_cron("why", hangar.root, "later").stdout
    assert "no step starts" in hangar.like_cron("tick", "--dry", hangar.root).stdout
    assert "no step starts" in hangar.like_cron("status", hangar.root).stdout
    assert not (hangar.root / "later" / "other").exists()

    again = hangar.from_a_shell("env", hangar.root, "--refresh", "--reason", "the file was gone")
    assert again.returncode == 0, again
    wait_for(lambda: ends(hangar))
    assert hangar.seen("later") == hangar.seen("first")


WITH_CRON = r"""
maestro_es cron install
printf '%s' "$SETUP" >setup
bash setup "$PYTHON" -m maestro_es run -y -o study study.yaml
alone study
touch go
start_cron
await 60 ended study
stop_cron
maestro_es cron remove
"""


def test_a_step_that_a_real_cron_starts_sees_the_environment_of_run(hangar: Hangar):
    run_with_cron(WITH_CRON, hangar.folder, SETUP=SHELL, **hangar.home)

    assert who_ticked(hangar.root) == ["maestro-es tick --all"]
    for step in ("first", "later", "with=sign"):
        env, other = hangar.seen(step)
        assert other == ["loaded gcc", "my own http://proxy:3128", "0007", "65536", "0", str(3 + os.nice(0))]
        assert env == hangar.seen("first")[0]
