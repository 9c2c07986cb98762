"""What a tick with nothing to do imports: each module costs every study some of each minute."""

from __future__ import annotations

import subprocess
import sys

from tests.e2e.command import maestro_es

SPEC = """
description: {name: idle, description: a step in flight, and one that waits for it}
study:
    - {name: a, description: d, run: {cmd: 'sleep 300'}}
    - {name: b, description: d, run: {cmd: 'true', depends: [a]}}
"""

#: Modules that take long to import, or bring such modules along.
SLOW = {
    "click", "difflib", "filelock", "hashlib", "importlib.metadata", "importlib.resources", "inspect", "json",
    "jsonschema", "logging", "lzma", "random", "rich", "shutil", "sqlite_utils", "subprocess", "tempfile", "threading",
    "yaml",
}  # fmt: skip
if sys.version_info < (3, 11):
    SLOW -= {"subprocess", "threading"}  # msgspec imports uuid, and that of Python 3.10 imports both


def test_a_tick_with_nothing_to_do_imports_nothing_slow(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    (tmp_path / "idle.yaml").write_text(SPEC)
    study = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", study, tmp_path / "idle.yaml").returncode == 0
    try:
        assert maestro_es("tick", study).returncode == 0
        for what in ([study], ["--all"]):
            command = [sys.executable, "-X", "importtime", "-m", "maestro_es", "tick", *what]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
            assert "maestro_es.poller.tick" in imported
            assert imported & SLOW == set()
    finally:
        maestro_es("cancel", "-y", study)
