"""Whenever ``run -o`` is killed while it replaces a study, the next one finishes that, and the earlier one is kept."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import pytest

from maestro_es.cli import run as run_module
from maestro_es.cli.main import main
from maestro_es.core.model import StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kills processes"), pytest.mark.usefixtures("own_home"),
]  # fmt: skip

SPEC = """
description: {name: twice, description: replaces itself}
study:
    - {name: a, description: d, run: {cmd: echo $(OUTPUT_PATH) >>done}}
"""


def run_killed(root: Path, spec: Path, kill_at: int) -> str:
    """Run ``run -y -o`` in a process that is killed after an effect; returns which effect, or nothing if it ended."""
    note = root.with_name("effect")
    note.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        _run(root, spec, kill_at, note)
    _, code = os.waitpid(child, 0)
    assert code in (0, signal.SIGKILL), code
    return note.read_text() if code else ""


def _run(root: Path, spec: Path, kill_at: int, note: Path) -> NoReturn:
    effects = 0

    def after(effect: str) -> None:
        nonlocal effects
        effects += 1
        if effects == kill_at:
            note.write_text(effect)
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        setattr(run_module, "Runtime", lambda **given: Runtime(on_effect=after, **given))  # noqa: B010 - in this child only
        sys.argv = ["maestro-es", "run", "-y", "-o", str(root), str(spec)]
        main()
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException as error:  # noqa: BLE001 - the parent shows it
        traceback.print_exception(error)
    finally:
        os._exit(code)


def finish(root: Path) -> None:
    """Tick a study to its end."""

    def is_finished() -> bool:
        with Session(root) as study:
            return tick(study) is StudyStatus.FINISHED

    wait_for(is_finished)


def earlier(root: Path) -> list[Path]:
    """Return the earlier studies of a directory, oldest first; what a killed run left beside them is no study."""
    return sorted(path.parent for path in (root / ".maestro-es/previous").glob("*/events.db"))


def marked(root: Path) -> list[str]:
    """Return the marks of users below a directory."""
    return sorted(path.name for path in root.rglob("mark.*"))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a study that has replaced another one and has finished; a person has put a file into each."""
    spec = tmp_path / "twice.yaml"
    spec.write_text(SPEC)
    root = tmp_path / "original"
    for name in ("first", "second"):
        assert maestro_es("run", "-y", "--wait", "-o", root, spec).returncode == 0
        (root / f"mark.{name}").touch()
    return root


def test_a_replacement_killed_after_any_effect_is_finished_by_the_next_run(study: Path):
    effects: list[str] = []
    spec = study.with_name("twice.yaml")
    while not effects or effects[-1]:
        root = study.with_name(f"study-{len(effects) + 1}")
        shutil.copytree(study, root, symlinks=True)
        effects.append(run_killed(root, spec, len(effects) + 1))
        if not (root / "events.db").exists() or (root / "mark.second").exists():  # no new study yet
            assert run_killed(root, spec, 0) == ""
        finish(root)

        assert marked(root) == ["mark.first", "mark.second"], effects
        assert len(earlier(root)) >= 2
        assert {"second", "first"} <= {path.name[5:] for folder in earlier(root) for path in folder.glob("mark.*")}
        for folder in (root, *earlier(root)):
            with open_as_it_is(folder) as log:
                verify(log)
        assert (root / "a/done").read_text() == f"{root}\n"
        assert list(registry.registered().values()).count(root) == 1
        assert not (root / ".maestro-es.new").exists()

    assert {*effects} >= {"move", "layout", "append", "rename", "unlink", "submit", ""}
    assert len(effects) > 15
