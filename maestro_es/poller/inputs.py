"""The inputs of a tick: the time, the host, and what a driver has told the tick."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from maestro_es.adapters.host import Host
from maestro_es.core.model import ENVIRONMENT, Micros
from maestro_es.core.step_keys import Allocation
from maestro_es.core.usage import Usage
from maestro_es.poller.performers import Performer
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from maestro_es.core.observations import OtherStudy


class TickInputs(msgspec.Struct, frozen=True):
    """The time, the host and the options of a tick.

    `token_suffix` makes the tick's tokens unique. `ahead` is how many steps the tick requests ahead of free slots.
    `last_tick` is the time of the previous tick, if it is known. `no_environment` says why no step can start (empty:
    steps can start, None: this was not checked). `ended` contains the tokens of attempts whose processes count as
    ended without a check. For `leaving` and `allocation` see `Session`, and for `brief`, `usages` and `others` see
    `Observations`.
    """

    now: Micros
    host: Host
    token_suffix: str
    ahead: int = 0
    last_tick: Micros | None = None
    no_environment: str | None = None
    ended: Collection[str] = ()
    leaving: bool = False
    brief: bool = False
    usages: Mapping[str, Usage] = {}
    allocation: Callable[[], Allocation] | None = None
    others: Callable[[], Sequence[OtherStudy]] = tuple


def inputs_of(study: Session, performer: Performer, ahead: int) -> TickInputs:
    """Return the inputs of a tick of an open study."""
    runtime = study.runtime
    return TickInputs(
        now=runtime.now(),
        host=runtime.host,
        token_suffix=runtime.token_suffix(),
        ahead=ahead,
        last_tick=study.dir.ticked_at(),
        no_environment=_check_environment(study),
        ended=performer.ended,
        leaving=study.leaving,
        brief=runtime.brief,
        usages=study.usages,
        allocation=study.allocation,
        others=study.others,
    )


def _check_environment(study: Session) -> str | None:
    """Return the problem that keeps all steps from starting, so that it can be recorded.

    An empty string records that an earlier problem is gone. If there is nothing to record, the result is None.
    """
    graph = study.graph
    doubted = ENVIRONMENT in graph.study.unreachable
    is_needed = doubted or any(graph.ready(scheduled=kind, limit=1) for kind in (False, True))
    problem = study.check_environment(thoroughly=is_needed)
    return problem or ("" if doubted else None)
