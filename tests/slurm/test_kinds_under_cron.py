"""Studies of many kinds, with steps of this host and with jobs of a real Slurm, ticked by a real cron.

They run side by side: to wait for the cron of a test takes as long for one study as for all.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_environment import LOOK, SHELL
from tests.fakes.cron import run_with_cron, who_ticked
from tests.slurm.conftest import export, started
from tests.slurm.studies import states
from tools.slurm_cluster.configuration import Options

#: The same studies in both places: what a batch block and the keys of a step need there, and the shortest walltime.
PLACES = {
    "local": {"BATCH": "", "JOB": "", "TWO": "", "LAUNCH": "", "SOON": '"00:00:01"'},
    "slurm": {
        "BATCH": "batch: {type: slurm, host: here, bank: mine, queue: debug}",
        "JOB": "procs: 1, ",
        "TWO": "nodes: 1, procs: 2, ",
        "LAUNCH": "$(LAUNCHER) ",
        "SOON": '"00:01:00"',
    },
}

#: What a step sees, the names and the permissions of files, and what a launcher starts.
SEES = """
description: {name: sees, description: what is like in the shell of run}
BATCH
study:
    - name: first
      description: d
      run: {JOBcmd: 'until [ -e $(SPECROOT)/go ]; do sleep 0.2; done; . $(SPECROOT)/look'}
    - {name: later, description: d, run: {JOBcmd: '. $(SPECROOT)/look', depends: [first]}}
    - {name: pack bags, description: d, run: {JOBcmd: 'echo $(TOWN)', depends: [first]}}
    - {name: sing, description: d, run: {TWOcmd: 'LAUNCHecho la > voices', depends: [later]}}
global.parameters:
    TOWN: {values: [Salt Lake, Bath], label: TOWN.%%}
"""
#: One step fails, and one runs out of time; both go on from there when they are retried.
CHECKPOINT = """
description: {name: checkpoint, description: steps that go on from where they were}
BATCH
study:
    - name: fails
      description: d
      run:
        {JOBcmd: 'echo cmd >> trace; exit 3',
         restart: 'echo restart >> trace; until [ -e $(SPECROOT)/enough ]; do sleep 0.2; done'}
    - name: late
      description: d
      run:
        {JOBcmd: 'echo cmd >> trace; sleep 100', walltime: SOON,
         restart: 'echo restart >> trace; [ -e $(SPECROOT)/more ] || sleep 100'}
"""
#: A command with a typing error, which somebody mends in the script.
MEND = """
description: {name: mend, description: a script that is mended by hand}
BATCH
study:
    - {name: a, description: d, run: {JOBcmd: 'ecoh hello > word'}}
    - {name: b, description: d, run: {JOBcmd: 'cat $(a.workspace)/word > word', depends: [a]}}
"""
#: Steps with helpers that leave their session, each of which has a lock as long as it lives.
KIDS = """
description: {name: kids, description: helpers in sessions of their own}
BATCH
study:
    - name: late
      description: d
      run: {JOBcmd: 'setsid flock lock sleep 200 & touch ready; sleep 200', walltime: SOON}
    - {name: idle, description: d, run: {JOBcmd: 'setsid flock lock sleep 200 & touch ready; sleep 200'}}
"""
#: Three of these are launched at once, with a seed each.
SWEEP = """
description: {name: sweep, description: one of several that are launched at once}
BATCH
study:
    - {name: sow, description: d, run: {JOBcmd: 'echo $(SEED) > seed'}}
"""
GENERATOR = """
from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    made = ParameterGenerator()
    made.add_parameter("SEED", [kwargs["SEED"]], "SEED.%%")
    return made
"""
STUDIES = {"sees": SEES, "checkpoint": CHECKPOINT, "mend": MEND, "kids": KIDS, "sweep": SWEEP}

SCRIPT = r"""
run() { bash "$TOP/setup" "$PYTHON" -m maestro_es run -y "$@"; }  # in a user's shell
are_over() { for over in "$@"; do ended "$over" || return 1; done; }
are_there() { for there in "$@"; do [ -e "$there" ] || return 1; done; }
are_free() { for lock in "$@"; do flock -n "$lock" true || return 1; done; }
have_lines() { lines=$1; shift; for file in "$@"; do [ "$(wc -l <"$file")" -ge "$lines" ] || return 1; done; }

export TOP=$PWD
maestro_es cron install
start_cron
CRON=$! launching=
for place in local slurm; do
    mkdir $place
    for kind in sees checkpoint mend kids; do
        { run -o $place/$kind specs/$place-$kind.yaml && alone $place/$kind; } >$place/$kind.said 2>&1 &
        launching="$launching $!"
    done
    for seed in 1 2 3; do
        (cd $place && run -p ../generator.py --pargs SEED:$seed ../specs/$place-sweep.yaml) >$place/$seed.said 2>&1 &
        launching="$launching $!"
    done
done
wait $launching
touch specs/go

await 60 are_there local/kids/late/ready local/kids/idle/ready slurm/kids/late/ready slurm/kids/idle/ready
await 60 are_free local/kids/late/lock slurm/kids/late/lock
for place in local slurm; do ! are_free $place/kids/idle/lock || { echo "ended too soon: $place" >&2; exit 1; }; done
for place in local slurm; do maestro_es cancel -y $place/kids; done
await 30 are_free local/kids/idle/lock slurm/kids/idle/lock

await 60 are_over local/mend slurm/mend local/checkpoint slurm/checkpoint
touch specs/more
for place in local slurm; do
    sed -i s/ecoh/echo/ $place/mend/a/a*.sh
    maestro_es retry --failed $place/mend
    maestro_es retry --failed $place/checkpoint
