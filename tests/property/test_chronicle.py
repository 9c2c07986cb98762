"""Whatever happens to whatever study: its story in columns says what the program says."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_es.audit.attempts import ENDS, attempts
from maestro_es.audit.chronicle import Chronicle, chronicle
from maestro_es.audit.columns import NOTHING
from maestro_es.audit.shown_states import kind_of, state_after
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import State, StudyStatus
from maestro_es.core.reducer import apply
from maestro_es.report.page_data import page_data
from maestro_es.store.study_log import StudyLog
from tests.property.studies import dice, history, seeds, shapes
from tools.testbed.logs import attempt, create, steps, written


@given(shapes(most=5), seeds)
@settings(max_examples=25)
def test_the_story_has_the_states_and_attempts_of_the_program(shape: list[NewEvent], seed: int):
    with tempfile.TemporaryDirectory() as folder, create(Path(folder) / "events.db") as log:
        log.append(list(history(shape, dice(seed), 150)))
        check(log)


def test_the_story_of_about_every_event_has_the_states_of_the_program(tmp_path):
    with written(tmp_path / "events.db") as log:
        check(log)


def check(log: StudyLog) -> None:
    graph, states = MemoryGraph(), dict[int, State]()
    for recorded in log.events():
        apply(graph, recorded)
        if recorded.step:
            states[recorded.step] = state_after(recorded.event, states.get(recorded.step, State.INITIALIZED))
            assert states[recorded.step] is graph.step(recorded.step).state
    story = chronicle(log, log.head.seq)
    for step in log.graph.steps():
        assert story.names[step.number - 1] == step.name
        assert story.kind_of_step(step.number) == kind_of(step.state, is_upstream=step.blocker is not None)
        check_attempts(log, story, step.number)
    edges = zip(story.edges["child"], story.edges["parent"], strict=True)
    assert sorted(edges) == sorted(
        (step.number - 1, parent - 1) for step in log.graph.steps() for parent in log.graph.parents(step.number)
    )
    check_data(story)


def check_attempts(log: StudyLog, story: Chronicle, number: int) -> None:
    expected = attempts(log.events_of(number))
    rows = [at for at, step in enumerate(story.attempts["step"]) if step == number - 1]
    assert [story.attempts["number"][row] for row in rows] == [one.number for one in expected]
    assert [story.jobs[row] for row in rows] == [one.job_id for one in expected]
    assert [story.attempts["end"][row] != NOTHING for row in rows] == [one.outcome != "in flight" for one in expected]
    hosts, ends = list(story.hosts), list(story.ends)
    for row, one in zip(rows, expected, strict=True):
        assert one.host == ("" if story.attempts["host"][row] == NOTHING else hosts[story.attempts["host"][row]])
        if one.outcome != "in flight":
            assert ends[story.attempts["end"][row]][1] == one.outcome
        times = [story.attempts[name][row] for name in ("requested", "submitted", "started", "ended")]
        known = [time for time in times if time != NOTHING]
        assert known == sorted(set(known))  # each is later than the one before


def check_data(story: Chronicle) -> None:
    """The page can read what was written."""
    data = decoded(story)
    columns = data["attempt"]
    assert list(accumulate(columns["step"])) == list(story.attempts["step"])
    requested = list(accumulate(columns["requested"]))
    assert requested == list(story.attempts["requested"])
    submitted = [wait + at if wait else NOTHING for wait, at in zip(columns["submitted"], requested, strict=True)]
    assert submitted == list(story.attempts["submitted"])
    assert len(columns["job"]) == len(story.jobs)
    assert len(data["ends"]) == len(story.ends)


def decoded(story: Chronicle) -> Any:
    return json.loads(gzip.decompress(base64.b64decode("".join(page_data(story, {})))))


def test_every_event_that_ends_an_attempt_is_known_to_the_story(tmp_path):
    with written(tmp_path / "events.db") as log:
        story = chronicle(log, log.head.seq)
    assert {name for name, *_ in story.ends} <= {kind.__name__ for kind in ENDS}


def test_a_study_ends_after_its_last_step_even_if_all_happens_within_a_millisecond():
    created = e.StudyCreated(study_id="cafe0123", root="/s", name="demo", spec="a: 1\n")
    end = [(1, e.StepFinished(token="t1-1", at=2_000_000)), (None, e.StudyCompleted(status=StudyStatus.FINISHED))]
    story = Chronicle(2_000_000)
    for seq, (step, event) in enumerate([(None, created), *steps(1, ["a"], "a"), *attempt(1, 1), *end]):
        story.add(event, step, 2_000_000, seq)
    assert story.notes["time"][-1] >= story.attempts["ended"][0]


@given(st.lists(st.one_of(st.integers(0, 10**15).map(str), st.text(max_size=8)), max_size=9))
def test_ids_of_jobs_are_read_as_they_were(jobs: list[str]):
    story = Chronicle(0)
    for number, job in enumerate(jobs):
        for column in story.attempts.values():
            column.append(number)
        story.jobs.append(job)
    total, ids = 0, []
    for value in decoded(story)["attempt"]["job"]:
        total += value if isinstance(value, int) else 0
        ids.append(str(total) if isinstance(value, int) else value)
    assert ids == [job if job.isprintable() else "".join(c if c.isprintable() else "?" for c in job) for job in jobs]
