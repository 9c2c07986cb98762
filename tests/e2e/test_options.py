"""The options in front of a command, which are Maestro's, and what the help says of options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es

SPEC = """
description: {name: said, description: d}
study: [{name: a, description: d, run: {cmd: echo $(N)}}]
"""

GENERATOR = """
import logging
from maestrowf.datastructures.core import ParameterGenerator

def get_custom_generator(env, **kwargs):
    logging.getLogger("gen").debug("debugged")
    logging.getLogger("gen").info("informed")
    logging.getLogger("gen").error("failed")
    generator = ParameterGenerator()
    generator.add_parameter("N", [1], "N.%%")
    return generator
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return a study file and its generator, which says something at several levels."""
    spec, generator = tmp_path / "said.yaml", tmp_path / "gen.py"
    spec.write_text(SPEC)
    generator.write_text(GENERATOR)
    return spec, generator


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), []),
        (("-c",), ["INFO informed", "ERROR failed"]),
        (("--logstdout", "--debug_lvl", "2"), ["INFO informed", "ERROR failed"]),
        (("-d", "1"), ["DEBUG debugged", "INFO informed", "ERROR failed"]),
        (("-d", "4"), ["ERROR failed"]),
        (("-d", "5"), []),
        (("-d", "17"), []),
    ],
)
def test_messages_are_shown_from_a_level_of_maestros_on(files, options, said):
    spec, generator = files
    done = maestro_es(*options, "validate", "-p", generator, spec)

    assert done.returncode == 0
    line = r"^\[\d{4}-\d\d-\d\d [\d:,]+: ([A-Z]+)\] (?:\[gen: \d+\] )?(debugged|informed|failed)$"
    assert [" ".join(found) for found in re.findall(line, done.stderr, re.MULTILINE)] == said


def test_messages_go_to_a_file_too(tmp_path, files):
    spec, generator = files
    done = maestro_es(
        "-d", "1", "-l", tmp_path / "messages", "run", "--dry", "-o", tmp_path / "s", "-p", generator, spec
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "messages").read_text() == done.stderr
    assert "debugged\n" in done.stderr
    refused = maestro_es("-l", tmp_path / "no/messages", "status", tmp_path / "s")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("no/messages: messages can't be written to it: No such file or directory\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("statu",), "No such command 'statu'. Did you mean 'status'? See 'maestro-es --help'."),
        (("conductor", "x"), "No such command 'conductor'. Did you mean 'tick'? See 'maestro-es --help'."),
        (("cron", "instal"), "No such command 'instal'. Did you mean 'install'? See 'maestro-es cron --help'."),
        (("resubmit",), "No such command 'resubmit'. Did you mean 'retry'? See 'maestro-es --help'."),
        (("delete", "x"), "No such command 'delete'. See 'maestro-es --help'."),
        (("xyzzy",), "No such command 'xyzzy'. See 'maestro-es --help'."),
    ],
)
def test_an_unknown_command_gets_a_suggestion(words, message):
    done = maestro_es(*words)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"maestro-es: {message}\n")


def test_help_shows_defaults():
    said = " ".join(maestro_es("run", "--help").stdout.split())

    for option in ("this many times. [default: 1; ", "between ticks. [default: 60; "):
        assert option in said
    assert "default" not in maestro_es("retry", "--help").stdout.partition("--reason")[2]
