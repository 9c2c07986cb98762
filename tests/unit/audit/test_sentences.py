from __future__ import annotations

import pytest

from maestro_es.audit.sentences import describe
from maestro_es.core import events as e
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.model import Cause
from tools.testbed.samples import SAMPLES


def name_of(number: int) -> str:
    return f"step_{number}"


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_has_a_sentence_without_loose_ends(event):
    sentence = describe(event, name_of)
    assert sentence
    assert "None" not in sentence
    assert not sentence.endswith((" ", ":", ","))


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (e.StudyCreated(study_id="cafe", root="/s", name="pi"), "study pi was created in /s"),
        (e.StudyCreated(study_id="cafe", root="/s"), "study cafe was created in /s"),
        (
            e.EnvironmentRecorded(environment=RecordedEnvironment(digest="ab" * 32), reason="new compiler"),
            "steps start in environment abababab, with 0 variables (reason: new compiler)",
        ),
        (e.PollFailed(adapter="environment", message="a is missing"), "a is missing"),
        (e.PollRecovered(adapter="environment"), "the environment of the steps can be read again"),
        (
            e.CascadeStarted(),
            "some steps will not run, and they are too many for one tick: the next ticks end the others",
        ),
        (e.CascadeCompleted(), "all steps that will not run have ended"),
        (
            e.StepAdded(name="c", template="c", workspace="c", parents=(1, 2), funnels=("sim",)),
            "was added, waits for step_1, step_2, all of sim",
        ),
        (
            e.StepAdded(name="c", template="c", workspace="c", parents=(1, 2, 3, 4, 5, 6, 7)),
            "was added, waits for step_1, step_2, step_3, step_4, step_5 and 2 more",
        ),
        (e.CancelRequested(reason="wrong seed"), "cancel requested for the whole study (reason: wrong seed)"),
        (e.CancelRequested(steps=(3,)), "cancel requested for step_3"),
        (e.JobSubmitted(token="t", job_id="17", adopted=True), "job 17 was found and adopted"),
        (
            e.JobSubmitted(token="t", job_id="17", left_out=("--mincpus=70",)),
            "job 17 was submitted without --mincpus=70, which the scheduler had refused",
        ),
        (e.StepRestarted(number=1, limit=0), "will be restarted (restart 1, no limit)"),
        (
            e.HardwareFailed(token="t", at=1, number=2, limit=3, reason="node failed"),
            "hardware failure: node failed (2 of 3)",
        ),
        (e.StepFailed(at=1, cause=Cause.UPSTREAM, message="a is FAILED"), "was not run (upstream): a is FAILED"),
        (e.StepCancelled(at=1, message="cancelled before it ran"), "cancelled before it ran"),
        (e.StepCancelled(at=1, message="a is CANCELLED", blocker=1), "cancelled: a is CANCELLED"),
        (
            e.AttemptAbandoned(token="t", evidence=(e.Evidence(source="claim", detail="abandoned"),)),
            "the attempt was given up; it can no longer start (claim: abandoned)",
        ),
    ],
)
def test_sentences_say_what_a_person_wants_to_know(event, sentence):
    assert describe(event, name_of) == sentence
