"""Commands that print all steps keep few in memory, and print the same whether or not all steps fit there."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es import spool
from maestro_es.cli import diff, output, query, status, why
from maestro_es.cli import map as map_command
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause, Param
from maestro_es.creation.create import create_log, make_directory
from maestro_es.report import table
from maestro_es.store import log_reader, past_graph, status_rows, user_query
from maestro_es.study.invocation import Runtime

#: What is printed, by the name of the command.
COMMANDS = (
    "status", "status --csv", "status --json", "status --layout flat", "status --layout narrow",
    "status --layout legacy", "status --sort=-SEED", "status sim* --columns step,SEED,why", "status --csv --at 300",
    "map T", "diff 150", "diff 150 300", "diff 150 300 --json", "query", "query --csv", "query --json", "query --nl",
    "why",
)  # fmt: skip


class Sink(io.StringIO):
    """An output that forgets what is written."""

    def write(self, text: str) -> int:
        return len(text)


def events(count: int) -> Iterator[NewEvent]:
    yield None, e.StudyCreated(study_id="cafe0123", root="/s")
    yield None, e.StepTemplateAdded(name="sim", description="", run={"cmd": "run"})
    for number in range(1, count + 1):
        values = {"SEED": str(number * 7919 % count), "T": str(number % 3)}
        params = tuple(Param(key=key, value=value, label=f"{key}.{value}", name=key) for key, value in values.items())
        name = "_".join(["sim", *(param.label for param in params)])
        yield (
            number,
            e.StepAdded(name=name, template="sim", workspace=f"sim/{name}", params=params, row=count - number),
        )
    for number in range(2, count + 1):
        yield number, e.StepFailed(at=number, cause=Cause.SCRIPT, message="no room")


def study(root: Path, count: int) -> Path:
    create_log(make_directory(root), events(count), Runtime())
    return root


def show(command: str, root: Path, out: io.StringIO) -> None:
    name, *words = command.split()
    called = {"status": status, "map": map_command, "diff": diff, "query": query, "why": why}[name].command
    sql = ["SELECT * FROM v_step"] if name == "query" else []
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        called.main([str(root), *sql, *words], standalone_mode=False)


@pytest.fixture
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, number in (
        (spool, "_IN_MEMORY", 100), (spool, "_BLOCK", 50), (spool, "_SMALL_BLOCK", 2), (table, "_SOME", 100),
        (output, "_SOME", 100), (past_graph, "_KEEP", 100), (log_reader, "_REPLAYED", 100),
        (status_rows, "_PAGE", 100), (user_query, "_BLOCK", 100),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, number)


def test_steps_that_do_not_fit_into_memory_are_printed_as_those_that_do(
    tmp_path: Path, request: pytest.FixtureRequest
):
    root = study(tmp_path / "study", 330)
    before = {command: io.StringIO() for command in COMMANDS}
    after = {command: io.StringIO() for command in COMMANDS}
    for command, out in before.items():
        show(command, root, out)
    request.getfixturevalue("few_in_memory")
    for command, out in after.items():
        show(command, root, out)

    def text(out: io.StringIO) -> list[str]:
        return [line for line in out.getvalue().splitlines() if "ago" not in line and not line.startswith("To:")]

    assert all(text(out) for out in after.values())
    del before["status --json"]  # it contains the present time
    assert {command: text(out) for command, out in before.items()} == {c: text(after[c]) for c in before}


def peak(command: str, root: Path) -> int:
    """Return the least of two peaks, because a table of the interpreter may grow during one of them."""
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        show(command, root, Sink())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(peaks)


@pytest.mark.usefixtures("few_in_memory")
def test_no_command_keeps_all_steps_in_memory(tmp_path: Path):
    roots = study(tmp_path / "small", 1000), study(tmp_path / "large", 3000)
    peaks = {command: [peak(command, root) for root in roots] for command in COMMANDS}

    assert not {command: peak for command, peak in peaks.items() if peak[1] > 1.5 * peak[0]}, peaks
