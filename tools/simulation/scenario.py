"""Draws a scenario from a seed: the study, the hosts, the drivers, and everything that happens to them in a week.

All randomness of a simulated week comes from `Chance`. Each draw has a key. So a draw does not depend on the draws
before it, and a scenario without some of its actions goes on in the same way otherwise.
"""

from __future__ import annotations

import random
from typing import NamedTuple

MINUTE = 60_000_000
HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR


class Chance:
    """The randomness of a seed. `of` returns the generator for one key, which is always the same."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def of(self, *key: object) -> random.Random:
        """Return the generator for a key."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, key))}")  # noqa: S311 - a simulation must repeat


class PlannedStep(NamedTuple):
    """A step of the study. Steps with a `template` of their own have one instance.

    `walltime` is in minutes. `parents` are numbers of steps.
    """

    name: str
    template: str
    parents: tuple[int, ...]
    funnels: tuple[str, ...]
    scheduled: bool
    walltime: int
    restart: bool


class Action(NamedTuple):
    """Something that happens at a time, in microseconds after the beginning of the week.

    The numbers choose among the possible targets of the action, so every action is possible in every scenario.
    """

    at: int
    kind: str
    first: int
    second: int

    def __str__(self) -> str:
        return f"{self.kind} ({self.first}, {self.second})"


class Scenario(NamedTuple):
    """Everything that a seed decides at the beginning. `settings` are those of the study.

    `tick_minutes` is the period of cron. `skews` are the errors of the hosts' clocks in seconds. `min_job_age` is how
    long Slurm lists a job that has ended, in seconds. `accounting` says whether Slurm keeps accounts.
    """

    seed: int
    steps: tuple[PlannedStep, ...]
    settings: dict[str, object]
    tick_minutes: int
    skews: tuple[int, ...]
    min_job_age: int
    accounting: bool
    actions: tuple[Action, ...]


#: The kinds of actions, and how often each is drawn relative to the others.
KINDS = {
    # ticks
    "tick dies": 6, "dies at commit": 4, "dies at submission": 4,
    "power cut": 2, "tick hangs": 3, "ticks overlap": 4, "no space": 4, "cron moves": 3, "cron stops": 2,
    "foreground": 3, "scrontab": 1, "batch job drives": 2,
    # hosts
    "reboot": 3, "clock jumps": 2, "host goes down": 2, "runner killed": 3, "report lost": 3,
    # the scheduler
    "refuse": 2, "full": 3, "deaf": 3, "doubt": 4, "late": 3, "lose": 4, "garbage": 2, "twice": 3, "reuse": 2,
    "silent": 3, "hang": 2, "garbled": 2, "cut off": 2, "no accounts": 3, "forgets": 3, "loses all": 2, "blind": 2,
    "node fails": 4, "node is given up": 2, "preempt": 3, "requeue": 4, "launch fails": 2, "memory": 2,
    "job cancelled": 2, "strange state": 2, "delayed": 2, "no cancel": 1,
    # users
    "cancel step": 3, "cancel study": 1, "retry failed": 5, "retry step": 3, "skip": 2, "hold": 2, "release": 2,
    "pause": 1, "resume": 2, "throttle": 2, "restart limit": 1, "hardware limit": 1, "rename": 3, "reopen": 2,
    "retry lost": 2, "retry doubted": 2, "extra tick": 6, "edit script": 2, "add step": 2,
    "environment lost": 2,
}  # fmt: skip


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    chance = Chance(seed)
    dice = chance.of("study")
    steps = _steps(dice)
    arrays = dice.random() < 0.25
    settings: dict[str, object] = {
        "submission_throttle": dice.choice([0, 0, 1, 2, 3]),
        "submission_attempts": dice.choice([1, 1, 2, 3]),
        "restart_limit": dice.choice([0, 1, 2]),
        "hardware_limit": dice.choice([0, 1, 3, 3]),
        "abandon_limit": dice.choice([2, 10]),
        "local_slots": dice.choice([0, 1, 2]),
        "array": "always" if arrays else None,
        "dry_run": dice.random() < 0.02,
    }
    dice = chance.of("site")
    tick_minutes = dice.choice([20, 60, 60, 120])
    settings["sleep_seconds"] = tick_minutes * 60
    count = dice.choice([0, 4, 8, 16, 32, 48])
    return Scenario(
        seed=seed,
        steps=steps,
        settings=settings,
        tick_minutes=tick_minutes,
        skews=tuple(dice.choice([0, 0, 0, -3, 5, 40, -90]) for _ in range(3)),
        min_job_age=dice.choice([0, 300, 300, 7200]),
        accounting=dice.random() < 0.8,
        actions=_actions(chance.of("actions"), count, arrays=arrays),
    )


def _steps(dice: random.Random) -> tuple[PlannedStep, ...]:
    """Return a graph of up to a dozen steps. Some are instances of one template, for arrays and funnels."""
    steps: list[PlannedStep] = []
    templates: list[str] = []
    for number in range(dice.randint(2, 6)):
        template = f"t{number}"
        copies = dice.choice([1, 1, 1, 2, 4])
        scheduled = dice.random() < 0.7
        walltime = dice.choice([0, 240, 420])
        restart = dice.random() < 0.5
        funnel = (dice.choice(templates),) if templates and dice.random() < 0.3 else ()
        before = len(steps)
        for copy in range(copies):
            parents = tuple(sorted(dice.sample(range(1, before + 1), min(before, dice.randint(0, 2)))))
            name = template if copies == 1 else f"{template}_{copy}"
            steps.append(PlannedStep(name, template, parents, funnel, scheduled, walltime, restart))
        templates.append(template)
    return tuple(steps)


def _actions(dice: random.Random, count: int, *, arrays: bool) -> tuple[Action, ...]:
    """Return actions in the order of their times. More of them are at the beginning, when more steps run."""
    kinds = {**KINDS, "no array": 2, "full array": 2} if arrays else KINDS
    drawn = dice.choices(list(kinds), list(kinds.values()), k=count)
    spread = dice.choice([12 * HOUR, 48 * HOUR, WEEK])
    actions = [
        Action(int(spread * dice.random() ** 2), kind, dice.randrange(1000), dice.randrange(1000)) for kind in drawn
    ]
    return tuple(sorted(actions))
