"""What the page about differences says is refused, or warned of, here alone: both commands are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.claims import BROKEN_OFF, REFUSED, WARNED
from tests.differential.programs import SideBySide, Study
from tests.differential.test_corpus import DOCUMENTATION, written


def _ask(programs: SideBySide, text: str, place: Path) -> tuple[int, str, int, str]:
    """Return exit code and words of Maestro, and ours."""
    found = []
    for program in ("maestro", "maestro-es"):
        here = place / program
        here.mkdir()
        (here / "study.yaml").write_bytes(text.encode(errors="surrogateescape"))
        ran = programs._run(program, Study("study.yaml", text), here, apart=False)
        found += [ran.exit_code, ran.said]
    return tuple(found)  # type: ignore[return-value]  # two pairs


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_here_alone(name: str, programs: SideBySide, tmp_path: Path):
    words, text, says = REFUSED[name]
    theirs, said, ours, message = _ask(programs, text, tmp_path)

    assert words in written(DOCUMENTATION.read_text())
    assert theirs == 0, said
    assert ours == 1
    assert says in message
    assert "study.yaml:" in message


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_maestro_breaks_off_at_is_one_line_here(name: str, programs: SideBySide, tmp_path: Path):
    words, text, says = BROKEN_OFF[name]
    theirs, said, ours, message = _ask(programs, text, tmp_path)

    assert words in written(DOCUMENTATION.read_text())
    assert theirs != 0
    assert "study.yaml:" not in said
    assert ours == 1
    assert says in message
    assert "study.yaml:" in message


@pytest.mark.parametrize("name", WARNED)
def test_what_is_warned_of_here_alone(name: str, programs: SideBySide, tmp_path: Path):
    words, text, says = WARNED[name]
    theirs, said, ours, message = _ask(programs, text, tmp_path)

    assert words in written(DOCUMENTATION.read_text())
    assert (theirs, ours) == (0, 0), said + message
    assert says in message
    assert says not in said
