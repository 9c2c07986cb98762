from __future__ import annotations

import json
import shutil

import pytest

from maestro_es.drivers import cron_tick
from maestro_es.study import registry
from maestro_es.study.locks import hold


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


def test_without_studies_it_says_how_to_make_one(run):
    assert run("studies") == (0, "", "No studies; 'maestro-es run' creates one.\n")


def test_studies_are_listed_with_how_they_stand(run, study):
    registry.register("cafe" * 8, study)
    header, line = run("studies").out.splitlines()
    assert header.split() == ["Id", "Name", "Status", "Steps", "Last", "tick", "Path"]
    assert line == f"cafecafe  pi    RUNNING, not ticked  1 RUNNING, 1 FINISHED, 3 FAILED  --         {study}"


def test_studies_are_filtered_and_sorted(run, study, tmp_path):
    registry.register("cafe" * 8, study)
    registry.register("gone", tmp_path / "gone")

    def names(*options: str) -> list[str]:
        lines = run("studies", "--json", *options).out.splitlines()
        return [json.loads(line)["path"].rpartition("/")[2] for line in lines]

    assert names() == [study.name, "gone"]
    assert names("--sort", "name") == names("--sort=-steps") == [study.name, "gone"]  # what is unknown comes last
    assert names("--state", "running") == names("--name", "p?") == names("--name", study.name) == [study.name]
    assert names("--state", "problem") == ["gone"]
    assert names("--state", "problem", "--state", "RUNNING", "--limit", "1") == [study.name]
    assert run("studies", "--state", "finished").err == "No studies match.\n"
    assert run("studies", "--sort", "size").err == (
        "maestro-es: 'size' is not a column; studies are sorted by name, state, steps, failed, tick, path\n"
    )


def test_studies_are_listed_as_they_stood(run, study):
    registry.register("cafe" * 8, study)
    _, line = run("studies", "--at", "2026-01-31 12:02:30").out.splitlines()
    assert line == f"cafecafe  pi    RUNNING  3 INITIALIZED, 2 RUNNING  --         {study}"
    [before] = map(json.loads, run("studies", "--at", "2026-01-31 11:59", "--json").out.splitlines())
    assert before["problem"].startswith("the study did not exist yet: ")
    assert json.loads(run("studies", "--at", "12", "--json").out)["seq"] == 12


def test_a_broken_study_says_what_is_wrong_and_does_not_stop_the_rest(run, study, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "events.db").write_text("no database")
    for name in ("gone", "empty", "damaged"):
        registry.register(name, tmp_path / name)
    registry.register("cafe" * 8, study)
    ran = run("studies", "--json")
    gone, empty, damaged, sound = map(json.loads, ran.out.splitlines())
    assert ran.code == 0
    assert gone["problem"] == "the directory is gone"
    assert empty["problem"] == f"{tmp_path}/empty: not a study directory, there is no events.db in it"
    assert "events.db" in damaged["problem"]
    assert (damaged["id"], damaged["path"], damaged["status"]) == ("damaged", str(tmp_path / "damaged"), None)
    assert (sound["name"], sound["status"], sound["problem"]) == ("pi", "RUNNING", None)
    assert f"{tmp_path}/gone (the directory is gone)" in run("studies").out


def test_another_study_in_the_directory_is_not_taken_for_the_registered_one(run, study):
    registry.register("beef" * 8, study)
    assert json.loads(run("studies", "--json").out)["problem"] == f"another study is in this directory: {'cafe' * 8}"


@pytest.mark.parametrize("word", ["cafe" * 8, "cafe", "path"])
def test_a_study_is_forgotten_by_its_id_the_beginning_of_it_or_its_path(run, study, word):
    registry.register("cafe" * 8, study)
    registry.register("beef" * 8, study.parent)
    removed = f"Removed {'cafe' * 8} from the list\n"
    assert run("studies", "--forget", study if word == "path" else word) == (0, "", removed)
    assert list(registry.registered()) == ["beef" * 8]
    assert (study / "events.db").exists()


@pytest.mark.parametrize(
    ("word", "why"), [("ca", "the ids of 2 studies begin with it"), ("x", "no registered study has this id or path")]
)
def test_what_means_no_study_or_several_is_refused(run, tmp_path, word, why):
    registry.register("cafe", tmp_path / "one")
    registry.register("cabb", tmp_path / "two")
    assert run("studies", "--forget", word) == (1, "", f"maestro-es: {word}: {why}; 'maestro-es studies' lists them\n")
    assert len(registry.registered()) == 2


def test_a_moved_study_that_is_ticked_is_registered_where_it_is(run, study, tmp_path):
    registry.register("cafe" * 8, study)
    moved = tmp_path / "elsewhere"
    study.rename(moved)
    assert "there is no such directory; if it was moved, tick it once where it is now" in run("tick", "--all").err

    assert run("tick", moved).code == 0
    assert registry.registered() == {"cafe" * 8: moved}
    assert run("tick", "--all") == (0, "", "")


def test_a_copy_that_is_ticked_is_not_registered_in_place_of_the_study(run, study, tmp_path):
    registry.register("cafe" * 8, study)
    shutil.copytree(study, tmp_path / "copy")

    assert "a copy of" in run("tick", tmp_path / "copy").err
    assert registry.registered() == {"cafe" * 8: study}


def test_a_study_that_no_rule_can_tick_keeps_no_other_from_its_tick(run, study, tmp_path, monkeypatch):
    monkeypatch.setattr(
        cron_tick, "_tick_one", lambda root, *_, **__: (1, f"{root}: said") if root == study else 1 / 0
    )
    registry.register("beef", tmp_path)
    registry.register("cafe" * 8, study)

    with pytest.raises(ZeroDivisionError):
        run("tick", "--all")
    assert registry.complaint_is_new("cafe" * 8, f"{study}: said") is False


def test_what_was_complained_about_is_not_said_again_because_somebody_else_was_ticking(run, study):
    registry.register("cafe" * 8, study)
    (study / ".study.update.lock").mkdir()  # no file of 'maestro update': it can't be moved aside either
    (study / ".study.update.lock.bad").write_text("")
    said = run("tick", "--all").err
    assert "Not a directory" in said

    with hold(study / ".maestro-es" / "tick.lock") as held:
        assert held
        assert run("tick", "--all") == (0, "", "")
    assert run("tick", "--all").err == ""


def test_what_the_system_says_of_a_study_is_told_in_plain_words(run, study, tmp_path):
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "events.db").symlink_to("events.db")
    registry.register("cafe" * 8, tmp_path / "round")

    problem = f"{tmp_path}/round/events.db: Too many levels of symbolic links"
    assert json.loads(run("studies", "--json").out)["problem"] == problem
    assert f"maestro-es: {problem}" in run("history", "--all-studies").err
