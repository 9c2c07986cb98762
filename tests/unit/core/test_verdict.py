"""The truth table: from what was seen of an attempt to a verdict.

First the rows that matter, to be read; then every combination there is, of which the rules of safety must hold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import NamedTuple

import pytest
from msgspec import structs

from maestro_es.core.events import Evidence
from maestro_es.core.model import JobState
from maestro_es.core.observations import Answer, AttemptObservation, Claim, ClaimState, NoAnswer, Report, ReportKind
from maestro_es.core.verdict import Conclusion, Verdict, judge
from tests.unit.core.making import report

J, S, C, K = JobState, NoAnswer, Conclusion, ClaimState
EXIT, STOPPED, TIMEOUT = ReportKind.EXIT, ReportKind.STOPPED, ReportKind.TIMEOUT
BEGUN, REFUSED, UNCLAIMED, DROPPED = (
    ReportKind.STARTED,
    ReportKind.REFUSED,
    ReportKind.UNCLAIMED,
    ReportKind.DROPPED,
)

#: The ends that are not the step's own success, and what gives an attempt up.
BAD = {C.FAILED, C.TIMED_OUT, C.CANCELLED, C.STOPPED, C.OUT_OF_MEMORY, C.NODE_FAILED, C.LOST, C.CLAIM}

#: Answers after which more is to come.
OPEN: set[Answer] = {J.PENDING, J.RUNNING, J.UNKNOWN, S.UNREACHABLE}

EXPLAINS: set[Answer] = {
    J.TIMED_OUT, J.CANCELLED, J.CANCELLED_ON_NODE, J.OUT_OF_MEMORY, J.NODE_FAILED, J.PREEMPTED, J.UNSUPERVISED,
}  # fmt: skip


# -- the rows that matter --------------------------------------------------------------------------------------------

Reports = tuple[tuple[ReportKind, int | None], ...]
none: Reports = ()


def observed(
    claim: ClaimState,
    reports: Reports,
    queue: Answer,
    accounting: Answer,
    *,
    within_grace: bool = False,
    known: bool = True,
) -> AttemptObservation:
    said = tuple(report(kind, code) for kind, code in reports)
    return AttemptObservation(Claim(claim), said, queue, accounting, within_grace=within_grace, start_recorded=known)


@pytest.mark.parametrize("reports", [none, ((STOPPED, 143),), ((EXIT, 137),)])
@pytest.mark.parametrize("queue", [J.FAILED, J.CANCELLED_ON_NODE])
def test_the_end_of_a_later_start_is_no_end_of_the_step(reports: Reports, queue: JobState):
    """The controller has lost its newest state, started a running job again, and so ended both starts."""
    seen = structs.replace(observed(K.JOB, reports, queue, S.NOT_ASKED), claim=Claim(K.JOB, began_at=1_000_000))

    assert judge(structs.replace(seen, began_at=2_000_000)).conclusion is C.NODE_FAILED
    for began_at in (1_000_000, None):
        same = judge(structs.replace(seen, began_at=began_at)).conclusion
        assert same is judge(observed(K.JOB, reports, queue, S.NOT_ASKED)).conclusion is not C.NODE_FAILED


@pytest.mark.parametrize(
    ("claim", "reports", "queue", "accounting", "conclusion"),
    [
        # While the scheduler knows it, there is nothing to conclude but that it runs.
        (K.NOT_READ, none, J.PENDING, S.NOT_ASKED, C.WAIT),
        (K.NOT_READ, none, J.RUNNING, S.NOT_ASKED, C.RUNNING),
        (K.NOT_READ, ((BEGUN, None),), J.RUNNING, S.NOT_ASKED, C.RUNNING),
        (K.NOT_READ, none, J.UNKNOWN, S.NOT_ASKED, C.WAIT),
        # The runner's own word comes first, whatever the scheduler still thinks.
        (K.JOB, ((EXIT, 0),), J.RUNNING, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((EXIT, 0),), S.UNREACHABLE, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((EXIT, 0),), J.FAILED, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((EXIT, 0),), J.TIMED_OUT, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((EXIT, 1),), J.RUNNING, S.NOT_ASKED, C.FAILED),
        (K.JOB, ((EXIT, 1),), S.UNREACHABLE, S.UNREACHABLE, C.FAILED),
        (K.JOB, ((TIMEOUT, None),), J.GONE, S.NOT_ASKED, C.TIMED_OUT),
        # The scheduler may say why a step was killed, and is waited for.
        (K.JOB, ((EXIT, 137),), J.RUNNING, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((EXIT, 137),), J.OUT_OF_MEMORY, S.NOT_ASKED, C.OUT_OF_MEMORY),
        (K.JOB, ((EXIT, 137),), J.GONE, J.OUT_OF_MEMORY, C.OUT_OF_MEMORY),
        (K.JOB, ((EXIT, 137),), J.GONE, S.NOT_ASKED, C.FAILED),
        (K.JOB, ((STOPPED, 143),), J.RUNNING, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((STOPPED, 143),), S.UNREACHABLE, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((STOPPED, 143),), J.GONE, S.UNREACHABLE, C.WAIT),
        (K.JOB, ((STOPPED, 143),), J.TIMED_OUT, S.NOT_ASKED, C.TIMED_OUT),
        (K.JOB, ((STOPPED, 143),), J.CANCELLED, S.NOT_ASKED, C.CANCELLED),
        (K.JOB, ((STOPPED, 143),), J.PREEMPTED, S.NOT_ASKED, C.NODE_FAILED),
        (K.JOB, ((STOPPED, 143),), J.GONE, S.NOT_ASKED, C.STOPPED),
        (K.JOB, ((STOPPED, 143),), J.GONE, J.TIMED_OUT, C.TIMED_OUT),
        (K.JOB, ((STOPPED, 143),), J.GONE, J.CANCELLED, C.CANCELLED),
        (K.JOB, ((STOPPED, 143),), J.GONE, J.RUNNING, C.STOPPED),  # for longer than accounts are believed
        # One that saves its work and exits 0 when it is told to end has not finished if its time was over.
        (K.JOB, ((STOPPED, 0),), J.RUNNING, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((STOPPED, 0),), J.TIMED_OUT, S.NOT_ASKED, C.TIMED_OUT),
        (K.JOB, ((STOPPED, 0),), J.GONE, J.PREEMPTED, C.NODE_FAILED),
        (K.JOB, ((STOPPED, 0),), J.CANCELLED, S.NOT_ASKED, C.CANCELLED),
        (K.JOB, ((STOPPED, 0),), J.FINISHED, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((STOPPED, 0),), J.GONE, J.GONE, C.FINISHED),
        # Without a word from the runner the scheduler's counts.
        (K.NOT_READ, none, J.FINISHED, S.NOT_ASKED, C.FINISHED),
        (K.JOB, none, J.FAILED, S.NOT_ASKED, C.FAILED),
        (K.JOB, none, J.GONE, J.FINISHED, C.FINISHED),
        (K.JOB, none, J.GONE, J.NODE_FAILED, C.NODE_FAILED),
        (K.NONE, none, J.FAILED, S.NOT_ASKED, C.NODE_FAILED),  # it never came to the runner
        # The end of a requeued job says nothing about its first run, which the requeue has ended.
        (K.JOB, none, J.FAILED_AGAIN, S.NOT_ASKED, C.LOST),
        (K.JOB, none, J.GONE, J.FAILED_AGAIN, C.LOST),
        (K.NONE, none, J.FAILED_AGAIN, S.NOT_ASKED, C.NODE_FAILED),
        (K.JOB, ((EXIT, 1),), J.FAILED_AGAIN, S.NOT_ASKED, C.FAILED),
        (K.NONE, none, J.CANCELLED, S.NOT_ASKED, C.CANCELLED),
        (K.NONE, none, J.CANCELLED_ON_NODE, S.NOT_ASKED, C.NODE_FAILED),  # the node could not launch it
        (K.JOB, none, J.CANCELLED_ON_NODE, S.NOT_ASKED, C.CANCELLED),
        # Gone from the queue is not over: accounting may lag or be down.
        (K.JOB, none, J.GONE, S.UNREACHABLE, C.WAIT),
        (K.NOT_READ, none, J.GONE, J.GONE, C.WAIT),
        # Gone from everywhere, or in the accounts for longer than is believed: the claim tells whether it had started.
        (K.JOB, none, J.GONE, J.RUNNING, C.LOST),
        (K.NONE, none, J.GONE, J.PENDING, C.CLAIM),
        (K.JOB, none, J.GONE, J.UNKNOWN, C.LOST),
        (K.JOB, none, J.GONE, J.GONE, C.LOST),
        (K.JOB, none, J.GONE, S.NOT_ASKED, C.LOST),
        (K.NONE, ((BEGUN, None),), J.GONE, J.GONE, C.LOST),
        (K.NONE, none, J.GONE, J.GONE, C.CLAIM),
        (K.NONE, ((UNCLAIMED, None),), J.GONE, S.NOT_ASKED, C.CLAIM),
        (K.ABANDONED, none, J.GONE, J.GONE, C.ABANDONED),
        (K.ABANDONED, none, J.RUNNING, S.NOT_ASKED, C.ABANDONED),  # it will find the claim and leave
        (K.ABANDONED, ((REFUSED, 17),), J.FAILED, S.NOT_ASKED, C.ABANDONED),
        # The runner that holds the claim was not told to go.
        (K.JOB, ((DROPPED, None),), J.GONE, S.NOT_ASKED, C.ABANDONED),
        (K.NONE, ((DROPPED, None),), J.GONE, S.NOT_ASKED, C.CLAIM),
        # A second start was refused: what the scheduler says of it is not about the first.
        (K.JOB, ((REFUSED, 17),), J.FAILED, S.NOT_ASKED, C.LOST),
        (K.JOB, ((REFUSED, 17),), J.RUNNING, S.NOT_ASKED, C.RUNNING),
        (K.JOB, ((REFUSED, 17), (EXIT, 0)), J.FAILED, S.NOT_ASKED, C.FINISHED),
        (K.NOT_READ, ((REFUSED, 17),), J.FAILED, S.NOT_ASKED, C.WAIT),
        # The first was killed so that there could be a second; what it ended with by itself is its own.
        (K.JOB, ((REFUSED, 17), (EXIT, 143)), J.FAILED, S.NOT_ASKED, C.STOPPED),
        (K.JOB, ((REFUSED, 17), (STOPPED, 0)), J.FAILED, S.NOT_ASKED, C.STOPPED),
        (K.JOB, ((REFUSED, 17), (EXIT, 1)), J.FAILED, S.NOT_ASKED, C.FAILED),
        # A dead runner may leave what it started behind.
        (K.JOB, none, J.ORPHANED, S.NOT_ASKED, C.END_REMAINS),
        (K.JOB, ((TIMEOUT, None),), J.ORPHANED, S.NOT_ASKED, C.END_REMAINS),
        (K.JOB, ((EXIT, 0),), J.ORPHANED, S.NOT_ASKED, C.FINISHED),
        # A scheduler that has crashed no longer watches its jobs: what began may have failed because of that.
        (K.JOB, none, J.UNSUPERVISED, S.NOT_ASKED, C.NODE_FAILED),
        (K.NONE, none, J.UNSUPERVISED, S.NOT_ASKED, C.CLAIM),
        (K.NOT_READ, none, J.UNSUPERVISED, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((EXIT, 0),), J.UNSUPERVISED, S.NOT_ASKED, C.FINISHED),
        (K.JOB, ((EXIT, 1),), J.UNSUPERVISED, S.NOT_ASKED, C.NODE_FAILED),
        # A job that was accepted and then refused has failed by its own fault.
        (K.NONE, none, J.REFUSED, S.NOT_ASKED, C.FAILED),
        # Nobody was asked.
        (K.NOT_READ, none, S.NOT_ASKED, S.NOT_ASKED, C.WAIT),
        (K.NONE, none, S.NOT_ASKED, S.NOT_ASKED, C.WAIT),
        (K.JOB, ((BEGUN, None),), S.NOT_ASKED, S.NOT_ASKED, C.WAIT),
    ],
)
def test_what_is_seen_adds_up_to(
    claim: ClaimState, reports: Reports, queue: Answer, accounting: Answer, conclusion: Conclusion
):
    assert judge(observed(claim, reports, queue, accounting)).conclusion is conclusion


def test_accounts_that_list_a_job_are_waited_for_to_say_why_its_step_was_told_to_end():
    assert judge(observed(K.JOB, ((STOPPED, 143),), J.GONE, J.RUNNING, within_grace=True)).conclusion is C.WAIT


@pytest.mark.parametrize("claim", [K.NONE, K.JOB])
def test_it_is_too_early_to_give_up_an_attempt_without_a_trace(claim: ClaimState):
    assert judge(observed(claim, none, J.GONE, J.GONE, within_grace=True)).conclusion is C.WAIT


@pytest.mark.parametrize(
    ("claim", "reports", "queue", "accounting"),
    [
        (K.JOB, none, J.NODE_FAILED, S.NOT_ASKED),
        (K.JOB, none, J.FAILED, S.NOT_ASKED),
        (K.NOT_READ, ((BEGUN, None),), J.CANCELLED, S.NOT_ASKED),
        (K.JOB, none, J.GONE, J.TIMED_OUT),
        (K.JOB, none, J.GONE, J.GONE),
        (K.JOB, ((REFUSED, 17),), J.FAILED, S.NOT_ASKED),
    ],
)
def test_an_end_that_may_be_of_an_earlier_start_ends_nothing(
    claim: ClaimState, reports: Reports, queue: Answer, accounting: Answer
):
    assert judge(observed(claim, reports, queue, accounting, known=False)).conclusion is C.RUNNING


def test_what_may_still_run_without_its_scheduler_runs_until_its_runner_reports():
    running = AttemptObservation(Claim(K.JOB), queue=J.UNSUPERVISED, may_run=True, start_recorded=True)
    reported = structs.replace(running, reports=(report(EXIT, 0),))

    assert judge(running).conclusion is C.RUNNING
    assert judge(reported).conclusion is C.FINISHED


@pytest.mark.parametrize("queue", [S.UNREACHABLE, J.RUNNING])
def test_a_step_whose_output_its_scheduler_carries_has_not_failed_before_the_scheduler_has_spoken(queue: Answer):
    failed = AttemptObservation(Claim(K.JOB), (report(EXIT, 1),), queue, start_recorded=True, is_fragile=True)

    assert judge(failed).conclusion is C.WAIT
    assert judge(structs.replace(failed, queue=J.UNSUPERVISED)).conclusion is C.NODE_FAILED
    assert judge(structs.replace(failed, queue=J.FAILED)).conclusion is C.FAILED
    assert judge(structs.replace(failed, reports=(report(EXIT, 0),))).conclusion is C.FINISHED


# -- every combination -----------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A combination of all there is, and what it adds up to."""

    claim: ClaimState
    kinds: frozenset[ReportKind]
    code: int | None
    queue: Answer
    accounting: Answer
    within_grace: bool
    known: bool
    conclusion: Conclusion

    @property
    def begun(self) -> bool:
        """Whether anything shows that the step has begun."""
        return self.claim is K.JOB or BEGUN in self.kinds

    @property
    def given_up(self) -> bool:
        """Whether the attempt can't start any more, or its runner said that it doesn't."""
        return self.claim is K.ABANDONED or (self.claim is K.JOB and DROPPED in self.kinds)

    @property
    def ended(self) -> bool:
        """Whether the runner told how the step ended."""
        return bool(self.kinds & {EXIT, STOPPED, TIMEOUT})

    @property
    def exit(self) -> int | None:
        """The exit code of a step that ended by itself."""
        return self.code if EXIT in self.kinds else None

    @property
    def answers(self) -> set[Answer]:
        """What queue and accounting say."""
        return {self.queue, self.accounting}


