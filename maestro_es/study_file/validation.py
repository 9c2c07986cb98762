"""Checks the structure of a study file against ``schema/study.json``. Reports all problems, in Maestro's words.

`checks` holds the rules that a JSON Schema can't express, such as names that must agree and the needs of a scheduler.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings, did_you_mean, shown

if TYPE_CHECKING:
    from jsonschema import ValidationError

#: The path of the wrong key (it may be empty), the message, and the remedy.
_Complaint = tuple[tuple[str, ...], str, str]

#: Errors of jsonschema after which the other keys, or the first of several equal items, are still usable.
_USABLE = ("additionalProperties", "uniqueItems")

#: A valid step.
_ANY_STEP = {"name": "a", "description": "a", "run": {"cmd": "a"}}

#: The keys of a schema that allows any non-empty string.
_ANY_TEXT = {"description", "type", "minLength"}

#: Keys that identify a study for Merlin: at the top of the file, and in the run block of a step.
_MERLIN, _MERLIN_RUN = "merlin", ("task_queue", "max_retries", "retry_delay")


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema of a study file. Each ``description`` in it completes "... must be"."""
    schema: dict[str, Any] = json.loads((resources.files("maestro_es.schema") / "study.json").read_text("utf-8"))
    return schema


def check_shape(document: Document, findings: Findings, *, own_keys: bool = False) -> None:
    """Report everything in the file that the schema does not allow. With `own_keys`, ``run`` may have any key."""
    for path, error in _errors(document.data):
        if own_keys and error.validator == "additionalProperties" and path[-1:] == ["run"]:
            continue
        for key, message, remedy in _complaints(error, *name_of(document.data, path)):
            findings.problem(document.line(*path, *key), message, remedy, faults=_faults(error, path))


def _errors(data: Any) -> Iterator[tuple[list[str | int], ValidationError]]:  # noqa: ANN401 - YAML holds anything
    """Yield the path and the error for everything that the schema does not allow.

    Only one of several equal steps is validated.
    """
    from jsonschema import Draft7Validator  # noqa: PLC0415 - takes 75 ms, and only this function needs it

    schema = study_schema()
    steps = data.get("study") if isinstance(data, dict) else None
    if steps and isinstance(steps, list):
        data = {**data, "study": [_ANY_STEP]}
        definitions = schema["definitions"]
        validator = Draft7Validator({"$ref": "#/definitions/step", "definitions": definitions})
        known = definitions["step"]["properties"]
        freedoms = _Freedom.of(known), _Freedom.of(known["run"]["properties"])
        valid: set[object] = set()
        for index, step in enumerate(steps):
            shape = _shape(step, *freedoms)
            if shape not in valid:
                errors = list(validator.iter_errors(step))
                yield from ((["study", index, *error.absolute_path], error) for error in errors)
                valid.update([] if errors else [shape])
    yield from ((list(error.absolute_path), error) for error in Draft7Validator(schema).iter_errors(data))


class _Freedom(NamedTuple):
    """The keys for which the schema accepts any non-empty text, and those for which it accepts any list of such texts.

    No text may appear twice in such a list.
    """

    texts: frozenset[str]
    lists: frozenset[str]

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> _Freedom:
        """Return the keys among the properties of a mapping."""
        texts = (key for key, schema in properties.items() if schema.keys() == _ANY_TEXT)
        lists = (key for key, schema in properties.items() if schema.get("items", {}).keys() == _ANY_TEXT)
        return cls(frozenset(texts), frozenset(lists))


def _shape(step: Any, outer: _Freedom, inner: _Freedom) -> object:  # noqa: ANN401 - YAML holds anything
    """Return a key that is equal for steps that the schema can't tell apart."""
    run = step.get("run") if isinstance(step, dict) else None
    if not isinstance(run, dict):
        return repr(step)
    return _seen({key: value for key, value in step.items() if key != "run"}, outer), _seen(run, inner)


def _seen(values: dict[str, Any], freedom: _Freedom) -> tuple[object, ...]:
    return tuple(
        [
            key
            if (key in freedom.texts and _is_text(value)) or (key in freedom.lists and _are_texts(value))
            else (key, repr(value))
            for key, value in values.items()
        ]
    )


def _is_text(value: object) -> bool:
    return type(value) is str and value != ""


def _are_texts(value: object) -> bool:
    return type(value) is list and all(map(_is_text, value)) and len({*value}) == len(value)


