"""Studies in memory, built event by event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.decide import decide
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Cause, JobState, Phase, Settings, State, StepRecord, SubmissionKind
from maestro_es.core.observations import AttemptObservation, Claim, ClaimState, Observations, Report, ReportKind
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need

#: The keys of a step with a restart script.
RESTARTABLE = {"cmd": "run", "restart": "run --continue"}


class Study:
    """A graph in memory, and the events from which it results. An event is recorded at the time 1000 * seq."""

    def __init__(self, adapter: dict[str, Any] | None = None, **settings: Any) -> None:
        self.graph = MemoryGraph()
        self.events: list[e.Recorded] = []
        self.do(e.InvocationStarted(actor="me", host="login1", boot_id="boot1", pid=7, command="run", version="1"))
        self.do(
            e.StudyCreated(
                study_id="cafe0123",
                root="/studies/one",
                adapter=adapter or {"type": "local"},
                settings=Settings(**settings),
            )
        )

    def do(self, event: e.AnyEvent, step: int | None = None) -> e.Recorded:
        seq = len(self.events) + 1
        recorded = e.Recorded(seq, 1000 * seq, 1, step, event)
        apply(self.graph, recorded)
        self.events.append(recorded)
        return recorded

    def record(self, new_events: Iterable[NewEvent]) -> None:
        for step, event in new_events:
            self.do(event, step)

    def template(self, name: str, run: dict[str, Any] | None = None) -> None:
        self.do(e.StepTemplateAdded(name=name, description="", run=run or {"cmd": "run"}))

    def add(self, name: str, *, template: str = "", run: dict[str, Any] | None = None, **fields: Any) -> int:
        """Add a step, and its template if it is new (default: with the same name); returns the step's number."""
        template = template or name
        if template not in [known.name for known in self.graph.templates()]:
            self.template(template, run)
        number = self.graph.study.steps + 1
        self.do(e.StepAdded(name=name, template=template, workspace=name, **fields), number)
        return number

    def chain(self, *names: str) -> list[int]:
        """Add steps, each of which depends on the one before."""
        numbers: list[int] = []
        for name in names:
            numbers.append(self.add(name, parents=tuple(numbers[-1:])))
        return numbers

    def step(self, number: int) -> StepRecord:
        return self.graph.step(number)

    # -- what happens to a step -------------------------------------------------------------------------------------

    def request(self, number: int, kind: SubmissionKind | None = None) -> str:
        kind = kind or self.step(number).kind
        attempt = self.step(number).attempt + 1
        token = f"cafe0123-{number}-{attempt}-salt"
        self.do(e.SubmissionRequested(attempt=attempt, token=token, kind=kind), number)
        return token

    def submit(self, number: int, job_id: str = "") -> str:
        token = self.request(number)
        self.do(e.JobSubmitted(token=token, job_id=job_id or f"job{number}"), number)
        return token

    def start(self, number: int, at: int = 5_000) -> str:
        token = self.submit(number)
        self.do(e.JobStarted(token=token, at=at), number)
        return token

    def reach(self, phase: str, number: int) -> str:
        """Bring a ready step to "requested", "submitted" or "started"; returns its token."""
        makers: dict[str, Callable[[int], str]] = {
            "requested": self.request,
            "submitted": self.submit,
            "started": self.start,
        }
        return makers[phase](number)

    def finish(self, number: int, at: int = 9_000) -> None:
        self.do(e.StepFinished(token=self.submit(number), at=at), number)

    def fail(self, number: int, at: int = 9_000) -> None:
        self.do(e.StepFailed(at=at, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1), number)

    # -- ticks ------------------------------------------------------------------------------------------------------

    def tick(self, attempts: Mapping[int, AttemptObservation] | None = None, **seen: Any) -> list[NewEvent]:
        """Decide on observations by step, and apply the new events; returns them."""
        by_token = {self.step(number).token: observed for number, observed in (attempts or {}).items()}
        return self.decide(look(by_token, **seen))

    def decide(self, seen: Observations) -> list[NewEvent]:
        new_events: list[NewEvent] = []

        def record(more: Iterable[NewEvent]) -> None:
            drawn = list(more)
            new_events.extend(drawn)
            self.record(drawn)

        decide(self.graph, seen, record)
        return new_events


def in_phase(phase: str) -> tuple[Study, int]:
    """Return a study with a step in this phase. Its token, if any, is the current one."""
    study = Study()
    number = study.add("a", parents=(study.add("parent"),)) if phase == "blocked" else study.add("a")
    {
        "blocked": lambda: None,
        "ready": lambda: None,
        "requested": lambda: study.request(number),
        "submitted": lambda: study.submit(number),
        "done": lambda: study.finish(number),
    }[phase]()
    return study, number


def look(attempts: Mapping[str, AttemptObservation] | None = None, **seen: Any) -> Observations:
    """Return observations from the host and the boot in which the study was created."""
    known = {"now": 1_000_000, "host": "login1", "boot_id": "boot1", "token_suffix": "salt", "size": Need(4)}
    return Observations(**{**known, "attempts": attempts or {}, **seen})


# -- observations ---------------------------------------------------------------------------------------------------


def report(kind: ReportKind, code: int | None = None, at: int = 8_000) -> Report:
    name = f"TOKEN.{kind.value}" + ("" if code is None else f".{code}")
    return Report("TOKEN", kind, code, at, name)


def ended(code: int, **more: Any) -> AttemptObservation:
    """The step ended by itself."""
    return AttemptObservation(reports=(report(ReportKind.EXIT, code),), **more)


STARTED = Claim(ClaimState.JOB, "job1", "node1", "boot1")
RUNNING = AttemptObservation(queue=JobState.RUNNING, claim=STARTED)
TIMED_OUT = AttemptObservation(queue=JobState.TIMED_OUT)
NODE_FAILED = AttemptObservation(queue=JobState.NODE_FAILED)
LOST = AttemptObservation(queue=JobState.GONE, claim=STARTED, start_recorded=True)
ABANDONED = AttemptObservation(claim=Claim(ClaimState.ABANDONED))


# -- what is asked of them --------------------------------------------------------------------------------------------


def of(new_events: Sequence[NewEvent], kind: type[e.Event]) -> list[Any]:
    return [event for _, event in new_events if isinstance(event, kind)]


def steps_of(new_events: Sequence[NewEvent], kind: type[e.Event]) -> list[int | None]:
    return [step for step, event in new_events if isinstance(event, kind)]


def kinds(new_events: Sequence[NewEvent]) -> list[str]:
    return [type(event).__name__ for _, event in new_events]


def states(study: Study) -> list[State]:
    return [step.state for step in study.graph.steps()]


def check_counts(study: Study) -> None:
    """Check that the study's counts are those of its steps."""
    steps = list(study.graph.steps())
    record = study.graph.study
    assert record.steps == len(steps)
    assert record.open_steps == sum(step.phase is not Phase.DONE for step in steps)
    assert record.states == dict(Counter(step.state.name for step in steps))
    for template in study.graph.templates():
        unfinished = [
            s for s in steps if s.template == template.name and s.state not in (State.FINISHED, State.DRYRUN)
        ]
        assert study.graph.unfinished(template.name) == len(unfinished)
