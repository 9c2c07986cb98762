"""An export is the log, byte for byte; what was done to one is found, and named by its line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.creation.import_log import import_log
from maestro_es.errors import DamagedLog, MaestroError, NewerLog, RequestRefused
from maestro_es.store.event_log import GENESIS, Row, row_digest
from maestro_es.store.log_export import ExportReader, line, write_file
from maestro_es.store.log_file import LOG_NAME
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.testbed.logs import meddle, reopen, same, written


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with written(tmp_path / "events.db") as log:
        write_file(map(line, log.sealed_rows()), tmp_path / "log.jsonl")
    return tmp_path / "log.jsonl"


def rows_of(path: Path) -> list[Row]:
    with reopen(path) as log:
        return list(log.rows())


def test_what_is_imported_is_what_was_exported(exported: Path, tmp_path: Path):
    restored = import_log(ExportReader(exported), tmp_path / "new", Runtime())

    rows = rows_of(tmp_path / "events.db")
    assert rows_of(tmp_path / "new" / LOG_NAME) == rows
    assert (restored.head.digest, restored.was) == (rows[-1][7], "/t")
    with reopen(tmp_path / "new" / LOG_NAME) as log:
        assert same(log)
        assert verify(log).events == len(rows)
        write_file(map(line, log.sealed_rows()), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == exported.read_bytes()
    assert stat.S_IMODE((tmp_path / "new" / LOG_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


def test_a_line_is_an_event_with_its_columns_in_their_order_and_its_payload_as_it_was_written():
    payload = '{"reason":"na\u00efve \\u0000 \\n"}'
    plain = (3, 17, 1, None, "StudyPaused", 1, payload)
    row = (*plain, row_digest(GENESIS, plain))

    text = line(row)

    assert text == (
        '{"seq":3,"recorded_at":17,"invocation":1,"step":null,"type":"StudyPaused","version":1,'
        f'"data":{payload},"digest":"{row[7].hex()}"}}\n'
    )
    assert json.loads(text)["data"]["reason"] == "na\u00efve \0 \n"


def test_an_export_holds_each_event_at_the_time_of_its_beginning_and_no_other(exported: Path, tmp_path: Path):
    with reopen(tmp_path / "events.db") as log:
        lines = map(line, log.sealed_rows())
        first = next(lines)
        with reopen(tmp_path / "events.db") as other:
            other.append([(None, e.StudyPaused())])
        assert [first, *lines] == exported.read_text("utf-8").splitlines(keepends=True)


Change = Callable[[list[str]], list[str]]


def changed(number: int, old: str, new: str) -> Change:
    def change(lines: list[str]) -> list[str]:
        assert old in lines[number - 1]
        return [*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[1:], "jsonl:1: event 1 is missing: event 2 follows event 0"),
        (lambda lines: lines[:9] + lines[10:], "jsonl:10: event 10 is missing: event 11 follows event 9"),
        (lambda lines: lines[:5] + lines[4:], "jsonl:6: event 6 is missing: event 5 follows event 5"),
        (lambda lines: [*lines, lines[-1][:40]], "this is not an event of an export: Input data was truncated"),
        (lambda lines: ["description: a study\n"], "jsonl:1: this is not an event of an export"),
        (lambda _: [], "log.jsonl: there is no event in it"),
        (lambda lines: [*lines[:3], "\n", *lines[3:]], "jsonl:4: this is not an event of an export"),
        (lambda lines: [*lines[:3], '{"damage":"events 4 to 6 are missing"}\n'], "jsonl:4: events 4 to 6 are missing"),
        (changed(9, '"version":1', '"version":1,"mood":1'), "jsonl:9: this is not an event of an export: .*mood"),
        (changed(9, '"data":{', '"data":{ '), r"jsonl:9: event 9 was changed .*its digest is wrong \(StepTempl"),
        (changed(9, '"recorded_at":', '"recorded_at":1'), "jsonl:9: event 9 was changed after it was written"),
        (changed(9, '"digest":"', '"digest":"00'), "jsonl:9: event 9 was changed after it was written"),
        (changed(9, '"digest":"', '"digest":"x'), "jsonl:9: this is not an event of an export"),
    ],
)  # fmt: skip
def test_what_was_done_to_an_export_is_named_by_its_line(exported: Path, tmp_path: Path, change: Change, words: str):
    exported.write_text("".join(change(exported.read_text("utf-8").splitlines(keepends=True))), "utf-8")

    with pytest.raises(DamagedLog, match=words) as caught:
        import_log(ExportReader(exported), tmp_path / "new", Runtime())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_bytes_that_are_no_text_are_named_by_their_line(exported: Path, tmp_path: Path):
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join([*lines[:4], lines[4].replace(b"Step", b"\xff"), *lines[5:]]))

    with pytest.raises(DamagedLog, match="jsonl:5: this is not an event of an export"):
        import_log(ExportReader(exported), tmp_path / "new", Runtime())


def sealed_anew(lines: list[str], number: int, **columns: object) -> Iterator[str]:
    """Yield lines with one of them changed and all digests to match."""
    before = GENESIS
    for text in lines:
        found = json.loads(text)
        row = [found[name] for name in ("seq", "recorded_at", "invocation", "step", "type", "version")]
        plain = dict(zip(("seq", "recorded_at", "invocation", "step", "type", "version"), row, strict=True))
        plain["data"] = text.partition('"data":')[2].rpartition(',"digest"')[0]
        if found["seq"] == number:
            plain.update(columns)
        values = tuple(plain.values())
        before = row_digest(before, values)
        yield line((*values, before))


@pytest.mark.parametrize("columns", [{"type": "StepDreamt"}, {"version": 2}])
def test_an_export_of_a_later_version_is_refused_by_the_name_of_it(
    exported: Path, tmp_path: Path, columns: dict[str, object]
):
    lines = exported.read_text("utf-8").splitlines(keepends=True)
    exported.write_text("".join(sealed_anew(lines, 12, **columns)), "utf-8")

    with pytest.raises(NewerLog, match=r"jsonl:12: event 12 is a .* can't read; maestro-es 1.0 wrote it: "):
        import_log(ExportReader(exported), tmp_path / "new", Runtime())
    with pytest.raises(NewerLog):
        import_log(ExportReader(exported, upto_damage=True), tmp_path / "new", Runtime())


def test_a_history_that_can_not_have_been_is_not_imported_either(exported: Path, tmp_path: Path):
    lines = exported.read_text("utf-8").splitlines(keepends=True)
    exported.write_text("".join(sealed_anew(lines, 30, type="StepReset", data="{}", step=1)), "utf-8")

    for upto_damage in (False, True):
        with pytest.raises(DamagedLog, match="jsonl:30: event 30: StepReset can't follow for step 'make'"):
            import_log(ExportReader(exported, upto_damage=upto_damage), tmp_path / "new", Runtime())


def test_what_stands_before_the_damage_is_taken_if_that_is_wanted(exported: Path, tmp_path: Path):
    lines = exported.read_text("utf-8").splitlines(keepends=True)
    exported.write_text("".join([*lines[:20], *lines[25:]]), "utf-8")

    export = ExportReader(exported, upto_damage=True)
    restored = import_log(export, tmp_path / "new", Runtime())

    assert restored.head.seq == 20
    assert "jsonl:21: event 21 is missing: event 26 follows event 20" in export.damage
    assert rows_of(tmp_path / "new" / LOG_NAME) == rows_of(tmp_path / "events.db")[:20]


@pytest.mark.parametrize("name", [LOG_NAME, "status.csv", "sim"])
def test_a_directory_that_is_in_use_is_refused(exported: Path, tmp_path: Path, name: str):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).touch()

    with pytest.raises(RequestRefused, match="is not empty; choose a new directory, or use 'maestro-es recover"):
        import_log(ExportReader(exported), tmp_path / "new", Runtime())
    assert os.listdir(tmp_path / "new") == [name]


def test_an_export_that_can_not_be_read_is_refused(tmp_path: Path):
    with pytest.raises(RequestRefused, match=r"log.jsonl: No such file or directory"):
        import_log(ExportReader(tmp_path / "log.jsonl"), tmp_path / "new", Runtime())
    assert not (tmp_path / "new").exists()


KILLED = """
import os, sys
from pathlib import Path
from maestro_es.study.invocation import Runtime
from maestro_es.creation.import_log import import_log
from maestro_es.store import log_reader, study_log
from maestro_es.store.log_export import ExportReader

