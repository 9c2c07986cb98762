from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.errors import SpecError
from maestro_es.study_file.plan import StudyPlan, acquire, plan_study

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]


def run(argv: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with the tag v1 and, after it, a branch main."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "origin"
    for argv in (
        ["init", "-q", str(path)],
        ["-C", str(path), "commit", "-q", "--allow-empty", "-m", "one"],
        ["-C", str(path), "tag", "v1"],
        ["-C", str(path), "commit", "-q", "--allow-empty", "-m", "two"],
    ):
        assert run(["git", *IDENTITY, *argv])[0] == 0
    return path


def plan(*dependencies: str) -> StudyPlan:
    Path("study.yaml").write_text(
        "description: {name: s, description: d}\n"
        "study: [{name: a, description: d, run: {cmd: x $(LIB)}}]\n"
        "env:\n  dependencies:\n" + "".join(f"    {line}\n" for line in dependencies)
    )
    made = plan_study(Path("study.yaml"), SCHEDULERS, output=Path("out"), timestamp="x")
    made.output.mkdir()
    return made


def head(path: Path) -> str:
    return run(["git", "-C", str(path), "log", "-1", "--format=%s"])[1].strip()


@pytest.mark.parametrize(("ref", "subject"), [("", "two"), (", tag: v1", "one"), (", branch: main", "two")])
def test_a_repository_is_cloned_into_the_study_and_checked_out(repository: Path, ref: str, subject: str):
    made = plan(f"git: [{{name: LIB, path: $(OUTPUT_PATH), url: {repository}{ref}}}]")

    acquire(made, run)

    assert head(made.output / "LIB") == subject


def test_a_commit_is_checked_out_by_its_hash(repository: Path):
    commit = run(["git", "-C", str(repository), "rev-parse", "v1"])[1].strip()
    made = plan(f"git: [{{name: LIB, path: $(OUTPUT_PATH)/deps, url: {repository}, hash: '{commit}'}}]")

    acquire(made, run)

    assert head(made.output / "deps" / "LIB") == "one"


@pytest.mark.parametrize(
    ("dependency", "problem"),
    [
        ("url: ./nowhere", "Connectivity check failed for ./nowhere: fatal: "),
        ("url: ./origin, tag: v7", "Unable to check out 'tags/v7': "),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_can_not_be_had_is_one_line(dependency: str, problem: str):
    made = plan(f"git: [{{name: LIB, path: $(OUTPUT_PATH), {dependency}}}]")

    with pytest.raises(SpecError) as caught:
        acquire(made, run)
    (found,) = caught.value.problems
    assert found.startswith(f"study.yaml:5: The git dependency 'LIB' could not be acquired. {problem}")


def test_a_place_that_is_taken_is_not_touched(repository: Path):
    made = plan(f"git: [{{name: LIB, path: $(OUTPUT_PATH), url: {repository}}}]")
    (made.output / "LIB").mkdir()

    with pytest.raises(SpecError, match="already exists"):
        acquire(made, run)


def test_a_path_in_the_study_is_looked_for_once_the_repositories_are_there(repository: Path):
    made = plan(
        f"git: [{{name: LIB, path: $(OUTPUT_PATH), url: {repository}}}]",
        "paths: [{name: INSIDE, path: $(LIB)/.git}, {name: MISSING, path: $(LIB)/nothing}]",
    )

    with pytest.raises(SpecError) as caught:
        acquire(made, run)
    (found,) = caught.value.problems
    assert found.startswith(f"study.yaml:6: The specified path 'MISSING' does not exist: {made.output}/LIB/nothing. ")
