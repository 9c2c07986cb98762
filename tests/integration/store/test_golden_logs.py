"""What a version has written, every later one reads, and it adds up to the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.core.events import VERSIONS
from maestro_es.creation.import_log import import_log
from maestro_es.store.log_export import ExportReader, line
from maestro_es.store.log_file import LOG_NAME
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from tools.testbed.golden import FOLDER, same_as_recorded, state_of
from tools.testbed.logs import reopen, same

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "golden-log"
GOLDEN = sorted(FOLDER.iterdir())


def check(path: Path, golden: Path) -> None:
    """Check that a log adds up to the state that was recorded, in memory and in its tables."""
    recorded = json.loads((golden / "state.json").read_text("utf-8"))
    export = (golden / "log.jsonl").read_bytes()
    with reopen(path) as log:
        assert same_as_recorded(recorded, json.loads(json.dumps(state_of(log.replay()))))
        assert same(log)
        assert verify(log).head == json.loads(export.splitlines()[-1])["digest"]
        assert "".join(map(line, log.sealed_rows())).encode() == export


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_an_export_of_that_version_adds_up_to_what_it_did_then(golden: Path, tmp_path: Path):
    import_log(ExportReader(golden / "log.jsonl"), tmp_path / "study", Runtime())

    check(tmp_path / "study" / LOG_NAME, golden)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_a_log_of_that_version_adds_up_to_what_it_did_then(golden: Path, tmp_path: Path):
    shutil.copyfile(golden / "events.db", tmp_path / LOG_NAME)

    check(tmp_path / LOG_NAME, golden)


def test_every_version_in_the_changelog_has_its_golden_log():
    versions = re.findall(r"^## (\d[\w.]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert {golden.name for golden in GOLDEN} == set(versions)


def test_the_golden_log_of_this_version_is_what_it_writes_and_has_every_event():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    latest = [json.loads(text) for text in (GOLDEN[-1] / "log.jsonl").read_text("utf-8").split("\n") if text]
    assert {(event["type"], event["version"]) for event in latest} >= set(VERSIONS.items())


def test_the_golden_log_of_a_released_version_is_not_written_again(tmp_path: Path):
    for name in ("tools", "tests", "maestro_es", "schema"):
        (tmp_path / name).symlink_to(ROOT / name)
    tool = tmp_path / "golden-log"
    text = TOOL.read_text("utf-8").replace(
        "ROOT = Path(__file__).resolve().parents[1]", f"ROOT = Path({str(tmp_path)!r})"
    )
    tool.write_text(text.replace("place = FOLDER / version", f"place = Path({str(tmp_path)!r}) / version"), "utf-8")
    (tmp_path / "CHANGELOG.md").write_text("## 0.1.0\n")
    old = tmp_path / GOLDEN[-1].name
    old.mkdir()
    (old / "log.jsonl").write_text("released")

    done = subprocess.run([sys.executable, tool], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "differ from what was released; an upcast is missing" in done.stderr
    assert (old / "log.jsonl").read_text() == "released"
