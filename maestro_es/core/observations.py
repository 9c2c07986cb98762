"""What one tick saw, as the rules take it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from maestro_es.core.evidence import AttemptObservation
from maestro_es.core.model import Boot, Micros


class LastBoot(msgspec.Struct, frozen=True):
    """What is known of the time before this host booted: when it was alive for certain, if anything tells.

    `window` is how long what is written may be in memory only, in microseconds.
    """

    alive_at: Micros | None = None
    window: Micros = 0


class Observations(msgspec.Struct, frozen=True):
    """What one tick saw. `attempts` is by token; `answered` names the adapters that were asked and answered.

    `scheduler_down`: the scheduler does not answer, so nothing is submitted to it.

    `token_suffix` makes this tick's tokens its own; `cores` is what the host has. A driver that submits local steps
    the moment others end asks for `ahead` requests more than there are slots. `last_tick` is when the one before was,
    if known. `job` is the job of a scheduler in which the tick runs, if it runs in one.
    `machine` and `booted_at` are of the host, as in `InvocationStarted`. `last_boot` is given if this host has booted
    since the log was written to, or since an attempt in flight began. `namesake`: a step in flight may run on another
    host of our name.
    """

    now: Micros
    host: str
    boot_id: str
    token_suffix: str
    cores: int
    ahead: int = 0
    attempts: Mapping[str, AttemptObservation] = msgspec.field(default_factory=dict)
    stale_reports: tuple[tuple[str, str], ...] = ()
    unreachable: Mapping[str, str] = msgspec.field(default_factory=dict)
    scheduler_down: bool = False
    answered: frozenset[str] = frozenset()
    last_tick: Micros | None = None
    machine: str = ""
    booted_at: Micros = 0
    last_boot: LastBoot | None = None
    job: str = ""
    namesake: bool = False

    @property
    def boot(self) -> Boot:
        """The boot of our host."""
        return Boot(self.host, self.boot_id, self.machine, self.booted_at)
