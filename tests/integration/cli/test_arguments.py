from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es.cli.common import split_arguments
from maestro_es.errors import NotAStudy


@pytest.fixture
def study(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    (folder / "hello").mkdir(parents=True)
    (folder / "events.db").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_directory_with_a_log_is_a_study_and_all_else_is_a_step(study):
    assert split_arguments(("study", "hello", "b_*")) == ([Path("study")], ["hello", "b_*"])


def test_without_a_study_it_is_the_one_that_the_current_directory_lies_in(study, monkeypatch):
    monkeypatch.chdir(study / "hello")
    assert split_arguments(("hello",)) == ([study], ["hello"])


def test_a_workspace_named_like_its_step_is_a_step(study, monkeypatch):
    monkeypatch.chdir(study)
    assert split_arguments(("hello",)) == ([study], ["hello"])


def test_a_path_is_meant_as_a_study_even_if_there_is_none(study, tmp_path):
    assert split_arguments(("/nowhere", "./gone", "a/")) == ([Path("/nowhere"), Path("./gone"), Path("a/")], [])


def test_a_plain_directory_is_meant_as_a_study_where_there_is_no_other(study, tmp_path):
    (tmp_path / "old").mkdir()
    assert split_arguments(("old", "x")) == ([Path("old")], ["x"])


def test_nothing_at_all_is_the_current_directory(study, tmp_path):
    assert split_arguments(()) == ([tmp_path], [])


def test_a_word_that_is_neither_a_directory_nor_a_step_of_a_study_is_named(study):
    with pytest.raises(NotAStudy, match="stduy: there is no such directory"):
        split_arguments(("stduy",))
