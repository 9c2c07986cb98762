"""Where this user's studies are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.study import registry


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_nothing_is_registered_where_there_is_no_registry(home: Path):
    assert registry.registered() == {}
    assert not home.exists()


@pytest.mark.parametrize("root", ["/studies/näme with space", "/studies/a blank at the end ", "/studies/two\nlines\n"])
def test_a_registered_study_is_found_by_its_id(root: str):
    registry.register("cafe", Path(root))

    assert registry.registered() == {"cafe": Path(root)}


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


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe garbage", b"not/absolute", b"/a\0b"])
def test_an_entry_that_holds_no_path_stands_for_itself_and_hides_no_other(home: Path, content: bytes):
    registry.register("cafe", Path("/studies/one"))
    (home / "studies" / "beef").write_bytes(content)
    (home / "studies" / "folder").mkdir()
    os.mkfifo(home / "studies" / "pipe")

    assert registry.registered() == {"cafe": Path("/studies/one"), "beef": home / "studies" / "beef"}


def test_an_entry_that_can_not_be_read_stands_for_itself_and_hides_no_other(home: Path):
    """Root, whom tests are, may read everything; a link that leads to itself it can't."""
    registry.register("cafe", Path("/studies/one"))
    loop = home / "studies" / "loop"
    loop.symlink_to(loop)

    assert registry.registered() == {"loop": loop, "cafe": Path("/studies/one")}
    registry.register("beef", Path("/studies/two"))
    registry.forget("loop")
    assert list(registry.registered()) == ["cafe", "beef"]


def test_a_path_that_is_no_utf_8_is_kept_byte_for_byte():
    root = Path(os.fsdecode(b"/studies/\xff"))
    registry.register("cafe", root)
    registry.complaint_is_new("cafe", f"{root}: is broken")

    assert registry.registered() == {"cafe": root}
    assert not registry.complaint_is_new("cafe", f"{root}: is broken")


def test_a_study_that_could_not_be_made_is_not_registered():
    registry.register("beef", Path("/studies/two"))

    for study_id in ("cafe", "beef"):
        with pytest.raises(OSError, match="full"), registry.registering(study_id, Path("/studies/new")):
            raise OSError("full")

    assert list(registry.registered()) == ["beef"]
