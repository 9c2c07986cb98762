"""Tests the claims of the page on differences about refusals and warnings, with both commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.claims import BROKEN_OFF, REFUSED, WARNED
from tests.differential.test_corpus import DOCUMENTATION, written
from tools.side_by_side.programs import SideBySide, Study


def _compare(claim: tuple[str, str, str], programs: SideBySide, place: Path, *, ours: int) -> tuple[int, str, str]:
    """Check that the page contains a claim, and that our exit code and message agree with it.

    Returns exit code and output of Maestro, and our message.
    """
    words, text, says = claim
    ran = {}
    for program in ("maestro", "maestro-es"):
        here = place / program
        here.mkdir()
        (here / "study.yaml").write_bytes(text.encode(errors="surrogateescape"))
        ran[program] = programs._run(program, Study("study.yaml", text), here, apart=False)
    message = ran["maestro-es"].said
    assert words in written(DOCUMENTATION.read_text())
    assert ran["maestro-es"].exit_code == ours, message
    assert says in message
    return ran["maestro"].exit_code, ran["maestro"].said, message


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_here_alone(name: str, programs: SideBySide, tmp_path: Path):
    theirs, said, message = _compare(REFUSED[name], programs, tmp_path, ours=1)

    assert theirs == 0, said
    assert "study.yaml:" in message


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_maestro_breaks_off_at_is_one_line_here(name: str, programs: SideBySide, tmp_path: Path):
    theirs, said, message = _compare(BROKEN_OFF[name], programs, tmp_path, ours=1)

    assert theirs != 0
    assert "study.yaml:" not in said
    assert "study.yaml:" in message


@pytest.mark.parametrize("name", WARNED)
def test_what_is_warned_of_here_alone(name: str, programs: SideBySide, tmp_path: Path):
    theirs, said, message = _compare(WARNED[name], programs, tmp_path, ours=0)

    assert theirs == 0, said + message
    assert WARNED[name][2] not in said
