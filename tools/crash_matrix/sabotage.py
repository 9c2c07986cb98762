"""Breaks the program deliberately. Each sabotage breaks a promise under one fault, and the matrix must report it.

This tests only the judge. Without it, a judge that never reports anything would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from maestro_es.core import reconcile, verdict
from maestro_es.core.observations import AttemptObservation, NoAnswer
from maestro_es.core.verdict import Conclusion, Verdict
from maestro_es.poller import observe
from maestro_es.store import event_log
from maestro_es.store.study_log import StudyLog
from maestro_es.study import maintenance
from tools.crash_matrix.study import BEGIN, END
from tools.crash_matrix.trial import Trial
from tools.testbed.studies import Step


@dataclass(frozen=True)
class Sabotage:
    """A sabotage: its description, the function that each tick calls, the fault that reveals it, and the report."""

    words: str
    breaks: Callable[[Trial], Callable[[], None]]
    fault: str
    shows_as: str


def small_study(trial: Trial) -> list[Step]:
    """Return a few steps, so that a study ends quickly."""
    words = f"{BEGIN}; sleep 0.7; {END}".format(ledger=trial.ledger)
    first = [Step(f"first_{number}", words, template="first", scheduled=True) for number in range(6)]
    return [*first, Step("last", words, funnels=("first",), scheduled=True)]


def _judging(how: Callable[[AttemptObservation, Verdict], Conclusion]) -> Callable[[Trial], Callable[[], None]]:
    """Return a sabotage that replaces the verdict."""

    def judge(observed: AttemptObservation) -> Verdict:
        truth = verdict.judge(observed)
        return structs.replace(truth, conclusion=how(observed, truth))

    def breaks() -> None:
        observe.judge = reconcile.judge = judge  # type: ignore[attr-defined]  # the program is broken on purpose

    return lambda _trial: breaks


def _claim_by_force(trial: Trial) -> Callable[[], None]:
    text = maintenance._RUNNER.read_text()
    broken = trial.folder / "runner.sh"
    broken.write_text(text.replace('ln -s "$owner"', 'ln -sf "$owner"'))
    assert broken.read_text() != text

    def breaks() -> None:
        maintenance._RUNNER = Path(broken)

    return breaks


def _gone_at_once(observed: AttemptObservation, verdict: Verdict) -> Conclusion:
    """Abandon jobs that are not in the queue, without a claim."""
    doubt = not observed.job_id and not observed.has_started and observed.queue not in NoAnswer
    return Conclusion.ABANDONED if doubt and not observed.end else verdict.conclusion


def _silence_is_failure(observed: AttemptObservation, verdict: Verdict) -> Conclusion:
    return Conclusion.FAILED if observed.queue is NoAnswer.UNREACHABLE else verdict.conclusion


def _no_trace_is_waited_for(_observed: AttemptObservation, verdict: Verdict) -> Conclusion:
    return Conclusion.WAIT if verdict.conclusion is Conclusion.CLAIM else verdict.conclusion


def _append_blindly(_trial: Trial) -> Callable[[], None]:
    def begin(log: StudyLog) -> None:
        """Append events although the decision is based on an older state."""
        log._connection.execute("BEGIN IMMEDIATE")
        log.head = event_log.Head(*event_log.head(log._connection))

    def breaks() -> None:
        StudyLog._begin = begin  # type: ignore[method-assign, assignment]  # the program is broken on purpose

    return breaks


SABOTAGES = {
    "claim by force": Sabotage(
        "the runner takes the claim from whoever holds it", _claim_by_force, "tick-frozen", "doubled"
    ),
    "gone at once": Sabotage(
        "what is not in the queue is given up without its claim", _judging(_gone_at_once), "tick-frozen", "doubled"
    ),
    "silence is failure": Sabotage(
        "a step fails whose scheduler does not answer", _judging(_silence_is_failure), "controller-stopped",
        "wrongly_failed",
    ),
    "no trace is waited for": Sabotage(
        "ticks wait for ever for a job that has left no trace", _judging(_no_trace_is_waited_for), "client-killed",
        "lost",
    ),
    "append blindly": Sabotage(
        "what is appended rests on an old state", _append_blindly, "two-ticks", "broken"
    ),
}  # fmt: skip
