"""Explains why a step waits. A blocked step waits for other steps, and a ready step for its submission.

`maestro_es.core.graph` decides which steps are ready. `maestro_es.core.throttle` decides how many may be in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from maestro_es.audit.why.context import Explanation, View, again, cancel_of
from maestro_es.audit.why.in_flight import adapter_of, unreachable_since
from maestro_es.core import events as e
from maestro_es.core.fair_share import cpus_of, jobs_in_turn, local_share
from maestro_es.core.graph import Graph
from maestro_es.core.model import ENVIRONMENT, RELEASED, Phase, State, StepRecord, StudyStatus
from maestro_es.core.packing import counts_needs, local_steps, need, needs_running, occupied
from maestro_es.core.step_keys import amounts, exceeds
from maestro_es.core.throttle import IN_DOUBT_BATCH, Slots, asked_again_at, count_slots

#: At most this many ready steps are counted to find the rank of a step. At most this many parents are examined to find
#: the parent that ended last.
_LINE = 1000


def ready(view: View, step: StepRecord) -> Explanation:
    """Return why a ready step is not submitted yet."""
    stops = _stops(view, step) or _crowded(view, step)
    message = ", and ".join(stop.message for stop in stops)
    then = f", but {message}" if stops else f": the next tick {_where(view, step)}{view.ticking()}"
    before = again(view, view.events_of(step.number))
    after = f"; {before.message}" if before.message else ""
    proofs = (proof for stop in stops for proof in stop.evidence)
    return Explanation(f"is ready to run{then}{after}", (*_made_ready(view, step), *before.evidence, *proofs))


def _where(view: View, step: StepRecord) -> str:
    """Return which ticks submit a step. If the study was started in a job, local steps need a tick inside a job."""
    job = view.graph.study.environment.job
    inside = f"inside a job submits it (the study was started inside the job {job})"
    return inside if job and not step.scheduled else "submits it"


def _stops(view: View, step: StepRecord) -> list[Explanation]:
    """Return the reasons that prevent a submission, apart from the number of steps in flight."""
    study_record = view.graph.study
    if study_record.status is not StudyStatus.RUNNING:
        message = f"the study has ended ({study_record.status.name})"
        return [Explanation(message, view.last(e.StudyCompleted))]
    if study_record.settings.dry_run:
        return [Explanation("this is a dry run: the next tick only writes its scripts")]
    ending = ended_first(view, step)
    paused = [_asked_for(view, "the study is paused", view.last(e.StudyPaused))] if study_record.paused else []
    return ending or [*paused, *held(view, step), *_no_environment(view), *_no_answer(view, step)]


def ended_first(view: View, step: StepRecord) -> list[Explanation]:
    """If a cancel was requested, return the explanation that the next tick cancels the step."""
    if not (step.cancelling or view.graph.study.cancelling):
        return []
    return [_asked_for(view, "the next tick cancels it", cancel_of(view, step.number))]


def held(view: View, step: StepRecord) -> list[Explanation]:
    """Return which user holds a step, if any."""
    if not step.held:
        return []
    hold = [recorded for recorded in view.events_of(step.number) if isinstance(recorded.event, e.StepHeld)]
    return [_asked_for(view, "it is held", tuple(hold[-1:]))]


def _no_environment(view: View) -> list[Explanation]:
    """If the environment file is missing or was changed, say that no step can start."""
    message = view.graph.study.unreachable.get(ENVIRONMENT)
    return [] if message is None else [Explanation(message, unreachable_since(view, ENVIRONMENT))]


def _no_answer(view: View, step: StepRecord) -> list[Explanation]:
    """If the scheduler of a step does not answer, return since when."""
    name = adapter_of(view, step)
    message = view.graph.study.unreachable.get(name)
    if message is None or not step.scheduled:
        return []
    failed = unreachable_since(view, name)
    since = "".join(f" since {view.show(recorded.recorded_at)}" for recorded in failed)
    return [Explanation(f"{name} has not answered{since}: {message}", failed)]


def _asked_for(view: View, message: str, request: tuple[e.Recorded, ...]) -> Explanation:
    return Explanation(message + view.attribution(request), request)


def _crowded(view: View, step: StepRecord) -> list[Explanation]:
    """Return the limit that stops the next tick from submitting a step, and how many ready steps are ahead of it."""
    slots = count_slots(view.graph, view.host.cpus, view.now)[step.scheduled]
    next_tick = slots.requests(_LINE)
    shared = _shared(view, step, slots) if next_tick else None
    if shared:
        return [shared]
    if next_tick >= _LINE:
        return []
    if not step.scheduled and next_tick and counts_needs(view.graph, next_tick):
        return _no_room(view, step, next_tick)
    ahead = view.graph.ready(scheduled=step.scheduled, limit=_LINE)
    line = [step.number for step in ahead if not step.cancelling]  # the next tick cancels the other steps first
    before = line.index(step.number) if step.number in line else None
    if before is not None and before < next_tick:
        return []
    rank = _rank(before)
    if slots.limit is None or (before is not None and before < slots.free(_LINE)):
        full = slots.available is not None and not (slots.in_doubt and slots.available > IN_DOUBT_BATCH)
        return [_full(view, step, slots, rank) if full else _in_doubt(view, step, rank)]
    limit = (
        f"the throttle is {slots.limit}" if slots.throttled else f"its host has {slots.limit} slots for local steps"
    )
    return [Explanation(f"{limit} (in flight: {slots.in_use}), and {rank}", _limited_by(view, slots))]


def _shared(view: View, step: StepRecord, slots: Slots) -> Explanation | None:
    """If other studies of this user go first, return how the host or the queue is shared (None: none goes first)."""
    others = view.others()
    if not others:
        return None
    if step.scheduled:
        is_full = slots.available is not None
        waits = is_full and not jobs_in_turn(view.graph, slots.available or 0, others, view.now)
        message = "studies of yours with fewer jobs go first, because the queue was full"
        return Explanation(f"{message} (in flight: {slots.in_use})") if waits else None
    share = local_share(view.graph, view.host, others, view.now)
    busy = sum(other.running for other in others)
    message = f"its host is shared with other studies of yours, which use {busy} slots there"
    explained = f"{message}: this study may use {share} now (in flight: {slots.in_use})"
    running = [other for other in view.graph.in_flight() if not other.scheduled]
    is_short = share <= slots.in_use or share < cpus_of(view.graph, [*running, step], view.host.cpus) <= view.host.cpus
    return Explanation(explained) if is_short and view.location.ticker in {"", view.location.host} else None


def _no_room(view: View, step: StepRecord, next_tick: int) -> list[Explanation]:
    """If a local step does not fit on the host now, return what the step needs and what is free."""
    graph = view.graph
    if step.number in [other.number for other in local_steps(graph, view.host, next_tick)]:
        return []
    line = [other.number for other in graph.ready(scheduled=False, limit=_LINE)]
    rank = _rank(line.index(step.number) if step.number in line else None)
    asked, free = need(graph, step), occupied(view.host, needs_running(graph)).free[0]
    alone = ", so it runs there alone" if exceeds(asked, view.host) else ""
    message = f"it needs {amounts(asked)}, its host has {amounts(view.host, asked)}{alone}, and {amounts(free, asked)}"
    return [Explanation(f"{message} free, and {rank}", ())]


def _rank(before: int | None) -> str:
    """Return in words how many ready steps are ahead of a step. `before` is None if they were not all counted."""
    if before is None:
        return f"at least {_LINE} ready steps are ahead of it"
    return f"{before or 'no'} ready step{'s are' if before > 1 else ' is'} ahead of it"


def _in_doubt(view: View, step: StepRecord, rank: str) -> Explanation:
    """Say that ticks request few jobs while the submission of another step is in doubt."""
    in_flight = view.graph.in_flight()
    doubtful = next(other for other in in_flight if other.scheduled and other.phase is Phase.REQUESTED)
    message = (
        f"a tick requests at most {IN_DOUBT_BATCH} jobs while it is unknown whether {adapter_of(view, step)} has "
        f"the job of {doubtful.name}, and {rank}"
    )
    return Explanation(message, tuple(view.events_of(doubtful.number)[-1:]))


def _full(view: View, step: StepRecord, slots: Slots, rank: str) -> Explanation:
    """Say that the scheduler's queue is full, or was full before. Also say how many jobs ticks submit, or when."""
    study, name = view.graph.study, adapter_of(view, step)
    refusal = study.refusal
    if refusal is None:
        least = f"at most {slots.available} job{'' if slots.available == 1 else 's'}"
        message = f"a tick submits {least}, because {name} once had room for only {study.queue_limit} of its jobs"
        return Explanation(f"{message}, and {rank}")
    message = f"the queue of {name} was full at {view.show(refusal.at)} ({refusal.message})"
    again = f"the next tick submits up to {slots.available} jobs"
    if not slots.available:
        again = f"ticks try again when a job of this study has ended, or after {view.show(asked_again_at(refusal))}"
    events = view.events_of(refusal.step)
    proof = [r for r in events if isinstance(r.event, e.SubmissionWithdrawn) and r.event.message]
    has = f"it has {slots.in_use} of the jobs of this study"
    return Explanation(f"{message}; {has}, {again}, and {rank}", tuple(proof[-1:]))


