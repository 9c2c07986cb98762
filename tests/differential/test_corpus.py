"""Runs each study of the corpus with both commands. Their files must be equal, except for expected differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.conftest import CORPUS
from tools.side_by_side.expected import BROKEN, EVERYWHERE, EXPECTED, REFUSED, unexplained
from tools.side_by_side.pictures import MAESTROS_ALONE, OURS_ALONE, Differences, study_in
from tools.side_by_side.programs import SideBySide, Study

STUDIES = sorted(path.name for path in CORPUS.glob("*.yaml"))
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "differences-from-maestro.md"


def written(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", STUDIES)
def test_both_commands_make_the_same_of_a_study(name: str, programs: SideBySide, beside: Path, place: Path):
    verdict = programs.compare(Study.read(CORPUS / name, beside), place, apart=True)
    expected = EXPECTED.get(name, ())
    assert not unexplained(verdict.differences, expected), f"Maestro: {verdict.maestro}\nwe: {verdict.ours}"
    for entry in expected:
        assert entry.says in written(verdict.ours.said)


@pytest.fixture(scope="module")
def both(programs: SideBySide, beside: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The study directories that both programs have created from one study."""
    place = tmp_path_factory.mktemp("everywhere")
    programs.compare(Study.read(CORPUS / "077-funnel-with-parameters.yaml", beside), place, apart=False)
    return {program: study_in(place / program) for program in ("maestro", "maestro-es")}


def test_what_is_left_out_of_every_comparison_is_made_by_one_of_the_programs_alone(both: dict[str, Path]):
    paths = {
        program: {str(path.relative_to(study)) + "/" * path.is_dir() for path in study.rglob("*")}
        for program, study in both.items()
    }
    maestros = {path for path in paths["maestro"] if MAESTROS_ALONE.fullmatch(path)}
    ours = {path for path in paths["maestro-es"] if OURS_ALONE.fullmatch(path)}
    assert maestros == paths["maestro"] - paths["maestro-es"]
    assert {"meta/environment.yaml", "meta/study/env.pkl", "logs/funnel-with-parameters.log"} < maestros
    assert ours == paths["maestro-es"] - paths["maestro"]
    assert {"events.db", ".maestro-es/runner.sh"} < ours


def test_sets_are_sorted_lists_in_our_metadata(both: dict[str, Path]):
    assert "!!set" in (both["maestro"] / "meta" / "metadata.yaml").read_text()
    assert "  gather:\n  - M\n" in (both["maestro-es"] / "meta" / "metadata.yaml").read_text()


def test_parameters_in_the_table_are_in_the_order_of_the_study_file(
    programs: SideBySide, beside: Path, tmp_path: Path
):
    programs.compare(Study.read(CORPUS / "083-labels-in-order-of-keys.yaml", beside), tmp_path, apart=False)
    rows = (study_in(tmp_path / "maestro-es") / "status.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[2] for row in rows] == ["zeta:1;alpha:3;Mid:5", "zeta:2;alpha:4;Mid:6"]


@pytest.mark.parametrize("name", EXPECTED)
def test_every_difference_stands_in_the_documentation(name: str):
    documentation = written(DOCUMENTATION.read_text())
    assert name in STUDIES
    for entry in EXPECTED[name]:
        assert entry.words in documentation


def test_what_may_differ_in_any_study_stands_in_the_documentation():
    documentation = written(DOCUMENTATION.read_text())
    for words in (*EVERYWHERE, *REFUSED.values(), *BROKEN.values()):
        assert words in documentation


def test_a_difference_that_nobody_expects_is_found():
    differences: Differences = {"a/a.sh": ("-echo 1", "+echo 2")}
    [expected] = EXPECTED["128-relative-path-of-a-repository.yaml"]
    assert unexplained(differences, ()) == ["a/a.sh: ('-echo 1', '+echo 2'), expected []"]
    assert "build/build.sh does not differ" in unexplained({}, (expected,))[0]
