"""Ask this host about a local step, and believe it only where it can know: see `maestro_es.core.hosts`."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_es.adapters.base import Adapter, JobInfo
from maestro_es.adapters.local import boot_of
from maestro_es.adapters.process import Host, is_running
from maestro_es.core.evidence import Claim
from maestro_es.core.hosts import was_rebooted
from maestro_es.core.model import Boot, StepRecord, StudyRecord


def ask_host(
    local: Adapter, step: StepRecord, claims: Mapping[str, Claim], study: StudyRecord, host: Host
) -> JobInfo | None:
    """Return what this host knows of a local step; None if only another host can tell, perhaps one of the same name.

    Unreachable if it does not answer.
    """
    seen = local.query_queue([step], claims).get(step.token)
    if not seen or not seen.instance or (boot := boot_of(seen.instance)) == host.boot_id:
        return seen
    if seen.job_id and is_running(int(seen.job_id), step.token):
        return None  # a container of this host, with a boot id of its own
    ours = Boot(host.name, host.boot_id, host.machine, host.booted_at)
    return seen if was_rebooted(study, boot, ours) else None


def is_namesakes(step: StepRecord, host: Host) -> bool:
    """Whether a step that this host can't see runs on another host of the same name."""
    return step.job_host == host.name and boot_of(step.job_instance) != host.boot_id