def _limited_by(view: View, slots: Slots) -> tuple[e.Recorded, ...]:
    """Return the event that set the limit."""
    what = "submission_throttle" if slots.throttled else "local_slots"
    changed = view.last(e.SettingsChanged, lambda event: getattr(event, "what", "") == what)
    return changed or view.last(e.StudyCreated)


def _made_ready(view: View, step: StepRecord) -> tuple[e.Recorded, ...]:
    """Return the event that made a step ready: the end of its last parent, or its own StepAdded."""
    parents = [view.graph.step(number) for number in view.graph.parents(step.number)[:_LINE]]
    done = [parent for parent in parents if parent.phase is Phase.DONE and parent.state in RELEASED]
    if done:
        last = max(done, key=lambda parent: parent.ended_at or 0)
        return tuple(view.events_of(last.number)[-1:])
    return tuple(view.events_of(step.number)[:1])


#: The search for unblocked steps ends after this number of steps.
_LOOKED_AT = 10_000
#: The search looks at no more than this number of instances of one funnel.
_OF_A_FUNNEL = 1_000


def waits_for(graph: Graph, step: StepRecord) -> list[str]:
    """Return the unfinished steps and funnels for which a step waits, in words."""
    parents = [step.name for step in unfinished_parents(graph, step)]
    funnels = [
        f"all of {template} ({graph.unfinished(template)} not finished)"
        for template in graph.funnels(step.number)
        if graph.unfinished(template)
    ]
    return parents + funnels


