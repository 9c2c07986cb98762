"""A later version of maestro-es: a copy of the package with a second migration, a changed view and a changed event."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

MIGRATION = """
-- A column, a table and an index of a later version.
ALTER TABLE step ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
CREATE TABLE note (seq INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE INDEX step_by_priority ON step (priority);
"""

NOTE = """
-- A view of a new table.
CREATE VIEW v_note AS
SELECT seq, text FROM note;
"""

UPCAST = '{("StepHeld", 1): lambda payload: {"reason": payload.get("reason", "").upper()}}'


class NextVersion:
    """A later version, 0.2.0, in a folder. Without `tables`, it changes views but no table."""

    def __init__(self, folder: Path, *, tables: bool = True) -> None:
        self.package = folder / "maestro_es"
        shutil.copytree(ROOT / "maestro_es", self.package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "schema", self.package / "schema", ignore=shutil.ignore_patterns("__pycache__"))
        self._edit("__init__.py", r'__version__ = ".*"', '__version__ = "0.2.0"')
        self._edit("schema/views/v_step.sql", r"(?m)^    name,$", "    name,\n    upper(name) AS loud_name,")
        self._edit("store/migrations.py", r"(?m)^VIEWS_VERSION = .*$", "VIEWS_VERSION = 2")
        if tables:
            self._change_tables()
        self._edit("store/migrations.py", r"(?m)^SCHEMA_DIGEST = .*$", f'SCHEMA_DIGEST = "{self._digest()}"')

    def _change_tables(self) -> None:
        (self.package / "schema/migrations/0002_priority.sql").write_text(MIGRATION)
        (self.package / "schema/views/v_note.sql").write_text(NOTE)
        self._edit("schema/views/v_step.sql", r"(?m)^    state,$", "    priority,\n    state,")
        self._edit("store/migrations.py", r"(?m)^SCHEMA_VERSION = .*$", "SCHEMA_VERSION = 2")
        self._edit("core/model.py", r"(?m)^    keep_script: bool = False$", r"\g<0>\n    priority: int = 7")
        self._edit("core/reducer.py", r"(?m)^REDUCER_VERSION = .*$", "REDUCER_VERSION = 1000")
        self._edit("core/events/__init__.py", r"dict.fromkeys\(EVENT_TYPES, 1\)", r'{**\g<0>, "StepHeld": 2}')
        self._edit("core/events/__init__.py", r"(?m)^(UPCASTS: .* = )\{\}$", rf"\1{UPCAST}")

    def _edit(self, name: str, pattern: str, replacement: str) -> None:
        path = self.package / name
        text, count = re.subn(pattern, replacement, path.read_text())
        assert count == 1, (name, pattern)
        path.write_text(text)

    def _digest(self) -> str:
        return self.python(
            "import sqlite3; from maestro_es.store import file_check, migrations;"
            "log = sqlite3.connect(':memory:', isolation_level=None); migrations.upgrade(log);"
            "print(file_check.schema_digest(log))"
        ).strip()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which Python imports this version."""
        return {**os.environ, "PYTHONPATH": str(self.package.parent)}

    def python(self, program: str, *words: str | Path) -> str:
        """Run a program that imports this version; returns its output."""
        command = [sys.executable, "-c", program, *map(str, words)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=100, check=False, cwd="/"
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def command(self, *words: str | Path) -> list[str]:
        """Return the arguments that start a command of this version."""
        return [sys.executable, str(self.package / "__main__.py"), *map(str, words)]

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of this version to its end."""
        return subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        )
