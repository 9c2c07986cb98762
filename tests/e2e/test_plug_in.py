"""An adapter of another package: a wheel that is installed beside maestro-es gives it another batch type."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Installed

pytestmark = pytest.mark.xdist_group("installed")

TOY = ROOT / "tests" / "data" / "toy_adapter"

SPEC = """
description: {name: toys, description: two jobs and a local step}
batch: {type: TYPE, folder: FOLDER}
study:
    - {name: a, description: d, run: {cmd: '$(LAUNCHER) printenv TOY_LAUNCHED TOY_JOB', procs: 1, walltime: 1h}}
    - {name: b, description: d, run: {cmd: 'exit 0', nodes: 1, depends: [a]}}
    - {name: c, description: d, run: {cmd: 'echo local', depends: [b]}}
"""

#: Batch types with a broken adapter: the text of its module, its entry point, and what the message says.
BROKEN = {
    "syntax": ("def", "toy_syntax", "can't be imported: SyntaxError"),
    "absent": ("", "toy_nowhere", "can't be imported: ModuleNotFoundError: No module named 'toy_nowhere'"),
    "raises": ("raise OSError('two\\nlines')", "toy_raises", r"can't be imported: OSError: two\nlines"),
    "exits": ("raise SystemExit(0)", "toy_exits", "can't be imported: SystemExit: 0"),
    "factless": ("", "toy_factless", "has no FACTS"),
    "untyped": ("FACTS = {'name': 'untyped'}", "toy_untyped", "has no FACTS"),
    "function": ("def make(): pass", "toy_function:make", "is not a module, but a function"),
    "classless": ("from toy_adapter import FACTS", "toy_classless", "has no ADAPTER"),
    "renamed": ("from toy_adapter import *", "toy_renamed", "its FACTS.name is 'toy'"),
}
WRONG_KEYS = """
from msgspec.structs import replace
from toy_adapter import ADAPTER, FACTS
FACTS = replace(FACTS, name="keys", needed_keys="folder")
"""
BARE = """
from msgspec.structs import replace
from toy_adapter import ADAPTER, FACTS
FACTS = replace(FACTS, name="bare", jobs=replace(FACTS.jobs, job_ids="TOY_JOB"))
"""
BROKEN["bare"] = (BARE, "toy_bare", "its FACTS.jobs.job_ids is 'TOY_JOB'")
DEAF = """
from msgspec.structs import replace
from toy_adapter import ADAPTER, FACTS
FACTS = replace(FACTS, name="deaf", jobs=replace(FACTS.jobs, stop_signals=("TERM", "SIGUSR2")))
"""
BROKEN["deaf"] = (DEAF, "toy_deaf", "its FACTS.jobs.stop_signals is ('TERM', 'SIGUSR2')")
BROKEN["keys"] = (WRONG_KEYS, "toy_keys", "its FACTS.needed_keys is 'folder'")
INCOMPLETE = """
from msgspec.structs import replace
from toy_adapter import FACTS
FACTS = replace(FACTS, name="incomplete")
class ADAPTER:
    def __init__(self, batch, host): pass
    name = extension = cluster = ""
    can_submit = False
"""
BROKEN["incomplete"] = (INCOMPLETE, "toy_incomplete", "its adapter lacks grace_seconds, max_concurrent_submissions")


@pytest.fixture(scope="session")
def python(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a fresh environment with maestro-es, the toy adapter, and broken ones, all from wheels."""
    place = tmp_path_factory.mktemp("plug_in")
    source = place / "source"
    shutil.copytree(TOY, source, ignore=shutil.ignore_patterns("__pycache__"))
    modules = ["toy_adapter"]
    with (source / "setup.cfg").open("a") as settings:
        for name, (text, entry, _) in BROKEN.items():
            settings.write(f"    {name} = {entry}\n")
            if entry != "toy_nowhere":
                modules.append(entry.partition(":")[0])
                (source / f"{modules[-1]}.py").write_text(f"{text}\n")
    text = (source / "setup.cfg").read_text()
    (source / "setup.cfg").write_text(text.replace("py_modules = toy_adapter", f"py_modules = {', '.join(modules)}"))
    pip = [sys.executable, "-m", "pip", "-q"]
    offline = ["--no-index", "--no-deps"]
    _run(*pip, "wheel", *offline, "--no-build-isolation", "-w", place, source)
    _run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
    made = place / "venv" / "bin" / "python"
    _run(*pip, "--python", made, "install", *offline, *place.glob("*.whl"))
    [site] = (place / "venv").glob("lib/python*/site-packages")
    [with_maestro_es] = (installed.home / ".local" / "share" / "maestro-es").glob("lib/python*/site-packages")
    (site / "around.pth").write_text(f"{with_maestro_es}\n{(with_maestro_es / 'around.pth').read_text()}")
    return made


