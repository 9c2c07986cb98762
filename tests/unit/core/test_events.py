"""Events are immutable facts that survive the way into the log and out again."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, Settings
from tools.testbed.samples import FULL, MINIMAL, SAMPLES

by_name = pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)


def test_there_is_a_sample_of_every_event():
    assert {type(event) for event in MINIMAL} == set(e.EVENT_TYPES.values())
    assert {type(event) for event in FULL} <= set(e.EVENT_TYPES.values())


def test_every_event_of_the_union_has_a_name_and_a_version():
    names = [kind.__name__ for kind in get_args(e.AnyEvent)]

    assert list(e.EVENT_TYPES) == names
    assert list(e.VERSIONS) == names
    assert all(version >= 1 for version in e.VERSIONS.values())


def test_every_class_of_an_event_is_in_the_union():
    assert set(e.Event.__subclasses__()) == set(e.EVENT_TYPES.values())


@pytest.mark.parametrize("kind", e.EVENT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_the_docstring_of_an_event_is_its_manual_entry(kind: type[e.Event]):
    assert kind.__doc__
    assert kind.__doc__ != e.Event.__doc__
    assert kind.__doc__.split("\n")[0].endswith((".", ":"))


@by_name
def test_an_event_survives_the_way_into_the_log_and_out_again(event: e.AnyEvent):
    data = msgspec.json.encode(event)

    assert msgspec.json.decode(data, type=type(event)) == event
    assert msgspec.json.encode(msgspec.json.decode(data, type=type(event))) == data


@by_name
def test_an_event_never_changes(event: e.AnyEvent):
    for name in event.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(event, name, None)


@by_name
def test_a_payload_with_a_field_that_nobody_knows_is_refused(event: e.AnyEvent):
    payload = {**msgspec.to_builtins(event), "surprise": 1}

    with pytest.raises(msgspec.ValidationError, match="unknown field `surprise`"):
        msgspec.convert(payload, type(event))


@pytest.mark.parametrize("kind", e.EVENT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_a_payload_that_lacks_what_it_must_have_is_refused(kind: type[e.Event]):
    if not [field for field in msgspec.structs.fields(kind) if field.required]:
        assert msgspec.json.encode(kind()) == b"{}"
        return
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.json.decode(b"{}", type=kind)


def test_what_is_as_usual_is_not_written():
    event = e.StepFailed(at=6, cause=Cause.LOST, message="gone")

    assert msgspec.to_builtins(event) == {"at": 6, "cause": "lost", "message": "gone"}


def test_settings_are_written_whole_so_that_a_later_default_changes_no_old_study():
    event = e.StudyCreated(study_id="cafe", root="/s", settings=Settings(hardware_limit=3, restart_limit=2))

    assert msgspec.to_builtins(event)["settings"] == {
        "submission_attempts": 1,
        "submission_throttle": 0,
        "restart_limit": 2,
        "hardware_limit": 3,
        "abandon_limit": 10,
        "local_slots": 0,
        "sleep_seconds": 60,
        "array": None,
        "use_tmp": False,
        "hash_workspaces": False,
        "dry_run": False,
        "notify": "",
    }


def test_a_wrong_type_in_a_payload_is_refused():
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$\.attempt`"):
        msgspec.json.decode(b'{"attempt":"1","token":"t","kind":"first"}', type=e.SubmissionRequested)
