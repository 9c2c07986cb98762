from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es.store import registry


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path))


def test_no_study_is_registered_at_first():
    assert registry.registered() == {}


def test_studies_are_listed_in_the_order_in_which_they_were_registered():
    registry.register("b", Path("/one"))
    registry.register("a", Path("/two"))
    assert list(registry.registered().items()) == [("b", Path("/one")), ("a", Path("/two"))]


def test_a_study_takes_the_place_of_one_that_was_in_its_directory():
    registry.register("old", Path("/one"))
    registry.register("new", Path("/one"))
    assert registry.registered() == {"new": Path("/one")}


def test_a_forgotten_study_leaves_nothing_behind(tmp_path):
    registry.register("a", Path("/one"))
    assert registry.complaint_is_new("a", "it is gone")
    registry.forget("a")
    assert registry.registered() == {}
    assert list((tmp_path / "studies").iterdir()) == []


def test_a_complaint_is_new_once_until_it_changes_or_is_settled():
    registry.register("a", Path("/one"))
    told = [registry.complaint_is_new("a", words) for words in ("", "gone", "gone", "broken", "", "broken")]
    assert told == [False, True, False, True, False, True]