def reports_of(kinds: tuple[ReportKind, ...]) -> Iterator[tuple[int | None, tuple[Report, ...]]]:
    """Yield the reports of these kinds, once for each exit code worth telling apart."""
    for code in (0, 1, 137) if EXIT in kinds else (None,):
        codes = {EXIT: code, STOPPED: 143, REFUSED: 17}
        yield code, tuple(report(kind, codes.get(kind)) for kind in kinds)


@functools.cache
def all_rows() -> list[Row]:
    answers: tuple[Answer, ...] = (*JobState, *NoAnswer)
    subsets = [kinds for size in range(len(ReportKind) + 1) for kinds in combinations(ReportKind, size)]
    rows = []
    for kinds in subsets:
        for code, reports in reports_of(kinds):
            said = frozenset(kinds)
            flags = (False, True)
            for state, queue, accounting, known, within_grace in product(ClaimState, answers, answers, flags, flags):
                seen = AttemptObservation(
                    Claim(state), reports, queue, accounting, within_grace=within_grace, start_recorded=known
                )
                rows.append(Row(state, said, code, queue, accounting, within_grace, known, judge(seen).conclusion))
    return rows


@pytest.mark.xdist_group("truth table")
def test_every_combination_is_looked_at():
    answers = len(JobState) + len(NoAnswer)
    reports = 2 ** (len(ReportKind) - 1) * (1 + 3)  # without an exit report, and with three exit codes

    assert len(all_rows()) == reports * len(ClaimState) * answers * answers * 2 * 2


