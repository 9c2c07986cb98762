"""What a look at a study starts from: when and where it happens, and what the scheduler was asked ahead of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec import structs

from maestro_es.adapters.base import QueueEntry
from maestro_es.adapters.process import Host
from maestro_es.core.evidence import Claim
from maestro_es.core.model import Micros
from maestro_es.errors import Unreachable


class TickInputs(msgspec.Struct, frozen=True):
    """When and where a tick happens.

    `token_suffix` makes its tokens its own; `ahead` is how many steps it holds ready.
    `last_tick` is when the one before it happened, if that is known. `no_environment` says why no step can start, if
    that is so (None: it was not looked at closely). `ended` holds the tokens of attempts whose processes count as
    ended, without a look.
    """

    now: Micros
    host: Host
    token_suffix: str
    ahead: int = 0
    last_tick: Micros | None = None
    no_environment: str | None = None
    ended: Collection[str] = ()


class QueueSnapshot(msgspec.Struct, frozen=True):
    """What was asked ahead of a tick, in the order of a look.

    That is: the log up to `seq`, the `claims` of attempts in doubt, the scheduler for its jobs. So the `answer` is one
    for a look at the same state of the log, and no other.
    """

    seq: int
    claims: Mapping[str, Claim]
    answer: Sequence[QueueEntry] | Unreachable

    def at(self, seq: int) -> QueueSnapshot | None:
        """Return what a look at the log up to `seq` may rest on: on silence always, nothing is concluded from it."""
        if seq == self.seq:
            return self
        return structs.replace(self, claims={}) if isinstance(self.answer, Unreachable) else None
