"""Notifications are due at each piece of news, and only once."""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core.events import Notice, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import StudyStatus
from maestro_es.core.notifications import NotificationLog, due
from tests.unit.core.making import Study

HOUR = 3600 * 1_000_000


def requested(about: Notice, at: int) -> list[Recorded]:
    return [Recorded(9, at, 1, None, e.NotificationRequested(about=about))]


def sent() -> list[Recorded]:
    return [Recorded(10, 0, 1, None, e.NotificationEnded(request=9))]


def test_usage_that_arrives_after_the_end_is_no_second_end():
    graph = MemoryGraph()
    graph.study.status, graph.study.written_at = StudyStatus.FINISHED, 7000
    past = NotificationLog(requested(Notice.END, 5000), sent(), completed_at=4000)
    assert due(graph, past, 8000) is None
    again = NotificationLog(requested(Notice.END, 5000), sent(), completed_at=6000)
    request = due(graph, again, 8000)
    assert request is not None
    assert request.about is Notice.END


def test_a_scheduler_that_is_silent_for_an_hour_is_told_once_also_with_jobs_in_flight(monkeypatch):
    graph = MemoryGraph()
    monkeypatch.setattr(graph, "in_flight", lambda: iter([object()]))
    past = NotificationLog(silent_since=1)
    request = due(graph, past, 2 * HOUR)
    assert request is not None
    assert request.about is Notice.STALL
    assert due(graph, past, HOUR // 2) is None
    told = NotificationLog(requested(Notice.STALL, 2 * HOUR), sent(), silent_since=1, has_moved=True)
    assert due(graph, told, 3 * HOUR) is None


def test_a_step_that_will_run_again_after_a_hardware_failure_has_not_failed():
    study = Study()
    number = study.add("a")
    token = study.start(number)
    study.do(e.HardwareFailed(token=token, at=9_000, number=0, limit=3, reason="its job has ended"), number)
    assert due(study.graph, NotificationLog(), 8000) is None
    study.fail(number)
    request = due(study.graph, NotificationLog(), 8000)
    assert request is not None
    assert request.about is Notice.FAILURE


def test_a_study_that_its_user_has_paused_is_not_stalled():
    graph = MemoryGraph()
    request = due(graph, NotificationLog(), HOUR)
    assert request is not None
    assert request.about is Notice.STALL
    graph.study.paused = True
    assert due(graph, NotificationLog(), HOUR) is None


def test_a_notification_without_an_outcome_is_requested_three_times_in_all():
    graph = MemoryGraph()
    graph.study.paused = True
    numbers = []
    for number in (1, 2, 3):
        request = e.NotificationRequested(about=Notice.FAILURE, number=number)
        again = due(graph, NotificationLog([Recorded(9, 0, 1, None, request)]), HOUR)
        numbers.append(again and again.number)
    assert numbers == [2, 3, None]


def test_after_a_study_was_continued_only_a_new_failure_is_news():
    study = Study()
    number = study.add("a")
    study.start(number)
    study.fail(number)
    study.graph.study.paused = True
    ended_at = study.graph.step(number).ended_at or 0
    assert due(study.graph, NotificationLog(reopened_at=ended_at), HOUR) is None
    request = due(study.graph, NotificationLog(reopened_at=ended_at - 1), HOUR)
    assert request is not None
    assert request.about is Notice.FAILURE
