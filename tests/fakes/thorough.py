"""A local adapter whose cancel waits until all processes that a dead runner left behind have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maestro_es.adapters.base import Adapters
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core.model import StepRecord
from tools.testbed.processes import wait_for


class _Thorough(LocalAdapter):
    def cancel(self, steps: Sequence[StepRecord]) -> None:
        super().cancel(steps)
        wait_for(lambda: not any(self.has_orphans(step) for step in steps))


def thorough(batch: Mapping[str, Any], host: Host) -> Adapters:
    """Return the adapters of a study whose steps are local."""
    return Adapters(_Thorough(batch, host), _Thorough(batch, host))