@pytest.mark.xdist_group("truth table")
def test_every_conclusion_is_reached():
    assert {row.conclusion for row in all_rows()} == set(Conclusion)


def implies(when: Callable[[Row], bool], then: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda row: not when(row) or then(row)


def only_if(conclusion: Conclusion, when: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda row: row.conclusion is not conclusion or when(row)


RULES: dict[str, Callable[[Row], bool]] = {
    "exit code 0 is success, unless the attempt was given up": implies(
        lambda row: row.exit == 0 and not row.given_up,
        lambda row: row.conclusion is C.FINISHED,
    ),
    "another exit code is never success": implies(
        lambda row: row.exit not in (None, 0),
        lambda row: row.conclusion is not C.FINISHED,
    ),
    "success has somebody's word": only_if(
        C.FINISHED,
        lambda row: row.exit == 0 or (not row.ended and J.FINISHED in row.answers),
    ),
    "an abandoned claim always tells that the attempt is abandoned": implies(
        lambda row: row.claim is K.ABANDONED,
        lambda row: row.conclusion is C.ABANDONED,
    ),
    "abandoned is only what can't start or said that it doesn't": only_if(C.ABANDONED, lambda row: row.given_up),
    "a claim is only made where there is none": only_if(C.CLAIM, lambda row: row.claim is K.NONE),
    "a claim is only made when nothing shows a start": only_if(
        C.CLAIM,
        lambda row: not row.ended and BEGUN not in row.kinds,
    ),
    "a claim is only made when a scheduler said that it is gone, and none that there is more to come": only_if(
        C.CLAIM,
        lambda row: (
            (J.GONE in row.answers and row.queue not in OPEN and row.accounting is not S.UNREACHABLE)
            or (J.UNSUPERVISED in row.answers and row.queue not in OPEN)
        ),
    ),
    "a job's claim is never taken": implies(
        lambda row: row.claim is K.JOB and DROPPED not in row.kinds,
        lambda row: row.conclusion not in (C.CLAIM, C.ABANDONED),
    ),
    "lost is only what had started": only_if(C.LOST, lambda row: row.claim is K.JOB or BEGUN in row.kinds),
    "lost is only what is gone, or whose second start was refused": only_if(
        C.LOST,
        lambda row: (
            not row.ended
            and (
                (J.GONE in row.answers and row.queue not in OPEN and row.accounting is not S.UNREACHABLE)
                or ((REFUSED in row.kinds or J.FAILED_AGAIN in row.answers) and row.queue not in OPEN)
            )
        ),
    ),
    "while it is too early, nothing is given up for want of a trace": implies(
        lambda row: (
            row.within_grace and REFUSED not in row.kinds and not {J.UNSUPERVISED, J.FAILED_AGAIN} & row.answers
        ),
        lambda row: row.conclusion not in (C.CLAIM, C.LOST),
    ),
    "a queue that has no answer, or more to come, concludes nothing bad without the runner's word": implies(
        lambda row: row.queue in OPEN and not row.ended,
        lambda row: row.conclusion not in BAD,
    ),
    "an accounting without an answer, or believed to have more to come, concludes nothing from an absence": implies(
        lambda row: (
            row.queue is J.GONE
            and not row.ended
            and (row.accounting is S.UNREACHABLE or (row.accounting in OPEN and row.within_grace))
        ),
        lambda row: row.conclusion not in BAD,
    ),
    "a kill is not judged before the scheduler may have explained it": implies(
        lambda row: (
            (row.queue in OPEN or row.accounting is S.UNREACHABLE or (row.accounting in OPEN and row.within_grace))
            and (row.exit == 137 or (STOPPED in row.kinds and row.exit is None))
        ),
        lambda row: row.conclusion not in (C.FAILED, C.STOPPED),
    ),
    "it runs when the queue says so and its end is not known": implies(
        lambda row: row.queue is J.RUNNING and not row.ended and not row.given_up,
        lambda row: row.conclusion is C.RUNNING,
    ),
    "it runs only if the queue says so, or it has begun and was unknown when the queue was asked": only_if(
        C.RUNNING,
        lambda row: not row.ended and (row.queue is J.RUNNING or (row.begun and not row.known)),
    ),
    "what has begun is not given up unless that was known before the queue was asked": implies(
        lambda row: row.begun and not row.known and not row.ended,
        lambda row: row.conclusion not in BAD,
    ),
    "what a dead runner left behind is ended before anything else": lambda row: (
        (row.conclusion is C.END_REMAINS) is (row.queue is J.ORPHANED and EXIT not in row.kinds and not row.given_up)
    ),
    "the runner's time-out is one, once the runner is gone": implies(
        lambda row: TIMEOUT in row.kinds and EXIT not in row.kinds and not row.given_up,
        lambda row: row.conclusion in ((C.WAIT,) if row.queue is J.RUNNING else (C.TIMED_OUT, C.END_REMAINS)),
    ),
    "a failure has somebody's word": only_if(
        C.FAILED,
        lambda row: row.exit in (1, 137) or (not row.ended and bool({J.FAILED, J.REFUSED} & row.answers)),
    ),
    "stopped is only what was told to stop, or killed and started again, and nobody explains": only_if(
        C.STOPPED,
        lambda row: (
            ((row.exit == 137 and REFUSED in row.kinds) or (STOPPED in row.kinds and row.exit is None))
            and row.queue not in EXPLAINS
        ),
    ),
    "cancelled is the scheduler's word": only_if(
        C.CANCELLED, lambda row: bool({J.CANCELLED, J.CANCELLED_ON_NODE} & row.answers)
    ),
    "out of memory is the scheduler's word": only_if(C.OUT_OF_MEMORY, lambda row: J.OUT_OF_MEMORY in row.answers),
    "a time-out has somebody's word": only_if(
        C.TIMED_OUT,
        lambda row: J.TIMED_OUT in row.answers or TIMEOUT in row.kinds,
    ),
    "a hardware failure is the scheduler's word, or a job that ended on its node before its runner began": only_if(
        C.NODE_FAILED,
        lambda row: (
            bool(row.answers & {J.NODE_FAILED, J.PREEMPTED, J.UNSUPERVISED})
            or (
                bool(row.answers & {J.FAILED, J.FAILED_AGAIN, J.CANCELLED_ON_NODE})
                and row.claim is K.NONE
                and BEGUN not in row.kinds
            )
        ),
    ),
    "when nobody was asked, only the runner's word counts": implies(
        lambda row: row.answers == {S.NOT_ASKED} and not row.ended and not row.given_up,
        lambda row: row.conclusion is C.WAIT,
    ),
    "an answer that is no answer changes nothing that the queue has settled": implies(
        lambda row: (
            row.queue in EXPLAINS - {J.CANCELLED_ON_NODE, J.UNSUPERVISED}
            and not row.ended
            and (row.known or not row.begun)
        ),
        lambda row: row.given_up or row.conclusion is judge(AttemptObservation(queue=row.queue)).conclusion,
    ),
}


@pytest.mark.xdist_group("truth table")
@pytest.mark.parametrize("rule", RULES)
def test_of_all_combinations_it_holds_that(rule: str):
    holds = RULES[rule]

    assert [row for row in all_rows() if not holds(row)][:3] == []


@pytest.mark.xdist_group("truth table")
def test_patience_delays_and_changes_nothing_else():
    rows = all_rows()

    for hasty, within_grace in zip(rows[::2], rows[1::2], strict=True):
        assert (hasty.within_grace, within_grace.within_grace) == (False, True)
        assert within_grace.conclusion in (C.WAIT, hasty.conclusion), within_grace


# -- what a verdict carries ------------------------------------------------------------------------------------------


def test_a_verdict_carries_the_runners_code_and_time():
    seen = AttemptObservation(reports=(report(EXIT, 3, at=77),), queue=J.FAILED, exit_code=9, raw_state="FAILED")

    assert judge(seen) == Verdict(
        C.FAILED,
        3,
        77,
        "FAILED",
        (Evidence(source="report", detail="TOKEN.exit.3"), Evidence(source="queue", detail="FAILED")),
    )


def test_a_verdict_carries_the_schedulers_code_when_the_runner_is_silent():
    verdict = judge(AttemptObservation(queue=J.FAILED, exit_code=9))

    assert (verdict.exit_code, verdict.at) == (9, None)


def test_the_order_in_which_reports_are_listed_does_not_matter():
    reports = (report(BEGUN), report(EXIT, 0), report(REFUSED, 17), report(STOPPED, 143))

    there, back = (
        AttemptObservation(reports=reports, queue=J.FAILED),
        AttemptObservation(reports=reports[::-1], queue=J.FAILED),
    )

    assert judge(there).conclusion is judge(back).conclusion is C.FINISHED


def test_who_was_not_asked_is_no_evidence():
    assert judge(AttemptObservation()).evidence == ()


def test_everybody_who_said_something_is_named():
    seen = AttemptObservation(
        claim=Claim(K.JOB, "17", "node1", "boot1"), reports=(report(BEGUN),), queue=J.GONE, accounting=S.UNREACHABLE
    )

    assert judge(seen).evidence == (
        Evidence(source="report", detail="TOKEN.started"),
        Evidence(source="claim", detail="job 17 on node1"),
        Evidence(source="queue", detail="gone"),
        Evidence(source="accounting", detail="unreachable"),
    )


@pytest.mark.parametrize(
    ("seen", "is_one"),
    [
        (AttemptObservation(), False),
        (AttemptObservation(queue=J.GONE, claim=Claim(K.NONE)), False),
        (AttemptObservation(claim=Claim(K.ABANDONED)), False),
        (AttemptObservation(claim=Claim(K.JOB)), True),
        (AttemptObservation(job_id="17"), True),
        (AttemptObservation(reports=(report(BEGUN),)), True),
    ],
)
def test_an_attempt_in_doubt_is_a_job_once_there_is_a_trace_of_one(seen: AttemptObservation, is_one: bool):
    assert seen.has_job is is_one
