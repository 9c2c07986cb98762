"""A script that a user edits while it is copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es import files
from maestro_es.study import scripts


def test_a_script_that_is_saved_while_it_is_set_aside_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "step.sh"
    script.write_text("first\n")
    (tmp_path / "step.sh.edited").write_text("an earlier edit\n")
    read = files.read

    def read_and_save(path: Path) -> bytes:
        content = read(path)
        if path == script:
            script.write_text("second\n")  # as an editor does at this moment
        return content

    monkeypatch.setattr(files, "read", read_and_save)
    kept, digest = scripts.set_aside(script)

    assert kept == tmp_path / "step.sh.edited.2"
    assert (kept.read_text(), digest) == ("first\n", scripts.digest_of(b"first\n"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step.sh", "step.sh.edited", "step.sh.edited.2"]
