from __future__ import annotations

import json

import pytest

from tools.testbed.logs import meddle


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


def test_an_export_and_its_import_have_the_same_head(run, study, tmp_path):
    assert run("export", study, "-o", tmp_path / "pi.jsonl") == (0, "", "")
    assert run("export", study).out == (tmp_path / "pi.jsonl").read_text("utf-8")
    head = run("verify", study).out.split()[-1]

    ran = run("import-log", tmp_path / "pi.jsonl", tmp_path / "new")

    assert ran == (0, f"{tmp_path}/new: 32 events of the study in {study}; head {head}\n", "")
    assert run("verify", tmp_path / "new").out.split()[-1] == head
    assert run("studies").out == ""


def test_a_damaged_log_is_salvaged_and_its_beginning_imported(run, study, tmp_path):
    meddle(study / "events.db", "DELETE FROM event WHERE seq = 20")
    ran = run("export", study, "-o", tmp_path / "pi.jsonl")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "maestro-es: event 20 is missing: event 21 follows event 19\n"
    assert not (tmp_path / "pi.jsonl").exists()

    ran = run("export", "--salvage", study, "-o", tmp_path / "pi.jsonl")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"maestro-es: {study}/events.db: saved 30 events; events 20 to 21 are missing\n"
    ran = run("import-log", tmp_path / "pi.jsonl", tmp_path / "new")
    assert (ran.code, ran.err) == (1, f"maestro-es: {tmp_path}/pi.jsonl:20: events 20 to 21 are missing\n")
    ran = run("import-log", "--upto-damage", tmp_path / "pi.jsonl", tmp_path / "new")
    assert ran.code == 0
    assert (
        ran.err
        == f"maestro-es: {tmp_path}/pi.jsonl:20: events 20 to 21 are missing; only the lines before it were imported\n"
    )
    assert json.loads(run("verify", tmp_path / "new", "--json").out)["events"] == 19


def test_the_log_is_not_written_over(run, study):
    ran = run("export", study, "-o", study / "events.db")
    assert (ran.code, ran.err) == (
        1,
        f"maestro-es: {study}/events.db: is the log itself; choose another file with -o\n",
    )


@pytest.mark.parametrize("options", [[], ["--salvage"]])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("nowhere/pi.jsonl", "No such file or directory"),
        ("file/pi.jsonl", "Not a directory"),
        ("x" * 255, "File name too long"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_named_as_the_user_named_it(run, study, tmp_path, options, place, why):
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    ran = run("export", *options, study, "-o", tmp_path / place)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"maestro-es: {tmp_path}/{place}: can't be written: {why}; name another file\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--salvage", "--"])
def test_without_a_log_there_is_nothing_to_export(run, tmp_path, option):
    ran = run("export", option, tmp_path)
    assert (ran.code, ran.err) == (
        1, f"maestro-es: {tmp_path}: not a study directory, there is no events.db in it\n"
    )  # fmt: skip
