"""The shape of every payload is frozen in a file that validates what the log holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from maestro_es.core import events as e
from tools.testbed.samples import SAMPLES

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "event-schemas"
FOLDER = ROOT / "schema" / "events"


def schema_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.v{e.VERSIONS[name]}.json").read_text("utf-8"))
    return found


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema_of(name))


def test_the_files_are_what_the_code_writes_and_reads():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def tool_on(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the tool, so that it works on a tree of its own."""
    copy = tree / "tools" / "event-schemas"
    copy.parent.mkdir(exist_ok=True)
    (tree / "schema").mkdir(exist_ok=True)
    copy.write_text(TOOL.read_text("utf-8"), "utf-8")
    return subprocess.run([sys.executable, copy, *arguments], capture_output=True, text=True, check=False)


def test_the_tool_writes_what_is_missing_and_always_the_same(tmp_path: Path):
    assert tool_on(tmp_path).returncode == 0

    written = {path.name: path.read_bytes() for path in (tmp_path / "schema/events").iterdir()}
    assert written == {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert len(written) >= len(e.EVENT_TYPES)
    assert all(data.endswith(b"}\n") for data in written.values())


def test_the_check_names_what_is_missing_what_differs_and_what_is_too_much(tmp_path: Path):
    tool_on(tmp_path)
    folder = tmp_path / "schema/events"
    (folder / "StepFailed.v1.json").unlink()
    (folder / "StepAdded.v1.json").write_text("{}\n")
    (folder / "StepDreamt.v1.json").write_text("{}\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    done = tool_on(tmp_path, "--check")

    assert done.returncode == 1
    assert sorted(line.partition(":")[0] for line in done.stderr.splitlines()) == [
        "schema/events/StepAdded.v1.json",
        "schema/events/StepDreamt.v1.json",
        "schema/events/StepFailed.v1.json",
    ]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_tool_does_not_change_a_file_that_differs_unless_its_event_is_unreleased(tmp_path: Path):
    tool_on(tmp_path)
    changed = tmp_path / "schema/events/StepAdded.v1.json"
    changed.write_text("{}\n")

    refused = tool_on(tmp_path)
    assert refused.returncode == 1
    assert (
        "StepAdded.v1.json: the event's payload is not what it was; give it a new version and an upcast"
        in refused.stderr
    )
    assert changed.read_text() == "{}\n"

    assert tool_on(tmp_path, "--unreleased", "StepAdded").returncode == 0
    assert changed.read_bytes() == (FOLDER / "StepAdded.v1.json").read_bytes()


_FALSIFY = """
import importlib.machinery, importlib.util, sys
from maestro_es.core import events
events.StepFailed.__doc__ = events.StepFailed.__doc__.replace({old!r}, {new!r})
loader = importlib.machinery.SourceFileLoader("tool", {tool!r})
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tool", loader))
loader.exec_module(module)
sys.exit(module.main())
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("cause: ", "Cause, ", "StepFailed: the docstring lacks a line 'cause: MEANING'"),
        ("cause: ", "causes: x\n    cause: ", "StepFailed: the docstring describes causes, which is not a field"),
        (
            "Result: state FAILED, phase DONE",
            "",
            "StepFailed: the docstring lacks a last line such as 'Result: nothing'",
        ),
        ("Result: state FAILED", "Result: state BROKEN", "StepFailed: not an effect: state BROKEN"),
        (
            "Result: ",
            "Result if token is x: ",
            "StepFailed: the docstring lacks a last line such as 'Result: nothing'",
        ),
    ],
)
def test_an_event_that_is_not_described_is_named(tmp_path: Path, old: str, new: str, complaint: str):
    program = _FALSIFY.format(old=old, new=new, tool=str(TOOL))
    done = subprocess.run([sys.executable, "-c", program, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"maestro_es/core/events: {complaint}")
    assert done.stderr.count("\n") == 1


def test_other_words_are_written_and_another_shape_is_not(tmp_path: Path):
    tool_on(tmp_path)
    file = tmp_path / "schema/events/StepHeld.v1.json"
    right = file.read_text()
    schema = json.loads(right)
    schema["$defs"]["StepHeld"]["description"] = "Other words."
    schema["x-results"] = []
    file.write_text(json.dumps(schema))

    checked = tool_on(tmp_path, "--check")
    assert checked.stderr == (
        "schema/events/StepHeld.v1.json: its words are not those of the docstring; tools/event-schemas writes it\n"
    )
    assert tool_on(tmp_path).returncode == 0
    assert file.read_text() == right


@pytest.mark.parametrize("name", e.EVENT_TYPES)
def test_a_schema_is_one_and_refers_to_nothing_outside_itself(name: str):
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)

    text = json.dumps(schema)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references == {f"#/$defs/{definition}" for definition in schema["$defs"]}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_a_schema_takes_what_the_log_holds(event: e.AnyEvent):
    payload = json.loads(msgspec.json.encode(event))

    validator(type(event).__name__).validate(payload)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_a_schema_refuses_what_the_code_refuses(event: e.AnyEvent):
    kind = type(event)
    payload = json.loads(msgspec.json.encode(event))
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    free = ("before", "after", "run")  # these may hold anything, or any mapping
    spoilt = [{**payload, "surprise": 1}]
    spoilt += [{k: v for k, v in payload.items() if k != name} for name, field in fields.items() if field.required]
    spoilt += [{**payload, name: {"no": ["such", "thing"]}} for name in payload if name not in free]
    for wrong in spoilt:
        try:
            msgspec.convert(wrong, kind)
        except msgspec.ValidationError:
            assert not validator(kind.__name__).is_valid(wrong), wrong
        else:
            validator(kind.__name__).validate(wrong)
