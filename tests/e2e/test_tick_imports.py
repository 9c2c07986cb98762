"""What a tick with nothing to do imports: each module costs every study some of each minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.adapters.registry import ADAPTERS
from tests.e2e.command import maestro_es

SPEC = """
description: {name: idle, description: a step in flight, and one that waits for it}
study:
    - {name: a, description: d, run: {cmd: 'sleep 300'}}
    - {name: b, description: d, run: {cmd: 'true', depends: [a]}}
"""

#: Modules that take long to import, or bring such modules along.
SLOW = {
    "array", "click", "decimal", "difflib", "filelock", "hashlib", "importlib.metadata", "importlib.resources",
    "inspect", "ipaddress", "jinja2", "json", "jsonschema", "logging", "lzma", "maestro_es.core.snapshot",
    "maestro_es.poller.submit", "maestro_es.poller.unsupervised", "maestro_es.study.status_file",
    "maestro_es.study.workspace", "msgspec._json_schema", "msgspec.inspect", "numbers", "platform", "random", "rich",
    "shlex", "shutil", "signal", "sqlite_utils", "string", "subprocess", "tempfile", "textwrap", "threading",
    "urllib.parse", "uuid", "yaml",
}  # fmt: skip


if sys.version_info < (3, 12):  # later versions of pathlib need these two
    SLOW |= {"fnmatch", "re"}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_tick_with_nothing_to_do_imports_nothing_slow_and_no_other_scheduler(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    (tmp_path / "idle.yaml").write_text(f"{SPEC}batch: {{type: {kind}, host: h, bank: b, queue: q}}\n")
    study = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", study, tmp_path / "idle.yaml").returncode == 0
    try:
        assert maestro_es("tick", study).returncode == 0
        for what in ([study], ["--all"]):
            imported = imports("-m", "maestro_es", "tick", *what)
            assert "maestro_es.poller.tick" in imported
            assert (imported - imports("-c", "pass")) & SLOW == set()
            assert "maestro_es.poller.prefetch" not in imported or what == ["--all"]
            adapters = {name.split(".")[2] for name in imported if name.startswith("maestro_es.adapters.")}
            assert adapters & {*ADAPTERS} <= {"local", kind}
    finally:
        maestro_es("cancel", "-y", study)


def imports(*arguments):
    """Return the modules that Python imports for these arguments. An editable installation adds some."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_what_a_tick_does_without_can_be_imported_later():
    program = """if True:
        from maestro_es.stand_ins import import_lightly
        import_lightly()
        import pathlib, msgspec
        assert pathlib.Path("/a b").as_uri() == "file:///a%20b"
        assert msgspec.yaml.decode(b"[1]") == [1]
        assert [*pathlib.Path("/").glob("etc")] and pathlib.Path("a.py").match("*.py")
        import decimal, fnmatch, msgspec.inspect, re, typing, urllib.parse, uuid
        assert fnmatch.fnmatch("a.py", "*.py") and re.match("a", "ab", re.IGNORECASE)
        def f(x: typing.Pattern[str]) -> typing.Match[str] | None: ...
        typing.get_type_hints(f)
        assert uuid.uuid4().version == 4 and decimal.Decimal("0.1") + 1 == decimal.Decimal("1.1")
        assert type(msgspec.inspect.type_info(int)).__name__ == "IntType"
        class Both(msgspec.Struct):
            x: float
            y: dict[str, int] = {}
        assert msgspec.json.decode(msgspec.json.encode(Both(1.5, {"a": 1})), type=Both) == Both(1.5, {"a": 1})
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_status_of_any_kind_works_without_the_modules_that_it_does_without(tmp_path: Path):
    spec = tmp_path / "study.yaml"
    spec.write_text(
        "description: {name: x, description: d}\nstudy:\n- {name: a, description: d, run: {cmd: 'true $(N)'}}\n"
        "global.parameters: {N: {values: [1, 2], label: N.%%}}\n"
    )
    maestro_es("run", "-y", "--dry", "-o", tmp_path / "out", spec)
    kinds = ["", "--summary", "--json", "--csv", "--layout=narrow", "--layout=legacy", "--at=4", "--state=dryrun"]

    done = {kind: maestro_es("status", *filter(None, [kind]), tmp_path / "out") for kind in kinds}

    assert {kind: (each.returncode, each.stderr) for kind, each in done.items()} == dict.fromkeys(kinds, (0, ""))
