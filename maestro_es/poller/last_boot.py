"""Finds out whether this host has booted since the last write to a log, and when the host was last seen before that.

`maestro_es.core.doubt` decides which steps are doubted because of such a boot.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_es.adapters.host import Host
from maestro_es.adapters.local import boot_of
from maestro_es.core.graph import Graph
from maestro_es.core.hosts import boot_before
from maestro_es.core.model import Boot, StepRecord
from maestro_es.core.observations import LastBoot
from maestro_es.study.layout import StudyDir

if TYPE_CHECKING:
    from maestro_es.study.session import Session

#: How long Linux keeps written data in memory by default, in seconds (dirty_expire_centisecs plus
#: dirty_writeback_centisecs). This value is used if these settings can't be read. Other systems lose about as much in
#: a crash.
_WRITEBACK = 35.0

_SETTINGS = ("dirty_expire_centisecs", "dirty_writeback_centisecs")

#: This time, in seconds, is added, because ext4 commits a transaction every 5 s, and a disk may be busy. On an ext4
#: image, files were complete after 37 to 41 s.
_MARGIN = 25.0


def look_back(graph: Graph, study_dir: StudyDir, host: Host, in_flight: Iterable[StepRecord] = ()) -> LastBoot | None:
    """Return the facts about the last boot, if this host has booted since the last event or an attempt's start."""
    local_steps = (step for step in in_flight if not step.scheduled and step.job_host == host.name)
    if all(boot_of(step.job_instance) in ("", host.boot_id) for step in local_steps):
        ours = Boot(host.name, host.boot_id, host.machine, host.booted_at)
        if not boot_before(graph.study, ours):
            return None
    return _last_boot(study_dir, host)


def may_be_in_doubt(study: Session) -> bool:
    """Return whether the study may have ended just before a power cut, so that steps must be marked as doubted."""
    past = look_back(study.graph, study.dir, study.runtime.host)
    return past is not None and study.log.head.recorded_at > (past.alive_at or 0) - past.window


def _last_boot(study_dir: StudyDir, host: Host) -> LastBoot:
    """Return the facts about the last boot of this host.

    Cron's last tick certainly ran on this host. The last tick of the study may have run on another host. So the
    study's tick counts only if it is earlier than cron's tick or, without such a tick, if cron runs on no other host.
    A time after the boot proves nothing about the time before.
    """
    from maestro_es.study import registry  # noqa: PLC0415 - a host boots seldom

    booted = host.booted_at
    hosts = registry.cron_hosts()
    cron = registry.cron_before(host.name, host.boot_id)
    signs = [study_dir.ticked_at(), cron] if cron is not None or hosts in ([], [host.name]) else []
    alive = min((at for at in signs if at is not None), default=None)
    believed = alive if alive is not None and alive < booted else None
    return LastBoot(alive_at=believed, window=int((_writeback() + _MARGIN) * 1_000_000))


def _writeback() -> float:
    try:
        values = [int((Path("/proc/sys/vm") / name).read_text()) for name in _SETTINGS]
    except (OSError, ValueError):
        return _WRITEBACK
    return max(sum(values) / 100, _WRITEBACK)
