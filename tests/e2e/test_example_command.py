"""An installed maestro-es carries its examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_examples_are_listed_with_their_descriptions():
    header, *lines = maestro_es("example").stdout.splitlines()
    assert header.split() == ["Name", "Description"]
    assert [line.split()[0] for line in lines] == sorted(
        os.path.basename(path.parent) for path in EXAMPLES.glob("*/*.yaml")
    )
    assert "parameter, a dependency and a funnel" in lines[1]


def test_an_example_is_copied_and_runs(tmp_path):
    ran = maestro_es("example", "hello_world", cwd=tmp_path)
    command = "maestro-es run --wait hello_world/hello_world.yaml"
    assert ran.stdout == f"Copied to hello_world; run it with: {command}\n"
    done = maestro_es(*command.split()[1:], "-y", "-o", "study", cwd=tmp_path)
    assert done.stdout.endswith("Study ended: FINISHED\n")


def test_all_files_of_an_example_are_copied(tmp_path):
    assert maestro_es("example", "monte_carlo_pi", "-o", "a/b", cwd=tmp_path).returncode == 0
    copied = {path.name: path.read_bytes() for path in (tmp_path / "a/b").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in (EXAMPLES / "monte_carlo_pi").iterdir()}


@pytest.mark.parametrize(("words", "message"), [
    (["hello_world"], "hello_world exists; name another directory with -o"),
    (["helo"], "helo: there is no such example; there are heat_restart, hello_world, monte_carlo_pi"),
])  # fmt: skip
def test_nothing_is_overwritten_or_guessed(tmp_path, words, message):
    (tmp_path / "hello_world").mkdir()
    ran = maestro_es("example", *words, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, f"maestro-es: {message}\n")
    assert os.listdir(tmp_path / "hello_world") == []
