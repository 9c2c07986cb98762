"""The notification of the end is sent also in a job, and after a tick that has died."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core.events import Notice, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.poller import notify
from maestro_es.study.invocation import Driver


@pytest.fixture
def study(monkeypatch, tmp_path) -> Any:
    graph = MemoryGraph()
    graph.study.status = StudyStatus.FINISHED
    graph.study.settings = Settings(notify="true")
    events: list[Recorded] = [Recorded(1, 1, 1, None, e.StudyCompleted(status=StudyStatus.FINISHED))]

    def request(decide: Any) -> None:
        events.extend(Recorded(len(events) + 1, 2, 1, None, event) for _, event in decide(graph))

    return SimpleNamespace(
        graph=graph,
        request=request,
        log=SimpleNamespace(study_events=lambda kind: (one for one in events[::-1] if isinstance(one.event, kind))),
        runtime=SimpleNamespace(now=lambda: 3, brief=False, driver=Driver.CRON, host=SimpleNamespace(job="")),
        dir=SimpleNamespace(root=tmp_path),
    )


def test_an_end_that_was_never_requested_needs_a_tick(study, monkeypatch):
    assert notify.must_look(study)
    monkeypatch.setattr(notify, "run", lambda *_, **__: None)
    notify.notify(study)
    assert notify.must_look(study)  # there is no outcome yet
    [requested] = study.log.study_events(e.NotificationRequested)
    assert requested.event.about is Notice.END
    ended = Recorded(3, 3, 1, None, e.NotificationEnded(request=requested.seq))
    before = study.log.study_events
    study.log.study_events = lambda kind: iter([ended]) if kind is e.NotificationEnded else before(kind)
    assert not notify.must_look(study)


@pytest.mark.parametrize("job", ["", "77"])
def test_in_a_job_a_driver_waits_until_the_end_is_sent(study, monkeypatch, job):
    ran: list[tuple[str, float]] = []
    monkeypatch.setattr(notify, "run", lambda argv, timeout: ran.append((argv[0], timeout)))
    study.runtime.host.job = job
    notify.notify(study)
    [(program, limit)] = ran
    assert (program == "/bin/sh", limit) == ((False, 90.0) if job else (True, 20.0))