log_reader._BLOCK = study_log._FLUSH_EVERY = 7  # so that there is something on the disk before the end

class Dying(ExportReader):
    def rows(self):
        for row in super().rows():
            if row[0] == {at}:
                os.kill(os.getpid(), 9)
            yield row

def after(effect):
    if effect == "{effect}":
        os.kill(os.getpid(), 9)

import_log(Dying(Path(sys.argv[1])), Path(sys.argv[2]), Runtime(on_effect=after))
"""


@pytest.mark.parametrize(("at", "effect"), [(1, ""), (30, ""), (0, "append"), (0, "rename")])
def test_an_import_that_is_killed_leaves_no_half_log_and_can_be_made_again(
    exported: Path, tmp_path: Path, at: int, effect: str
):
    words = [sys.executable, "-c", KILLED.format(at=at, effect=effect), str(exported), str(tmp_path / "new")]
    assert subprocess.run(words, check=False).returncode == -9

    if effect == "rename":
        assert rows_of(tmp_path / "new" / LOG_NAME) == rows_of(tmp_path / "events.db")
        return
    assert not (tmp_path / "new" / LOG_NAME).exists()
    assert import_log(ExportReader(exported), tmp_path / "new", Runtime()).head.seq == len(
        rows_of(tmp_path / "events.db")
    )


def test_a_damaged_log_is_not_exported_as_if_it_were_whole(tmp_path: Path):
    path = tmp_path / "events.db"
    written(path).close()
    meddle(path, "UPDATE event SET step = 9 WHERE seq = 30")

    with reopen(path) as log, pytest.raises(DamagedLog, match="event 30 was changed"):
        write_file(map(line, log.sealed_rows()), tmp_path / "log.jsonl")
    assert not list(tmp_path.glob("*.jsonl*"))
    assert not list(tmp_path.glob(".*jsonl*"))


def test_an_imported_log_at_another_place_goes_on_there_only_if_the_study_has_left_its_own(tmp_path: Path):
    from tools.testbed.studies import Bench, Step  # noqa: PLC0415 - these need /proc

    bench = Bench(tmp_path / "own")
    bench.create(Step("one"))
    with bench.open() as study:
        write_file(map(line, study.log.sealed_rows()), tmp_path / "own.jsonl")
    import_log(ExportReader(tmp_path / "own.jsonl"), tmp_path / "copy", bench.runtime)

    copy = Bench(tmp_path / "copy")
    with pytest.raises(MaestroError, match=r"copy: a copy of .*/own, whose log is still there"):
        copy.tick()
    bench.root.rename(tmp_path / "gone")
    (tmp_path / "gone" / LOG_NAME).unlink()
    copy.tick()
    assert [event.after for event in copy.events(e.StudyRelocated)] == [str(tmp_path / "copy")]
    with Session(copy.root, copy.runtime) as study:
        verify(study.log)
    copy.finish()
