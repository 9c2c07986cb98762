"""What a person asks becomes events, or a refusal that says why."""

from __future__ import annotations

import pytest

from maestro_es.core import arguments, requests
from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.errors import RequestRefused
from tests.unit.core.making import Study


@pytest.fixture
def study() -> Study:
    study = Study(submission_throttle=2)
    for size in (10, 20):
        study.add(f"sim_SIZE.{size}", template="sim")
    study.add("post", funnels=("sim",))
    return study


def complete(study: Study) -> Study:
    for step in study.graph.steps():
        study.finish(step.number)
    study.do(e.StudyCompleted(status=StudyStatus.FINISHED))
    return study


@pytest.mark.parametrize(
    ("patterns", "numbers"),
    [
        (["sim_SIZE.20"], [2]),
        (["sim"], [1, 2]),
        (["sim*"], [1, 2]),
        (["*SIZE.1?"], [1]),
        (["p[o]st"], [3]),
        (["post", "sim", "sim_SIZE.10"], [1, 2, 3]),
        ([], []),
    ],
)
def test_steps_are_named_by_instance_template_or_pattern(study: Study, patterns: list[str], numbers: list[int]):
    assert [step.number for step in requests.match_steps(study.graph, patterns)] == numbers


def test_a_name_with_brackets_in_it_names_itself(study: Study):
    number = study.add("sim[1]")

    assert [step.number for step in requests.match_steps(study.graph, ["sim[1]"])] == [number]


def test_every_name_that_names_nothing_is_said(study: Study):
    with pytest.raises(RequestRefused, match=r"no step is called nope, zip\*; 'maestro-es status' lists the steps"):
        requests.match_steps(study.graph, ["zip*", "post", "nope"])


def test_the_case_of_a_name_matters(study: Study):
    with pytest.raises(RequestRefused, match="no step is called SIM"):
        requests.match_steps(study.graph, ["SIM"])


def test_a_study_is_cancelled_as_a_whole(study: Study):
    assert requests.cancel(study.graph, reason="wrong") == [(None, e.CancelRequested(reason="wrong"))]


def test_a_study_is_cancelled_once(study: Study):
    study.record(requests.cancel(study.graph))

    with pytest.raises(RequestRefused, match="the study is already being cancelled"):
        requests.cancel(study.graph)


def test_steps_that_have_ended_are_left_out_of_a_cancellation(study: Study):
    study.finish(1)

    assert requests.cancel(study.graph, ["sim"]) == [(None, e.CancelRequested(steps=(2,)))]


def test_steps_that_have_all_ended_can_not_be_cancelled(study: Study):
    study.finish(1)

    with pytest.raises(RequestRefused, match="these steps have already ended"):
        requests.cancel(study.graph, ["sim_SIZE.10"])


def test_a_study_is_paused_and_resumed(study: Study):
    study.record(requests.pause(study.graph, "maintenance"))
    assert study.graph.study.paused
    with pytest.raises(RequestRefused, match="the study is already paused; use 'maestro-es resume' to continue"):
        requests.pause(study.graph)

    study.record(requests.resume(study.graph, "over"))
    assert not study.graph.study.paused
    with pytest.raises(RequestRefused, match="the study is not paused"):
        requests.resume(study.graph)


def test_a_study_that_has_ended_is_not_cancelled_or_paused(study: Study):
    complete(study)

    with pytest.raises(RequestRefused, match=r"the study has ended \(FINISHED\): there is nothing to cancel"):
        requests.cancel(study.graph)
    with pytest.raises(RequestRefused, match=r"the study has ended \(FINISHED\): there is nothing to pause"):
        requests.pause(study.graph)


def test_settings_are_changed_by_the_names_of_their_options(study: Study):
    new_events = requests.update(study.graph, {"throttle": 5, "rlimit": 3, "sleep": 10}, "faster")

    assert new_events == [
        (None, e.SettingsChanged(what="submission_throttle", before=2, after=5, reason="faster")),
        (None, e.SettingsChanged(what="restart_limit", before=1, after=3, reason="faster")),
        (None, e.SettingsChanged(what="sleep_seconds", before=60, after=10, reason="faster")),
    ]
    study.record(new_events)
    assert study.graph.study.settings.submission_throttle == 5


def test_a_setting_that_is_as_it_was_makes_no_event(study: Study):
    assert requests.update(study.graph, {"throttle": 2, "sleep": 60}) == []


def test_a_negative_setting_is_refused(study: Study):
    with pytest.raises(RequestRefused, match="--throttle must not be negative, but is -1"):
        requests.update(study.graph, {"throttle": -1})


def test_every_option_of_update_names_a_setting(study: Study):
    settings = study.graph.study.settings

    assert all(hasattr(settings, name) for name in arguments.UPDATABLE.values())