@pytest.fixture
def maestro_es(python: Path, installed: Installed, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs a command in that environment, or with another Python."""

    def run(*words: str | Path, python: Path = python) -> subprocess.CompletedProcess[str]:
        home = installed.environment(MAESTRO_ES_HOME=str(tmp_path / "home"))
        return subprocess.run(
            [python, "-m", "maestro_es", *words],
            cwd=tmp_path, env=home, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _spec(folder: Path, kind: str = "toy", **replaced: str) -> Path:
    text = SPEC.replace("TYPE", kind).replace("FOLDER", str(folder / "jobs"))
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def test_a_study_runs_to_its_end_on_the_scheduler_of_another_package(maestro_es, tmp_path: Path):
    done = maestro_es("run", "-y", "--wait", "-s", "1", "-o", "out", _spec(tmp_path))

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Study ended: FINISHED"), done
    assert (tmp_path / "out/a/a.out").read_text() == "yes\ntoy1\n"
    assert (tmp_path / "out/a/a.toy.sh").read_text().startswith("#!/bin/sh\n#TOY --name a\n")
    assert [file.read_text() for file in (tmp_path / "out/c").glob("*.out")] == ["local\n"]
    with sqlite3.connect(tmp_path / "out/events.db") as log:
        assert log.execute("SELECT name, attempt, job_id FROM step WHERE scheduled ORDER BY number").fetchall() == [
            ("a", 1, "toy1"),
            ("b", 1, "toy2"),
        ]


def test_a_scheduler_of_ours_is_one_module_and_one_entry_in_the_list(tmp_path: Path):
    """The job knows its id, and the steps get no variable of the job in which the study was started."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "maestro_es", tree / "maestro_es", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "schema", tree / "maestro_es" / "schema", dirs_exist_ok=True)
    adapters = tree / "maestro_es" / "adapters"
    shutil.copy(TOY / "toy_adapter.py", adapters / "toy.py")
    listed = (adapters / "schedulers.py").read_text()
    entry = '"toy": JobEnvironment(of_job=("TOY_*",), job_ids=("TOY_JOB",)),'
    (adapters / "schedulers.py").write_text(listed.replace("WITH_ADAPTER = {", f"WITH_ADAPTER = {{ {entry}"))

    done = subprocess.run(
        [sys.executable, "-m", "maestro_es", "run", "-y", "--wait", "-s", "1", "-o", "out", _spec(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "HOME": str(tmp_path), "TOY_TASK": "1"},
    )  # fmt: skip

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Study ended: FINISHED"), done
    assert "the steps do not get its variables TOY_TASK" in done.stderr
    [claim] = (tmp_path / "out/a").glob(".claim.*")
    assert claim.readlink().name.split()[0] == "toy1"
    with sqlite3.connect(tmp_path / "out/events.db") as log:
        [words] = log.execute("SELECT data FROM event WHERE type = 'JobSubmitted' AND step = 1").fetchone()
    assert '"job_id":"toy1"' in words


def test_the_claim_of_a_job_names_the_id_by_which_the_other_scheduler_knows_it(maestro_es, tmp_path: Path):
    assert maestro_es("run", "-y", "--wait", "-s", "1", "-o", "out", _spec(tmp_path)).returncode == 0

    [claim] = (tmp_path / "out/a").glob(".claim.*")
    assert claim.readlink().name.split()[0] == "toy1"


def test_the_facts_of_the_other_scheduler_check_a_study_file(maestro_es, tmp_path: Path):
    spec = _spec(tmp_path, **{"1h": "5", "folder:": "foldre:"})
    done = maestro_es("validate", spec)

    assert done.returncode == 1
    assert f"{spec}:3: Key 'folder' is missing from batch. A batch of type toy needs folder." in done.stderr
    assert f"{spec}:3: In batch, the key 'foldre' is ignored. Did you mean 'folder'?" in done.stderr
    assert f"{spec}:5: In study step 'a', walltime is 5 (a number), which is not a time. Write hours, such as 2h." in (
        done.stderr
    )


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_adapter_gets_one_line(maestro_es, tmp_path: Path, kind: str):
    done = maestro_es("validate", _spec(tmp_path, kind))

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"the adapter of batch type '{kind}' is broken: {BROKEN[kind][1]}, of toy-adapter 1.0, " in done.stderr
    assert BROKEN[kind][2] in done.stderr


def test_an_unknown_type_names_those_of_other_packages_too(maestro_es, tmp_path: Path):
    done = maestro_es("validate", _spec(tmp_path, "toi"))

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (
        "In batch, the type 'toi' is unknown. Did you mean 'toy'? Known types: local, slurm, lsf, flux, "
        in done.stderr
    )


def test_a_study_whose_adapter_is_no_longer_installed_gets_one_line(maestro_es, installed: Installed, tmp_path: Path):
    assert maestro_es("run", "-y", "-o", "out", _spec(tmp_path)).returncode == 0
    without = installed.home / ".local" / "share" / "maestro-es" / "bin" / "python"
    done = maestro_es("tick", "out", python=without)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "batch type 'toy' is unknown" in done.stderr


def test_the_adapters_of_maestro_es_need_no_look_at_other_packages(maestro_es, python: Path, tmp_path: Path):
    (tmp_path / "local.yaml").write_text(
        "description: {name: s, description: d}\nstudy: [{name: a, description: d, run: {cmd: 'true'}}]\n"
    )
    assert maestro_es("run", "-y", "-o", "out", "local.yaml").returncode == 0
    done = subprocess.run(
        [python, "-X", "importtime", "-m", "maestro_es", "tick", "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "maestro_es.adapters.registry" in imported
    assert imported & {"importlib.metadata", "toy_adapter", "maestro_es.adapters.slurm.adapter"} == set()
