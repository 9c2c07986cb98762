"""An independent replay of the table `event`. It uses SQLite, JSON and ``schema/events``, but none of our code."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "schema" / "events"


class Fold:
    """The state of a study: the `study`, and its `steps` by number. Each of them is a dictionary."""

    def __init__(self) -> None:
        self.rules = json.loads((FOLDER / "fold.json").read_text("utf-8"))
        self.steps: dict[int, dict[str, Any]] = {}
        self.study: dict[str, Any] = {}
        self._schemas: dict[str, Any] = {}

    def over(self, log: Path) -> Iterator[int]:
        """Apply the events of a log one by one, and yield the seq of each."""
        connection = sqlite3.connect(log)
        for seq, step, kind, version, data in connection.execute(
            "SELECT seq, step, type, version, data FROM event ORDER BY seq"
        ):
            self.take(step, kind, version, json.loads(data))
            yield seq
        connection.close()

    def take(self, number: int, kind: str, version: int, payload: dict[str, Any]) -> None:
        """Apply an event."""
        schema = self._schema(f"{kind}.v{version}.json")
        definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        values = {
            name: payload.get(name, property_.get("default")) for name, property_ in definition["properties"].items()
        }
        step = self.steps.get(number, {})
        result = next(entry for entry in schema["x-results"] if applies(entry, values, step))
        if result.get("adds") == "step":
            step = self.steps[number] = {**self.rules["start"]["step"], **values, "name": values["name"]}
            step["parents"] = list(values["parents"])
        elif result.get("adds") == "parent":
            step["parents"].append(values["parent"])
        elif result.get("removes") == "parent":
            step["parents"].remove(values["parent"])
        for target, changes in ((step, result.get("step", {})), (self.study, result.get("study", {}))):
            for key, value in changes.items():
                target[key] = given(schema, definition, values, value["given"]) if isinstance(value, dict) else value

    def phase(self, number: int) -> str:
        """Return the phase of a step, as it is shown to people."""
        step = self.steps[number]
        if step["phase"] != "WAITING":
            return str(step["phase"])
        released = self.rules["waiting"]["released"]
        awaited = [self.steps[parent] for parent in step["parents"]]
        awaited += [other for other in self.steps.values() if other["template"] in step["funnels"]]
        return "READY" if all(other["state"] in released for other in awaited) else "BLOCKED"

    def _schema(self, name: str) -> dict[str, Any]:
        if name not in self._schemas:
            self._schemas[name] = json.loads((FOLDER / name).read_text("utf-8"))
        found: dict[str, Any] = self._schemas[name]
        return found


def applies(entry: dict[str, Any], values: dict[str, Any], step: dict[str, Any]) -> bool:
    """Return whether the conditions of a result are true."""
    conditions = [(values, entry.get("if", {})), (step, entry.get("if-step", {}))]
    return all(satisfies(found[key], wanted) for found, all_ in conditions for key, wanted in all_.items())


def satisfies(value: Any, wanted: dict[str, Any]) -> bool:
    """Return whether a value conforms to a JSON Schema of one of the two kinds that occur."""
    return value in wanted["enum"] if "enum" in wanted else value >= wanted["minimum"]


def given(schema: dict[str, Any], definition: dict[str, Any], values: dict[str, Any], name: str) -> Any:
    """Return the value of a property. A number with a name is returned as its name."""
    reference = definition["properties"][name].get("$ref", "")
    names = schema["$defs"].get(reference.rpartition("/")[2], {}).get("x-names", {})
    return names.get(str(values[name]), values[name])
