"""Events of older versions are lifted as they are read; those of later ones are refused by who wrote them."""

# ruff: noqa: S608 - SQL is made of our own tables and columns

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core.events import UPCASTS, VERSIONS
from maestro_es.errors import DamagedLog, NewerLog
from maestro_es.store.event_log import GENESIS, Row, decode, row_digest
from maestro_es.store.verification import verify
from tools.testbed.logs import meddle, reopen, written


def row(data: str, version: int = 1, name: str = "JobSubmitted") -> Row:
    plain = (7, 8, 1, 2, name, version, data)
    return (*plain, row_digest(GENESIS, plain))


@pytest.fixture
def third_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let JobSubmitted be of version 3: in version 1 its `job_id` was a number, and in version 2 called `job`."""

    def first(payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "job": str(payload["job"])}

    def second(payload: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in payload.items() if key != "job"}, "job_id": payload["job"]}

    monkeypatch.setitem(VERSIONS, "JobSubmitted", 3)
    monkeypatch.setitem(UPCASTS, ("JobSubmitted", 1), first)
    monkeypatch.setitem(UPCASTS, ("JobSubmitted", 2), second)


@pytest.mark.usefixtures("third_version")
@pytest.mark.parametrize(
    ("version", "data"),
    [(1, '{"token":"t","job":17}'), (2, '{"token":"t","job":"17"}'), (3, '{"token":"t","job_id":"17"}')],
)
def test_a_payload_of_an_older_version_is_lifted_to_the_present_one(version: int, data: str):
    assert decode(row(data, version)).event == e.JobSubmitted(token="t", job_id="17")


@pytest.mark.usefixtures("third_version")
def test_a_payload_that_is_none_of_its_version_is_damage():
    with pytest.raises(DamagedLog, match="event 7: its payload is not a valid JobSubmitted"):
        decode(row('{"token":"t","job":17}', 2))
    with pytest.raises(DamagedLog, match="event 7: its payload is not a valid JobSubmitted"):
        decode(row("[]", 1))
    with pytest.raises(DamagedLog, match="event 7: its payload is not a valid JobSubmitted"):
        decode(row('{"token":"t"}', 1))


def test_every_older_version_of_every_event_has_its_upcast():
    assert set(UPCASTS) == {(name, older) for name, version in VERSIONS.items() for older in range(1, version)}


@pytest.mark.parametrize(
    ("name", "version"), [("JobSubmitted", 0), ("JobSubmitted", -1), ("JobSubmitted", "1"), (b"JobSubmitted", 1)]
)
def test_what_was_never_an_event_is_damage_and_nothing_newer(name: Any, version: Any):
    with pytest.raises(DamagedLog, match=r"event 7: no version of maestro-es writes events .*"):
        decode((7, 8, 1, 2, name, version, "{}", b""))


@pytest.mark.parametrize("change", ["type = 'StepDreamt'", "version = 2"])
def test_an_event_of_a_later_version_is_refused_by_the_version_that_wrote_it(tmp_path: Path, change: str):
    path = tmp_path / "events.db"
    written(path).close()
    meddle(path, f"UPDATE event SET {change} WHERE seq = 10", "DELETE FROM projection")

    with pytest.raises(NewerLog, match=r"can't read; maestro-es 1.0 wrote it: install that version or a later one"):
        reopen(path)


def test_a_log_with_older_events_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "events.db"
    written(path).close()
    monkeypatch.setitem(VERSIONS, "StepFinished", 2)
    monkeypatch.setitem(UPCASTS, ("StepFinished", 1), lambda payload: payload)

    with reopen(path) as log:
        log.rebuild()
        assert verify(log).events == log.head.seq
