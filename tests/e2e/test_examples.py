"""The examples run as they are, to the results that they promise."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

EXAMPLES = Path(__file__).parents[2] / "examples"
MAESTRO_ES = Path(sys.executable).parent / "maestro-es"


def run_example(name: str, study: Path, *options: str) -> list[dict[str, str]]:
    """Run an example in the foreground; return the rows of its status.csv."""
    command = [str(MAESTRO_ES), "run", "-y", "-fg", "-s", "1", *options]
    command += ["-o", str(study), str(EXAMPLES / name / f"{name}.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (study / "status.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_example_has_a_paragraph_in_the_readme():
    named = set(re.findall(r"examples/(\S+\.yaml)", (EXAMPLES / "README.md").read_text()))

    assert named == {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml")}


def test_hello_world_counts_its_guests(tmp_path: Path):
    rows = run_example("hello_world", tmp_path / "study")

    assert [row["State"] for row in rows] == ["FINISHED"] * 7
    assert (tmp_path / "study" / "count" / "guests.txt").read_text() == "3 guests\n"


def test_monte_carlo_pi_computes_the_same_everywhere(tmp_path: Path):
    rows = run_example("monte_carlo_pi", tmp_path / "study")

    summary = tmp_path / "study" / "summarise" / "summary.txt"
    table = [line.split() for line in summary.read_text().splitlines() if re.match(r" +\d+ +8 ", line)]
    assert len(rows) == 34
    assert [(row[0], row[2], row[3]) for row in table] == [
        ("1000", "3.143000", "0.020546"),
        ("8000", "3.133562", "0.005702"),
        ("64000", "3.143055", "0.001828"),
        ("512000", "3.141712", "0.000967"),
    ]
    assert "The error falls as N^(-0.50 +- 0.06)" in summary.read_text()
    assert ET.parse(summary.with_name("convergence.svg")).getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_heat_restart_goes_on_from_its_checkpoint(tmp_path: Path):
    rows = run_example("heat_restart", tmp_path / "study", "-r", "0")

    progress = (tmp_path / "study" / "solve" / "progress.txt").read_text().splitlines()
    assert int(rows[0]["Number Restarts"]) >= 1
    assert [line.split(" did ")[1] for line in progress] == [
        f"steps {first} to {first + 49}" for first in range(1, 400, 50)
    ]
    assert len({line.split()[1] for line in progress}) == 1 + int(rows[0]["Number Restarts"])
