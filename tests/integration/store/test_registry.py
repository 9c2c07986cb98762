"""Where this user's studies are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.store import registry


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_nothing_is_registered_where_there_is_no_registry(home: Path):
    assert registry.registered() == {}
    assert not home.exists()


def test_a_registered_study_is_found_by_its_id():
    registry.register("cafe", Path("/studies/näme with space"))

    assert registry.registered() == {"cafe": Path("/studies/näme with space")}


def test_studies_are_listed_in_the_order_in_which_they_were_registered(home: Path):
    for age, name in ((3, "zoo"), (1, "ant"), (2, "cow")):
        registry.register(name, Path("/studies") / name)
        os.utime(home / "studies" / name, (1000 - age, 1000 - age))

    assert list(registry.registered()) == ["zoo", "cow", "ant"]


def test_a_study_that_moved_is_registered_anew():
    registry.register("cafe", Path("/old"))
    registry.register("cafe", Path("/new"))

    assert registry.registered() == {"cafe": Path("/new")}


def test_a_study_takes_the_place_of_another_in_the_same_directory():
    registry.register("cafe", Path("/studies/one"))
    registry.register("beef", Path("/studies/two"))

    registry.register("feed", Path("/studies/one"))

    assert registry.registered() == {"beef": Path("/studies/two"), "feed": Path("/studies/one")}


def test_a_forgotten_study_leaves_nothing_behind(home: Path):
    registry.register("cafe", Path("/studies/one"))
    registry.complaint_is_new("cafe", "it is broken")

    registry.forget("cafe")
    registry.forget("never there")

    assert registry.registered() == {}
    assert os.listdir(home / "studies") == []


def test_what_a_dying_process_left_half_written_is_no_study(home: Path):
    registry.register("cafe", Path("/studies/one"))
    (home / "studies" / ".beef.4711").write_text("/half")

    assert list(registry.registered()) == ["cafe"]


def test_a_complaint_is_new_once():
    registry.register("cafe", Path("/studies/one"))

    told = [registry.complaint_is_new("cafe", words) for words in ("", "broken", "broken", "worse", "", "", "broken")]

    assert told == [False, True, False, True, False, False, True]


def test_without_a_variable_the_registry_is_in_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("MAESTRO_ES_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")

    assert registry.folder() == tmp_path / ".local/state/maestro-es/studies"
