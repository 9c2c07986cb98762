"""The token of an attempt: what is made is parsed, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from maestro_es.core import attempt_token as t

ID = "feed0000" + "0" * 24


def test_a_token_tells_what_it_was_made_for():
    token = t.make_token(ID, 12, 3, "cafe0123")
    assert token == "feed0000-12-3-cafe0123"
    assert (t.step_of(token), t.attempt_of(token)) == (12, 3)
    assert token.startswith(t.study_part(ID))
    assert t.is_of_study(token, ID)
    assert not t.is_of_study(token, "f" * 32)
    assert not t.is_imported(token)


def test_a_job_of_maestros_is_the_first_attempt_of_its_step():
    token = t.imported_token(ID, 7)
    assert t.is_imported(token)
    assert (t.step_of(token), t.attempt_of(token)) == (7, 1)


@pytest.mark.parametrize(
    "token", ["feed0000-x-1-cafe", "feed0000-1", "feed0000-1-1", "feed0000-1-1-c-d", "", "a-²-c-d", f"a-{10**20}-c-d"]
)
def test_other_words_are_no_tokens(token: str):
    assert t.step_of(token) == t.attempt_of(token) == 0


@pytest.mark.parametrize("token", ["feed0000-1-x-cafe", "feed0000-1-²-cafe", f"feed0000-1-{10**20}-cafe"])
def test_an_attempt_has_a_number(token: str):
    assert t.attempt_of(token) == 0


def test_the_token_of_an_attempt_in_an_array_names_the_array_and_the_index():
    token = t.make_token(ID, 14, 2, t.element_suffix("cafe0123", 12, 2))
    assert t.element_of(token) == ("feed0000-array-cafe0123_12", 2)
    assert (t.step_of(token), t.attempt_of(token)) == (14, 2)
    assert t.is_of_study(token, ID)
    assert t.is_array("feed0000-array-cafe0123_12")
    assert not t.is_array(token)
    assert t.step_of("feed0000-array-cafe0123_12") == 0


@pytest.mark.parametrize("token", ["feed0000-1-1-cafe", "feed0000-1-1-imported", "feed0000-1-1-c_x", "a_1", ""])
def test_other_attempts_are_in_no_array(token: str):
    assert t.element_of(token) is None