def _faults(error: ValidationError, path: list[str | int]) -> list[tuple[str | int, ...]]:
    """Return the paths without a usable value. That is the path of the error, or the paths of the missing keys."""
    if error.validator == "required":
        schema: dict[str, Any] = dict(error.schema) if isinstance(error.schema, dict) else {}
        instance: Any = error.instance
        return [(*path, key) for key in schema["required"] if key not in instance]
    return [] if error.validator in _USABLE else [tuple(path)]


def check_dialect(document: Document, findings: Findings) -> None:
    """Raise a one-line SpecError if the file has problems because it is a study for Merlin, which extends Maestro.

    A file with such keys and without problems is a study. `checks` warns of keys that are ignored.
    """
    by_key = dict(_merlin_keys(document))
    if by_key and findings.problems():
        foreign = Findings(findings.file)
        message = "This is a study for Merlin, not for Maestro"
        remedy = f"Run it with 'merlin run', or remove what only Merlin knows: {', '.join(by_key)}."
        foreign.problem(by_key.get(_MERLIN, min(by_key.values())), message, remedy)
        foreign.stop_if_problems()


def _merlin_keys(document: Document) -> Iterator[tuple[str, int]]:
    """Yield Merlin's keys in a file and their lines. A key may appear more than once."""
    data = document.data if isinstance(document.data, dict) else {}
    if _MERLIN in data:
        yield _MERLIN, document.line(_MERLIN)
    steps = data.get("study")
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        run = step.get("run") if isinstance(step, dict) else None
        for key in _MERLIN_RUN:
            if isinstance(run, dict) and key in run:
                yield key, document.line("study", index, "run", key)


def _complaints(error: ValidationError, head: str, rest: str) -> Iterator[_Complaint]:
    """Yield the messages for an error of jsonschema, in the part of the study that `head` and `rest` name."""
    instance: Any = error.instance
    whole = head if rest in {"", "run"} else f"{head}.{rest}"
    schema: dict[str, Any] = dict(error.schema) if isinstance(error.schema, dict) else {}
    if error.validator == "additionalProperties":
        yield from _unknown_keys(instance, schema["properties"], whole)
    elif error.validator == "required":
        yield from _missing_keys(instance, schema, whole)
    elif error.validator == "uniqueItems":
        yield (), f"Non-unique step names in {whole}", "List each step only once."
    else:
        subject = f"In {head}, {rest}" if rest else head[0].upper() + head[1:]
        message = f"{subject} must be {schema.get('description', 'something else')}"
        yield (), f"{message}, but found {shown(instance)}", ""


def name_of(data: Any, path: Sequence[str | int]) -> tuple[str, str]:  # noqa: ANN401 - not known to be a study yet
    """Return the name of the part of the study that contains `path`, and the dotted rest of the path."""
    if not path:
        return "the file", ""
    top = path[0]
    if top in {"study", "global.parameters"} and len(path) > 1:
        head = f"study step {step_name(data, int(path[1]))}" if top == "study" else f"global.params.{path[1]}"
        return head, _dotted(path[2:])
    return str(top), _dotted(path[1:])


def step_name(data: Any, index: int) -> str:  # noqa: ANN401 - not known to be a study yet
    """Return the quoted name of a step, or its position in the list (from 1) if it has none."""
    step = data["study"][index]
    name = step.get("name") if isinstance(step, dict) else None
    return f"'{name}'" if isinstance(name, str) and name else str(index + 1)


def _dotted(parts: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _unknown_keys(instance: dict[str, Any], known: dict[str, Any], where: str) -> Iterator[_Complaint]:
    for key in instance.keys() - known.keys():
        remedy = _home(key, known) or f"{did_you_mean(key, known)} Known keys: {', '.join(known)}."
        yield (key,), f"Unrecognized key '{key}' found in {where}", remedy


def _home(key: str, known: Collection[str]) -> str:
    """Return the right place of a key that is one level too high or too low (empty: it is unknown everywhere)."""
    schema = study_schema()
    step = schema["definitions"]["step"]["properties"]
    if "run" in known and key in step["run"]["properties"]:
        return "Put it under run."
    if "cmd" in known and key in step:
        return "Put it beside run, not under it."
    if "variables" in known and key in schema["properties"]["env"]["properties"]["dependencies"]["properties"]:
        return "Put it under env.dependencies."
    if "variables" in known and key in schema["properties"]:
        return "Put it at the top level of the file."
    return ""


def _missing_keys(instance: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[_Complaint]:
    """Yield all missing keys. Jsonschema reports one error for each of them, and `Findings` drops the duplicates."""
    for key in schema["required"]:
        if key not in instance:
            expected = schema["properties"][key].get("description", "")
            yield (), f"Key '{key}' is missing from {where}", f"Add it: {expected}." if expected else "Add it."