done >retry.said 2>&1
await 60 have_lines 2 local/checkpoint/fails/trace slurm/checkpoint/fails/trace
for place in local slurm; do maestro_es cancel -y $place/checkpoint; done
await 60 are_over local/mend slurm/mend local/checkpoint slurm/checkpoint
for place in local slurm; do
    maestro_es reopen $place/checkpoint
    for edited in $place/mend/a/*.edited; do mv "$edited" "${edited%.edited}"; done
    maestro_es retry --failed --keep-script $place/mend
done >reopen.said 2>&1
touch specs/enough
await 60 are_over */sees */checkpoint */mend */kids */sweep_*
kill $CRON; wait $CRON || :
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all studies have run."""
    top = tmp_path_factory.mktemp("kinds")
    (top / "specs").mkdir()
    for place, words in PLACES.items():
        for kind, text in STUDIES.items():
            for word, put in words.items():
                text = text.replace(word, put)  # noqa: PLW2901 - all words one after the other
            (top / "specs" / f"{place}-{kind}.yaml").write_text(text)
    (top / "specs" / "look").write_text(f"{LOOK}ulimit -S -n >files")
    (top / "generator.py").write_text(GENERATOR)
    (top / "setup").write_text(f"ulimit -S -n 1234\n{SHELL}")
    options = Options(ctld_speed=30, conf=("PropagateResourceLimits=ALL",))
    with started(tmp_path_factory.mktemp("slurm"), options) as cluster, pytest.MonkeyPatch.context() as patch:
        export(cluster, patch)
        patch.setenv("MAESTRO_ES_HOME", str(top / "home"))
        run_with_cron(SCRIPT, top)
        yield top


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest, ran: Path) -> Path:
    """Where the studies of one place have run."""
    return ran / str(request.param)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def seen(root: Path, step: str) -> dict[str, str]:
    """Return the variables of a step, without those that name its node and its job."""
    lines = (line.partition("=") for line in (root / step / "env").read_text().splitlines())
    return {name: value for name, _, value in lines if not name.startswith(("SLURM", "TMPDIR", "HOSTNAME"))}


def test_every_step_sees_what_run_saw(place: Path):
    root = place / "sees"
    assert set(states(root).values()) == {"FINISHED"}
    assert who_ticked(root) == ["maestro-es tick --all"]
    for step in ("first", "later"):
        module, output, umask, stack, core, nice = (root / step / "other").read_text().splitlines()
        assert [module, output, umask] == ["loaded gcc", "my own http://proxy:3128", "0007"]
        assert [stack, core, (root / step / "files").read_text()] == ["65536", "0", "1234\n"]
        assert nice == str(3 + os.nice(0))
    assert seen(root, "later") == seen(root, "first")
    assert seen(root, "first")["MY_INPUT_DIR"] == "/data"
    assert "SSH_CONNECTION" not in seen(root, "first")


def test_the_group_may_write_what_the_umask_lets_it(place: Path):
    root = place / "sees"
    [script] = (root / "later").glob("*.sh")
    assert [mode(path) for path in (root, root / "later", script, root / "later" / "files")] == [
        "770", "770", "760", "660",
    ]  # fmt: skip
    assert [mode(root / name) for name in ("events.db", ".maestro-es")] == ["600", "700"]


def test_output_files_have_maestro_s_names(place: Path):
    found = (place / "sees" / "pack_bags").glob("*/*.out")
    names = {re.sub(r"\.\d+\.out", ".PID.out", path.name): path.read_text() for path in found}
    if place.name == "local":
        assert names == {f"pack bags_TOWN.{town}.PID.out": f"{town}\n" for town in ("Salt Lake", "Bath")}
    else:
        assert names == {f"pack_bags_TOWN.{town.replace(' ', '_')}.out": f"{town}\n" for town in ("Salt Lake", "Bath")}


def test_a_launcher_starts_its_tasks(place: Path):
    assert (place / "sees" / "sing" / "voices").read_text() == "la\n" * (2 if place.name == "slurm" else 1)


def test_studies_that_are_launched_at_once_are_three(place: Path):
    found = [states(root) for root in place.glob("sweep_*")]
    assert len(found) == 3
    assert all(set(of_one.values()) == {"FINISHED"} for of_one in found)
    assert sorted((path.parent.name, path.read_text()) for path in place.glob("sweep_*/sow/*/seed")) == [
        (f"SEED.{seed}", f"{seed}\n") for seed in (1, 2, 3)
    ]


def test_a_retried_step_goes_on_from_where_it_was(place: Path):
    root = place / "checkpoint"
    assert set(states(root).values()) == {"FINISHED"}
    for step in ("fails", "late"):
        first, *later = (root / step / "trace").read_text().split()
        assert (first, set(later), len(later) >= 2) == ("cmd", {"restart"}, True)


def test_a_mended_script_is_kept_and_runs_if_asked_for(place: Path):
    root = place / "mend"
    assert states(root) == {"a": "FINISHED", "b": "FINISHED"}
    assert (root / "b" / "word").read_text() == "hello\n"
    [script] = (root / "a").glob("a*.sh")
    told = (place.parent / "retry.said").read_text().splitlines()
    [line] = [line for line in told if f"{place.name}/mend: a/{script.name} was edited" in line]
    assert f" {script.name}.edited " in line


def test_helpers_in_sessions_of_their_own_end_with_their_step(place: Path):
    """The script has seen that their locks were free."""
    assert states(place / "kids") == {"late": "TIMEDOUT", "idle": "CANCELLED"}