def unfinished_parents(graph: Graph, step: StepRecord) -> list[StepRecord]:
    """Return the unfinished steps from which an edge leads to a step."""
    parents = map(graph.step, graph.parents(step.number))
    return [parent for parent in parents if parent.state not in RELEASED]


def roots(view: View, step: StepRecord) -> list[StepRecord]:
    """Return the unblocked steps on which a blocked step depends, directly or not. Stuck ones come first."""
    graph = view.graph
    origins: list[StepRecord] = []
    reached = {step.number}
    frontier = [step]
    while frontier and len(reached) < _LOOKED_AT:
        for parent in _before(graph, frontier.pop()):
            if parent.number not in reached:
                reached.add(parent.number)
                (frontier if parent.phase is Phase.BLOCKED else origins).append(parent)
    return sorted(origins, key=lambda step: (priority(step), step.number))


def is_direct(graph: Graph, step: StepRecord, other: StepRecord) -> bool:
    """Return whether a step depends on another one directly."""
    return other.number in graph.parents(step.number) or other.template in graph.funnels(step.number)


def _before(graph: Graph, step: StepRecord) -> list[StepRecord]:
    funnels = [graph.unfinished_steps(template, _OF_A_FUNNEL) for template in graph.funnels(step.number)]
    return [*unfinished_parents(graph, step), *(step for steps in funnels for step in steps)]


def priority(step: StepRecord) -> int:
    """Return a number: the higher it is, the more likely the step proceeds by itself. 0 means that it does not."""
    if step.phase is Phase.DONE or step.cancelling or step.held:
        return 0
    if step.phase is Phase.REQUESTED or step.missed_at is not None:
        return 1
    if step.phase is Phase.READY:
        return 2
    return 4 if step.state is State.RUNNING else 3


def others(steps: Sequence[StepRecord]) -> str:
    """Return the number of other steps for which a step waits, by state. Very many steps are not counted."""
    if not steps:
        return ""
    if len(steps) >= _OF_A_FUNNEL - 1:
        return "; it also waits for many more steps"
    by_state = Counter(step.state for step in steps)
    counts = ", ".join(f"{by_state[state]} {state.name}" for state in State if by_state[state])
    return f"; it also waits for other steps: {counts}"
