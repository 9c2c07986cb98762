"""Decides whether two boots belong to one host, or to two hosts with the same name, such as containers and clones.

After a reboot, all earlier processes of the host are gone. But the processes of another host with the same name may
still be running. So a changed boot id proves a reboot only if none of these signs contradicts it:

- The machine ids of the hosts differ.
- The boots alternate. If an old boot id comes back, both hosts were up at the same time.
- The new boot began before the old boot was last seen, and the difference is more than a reboot may set the clock
back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from maestro_es.core.model import Boot, Micros, StudyRecord

#: The number of boots that a study remembers.
_MOST = 32

#: Two boots that began within this time, in microseconds, belong to containers of one kernel, so their boot times
#: prove nothing. Two machines rarely boot so close to each other.
_SAME_KERNEL = 100_000

#: How far a reboot may set the clock back, in microseconds. The hardware clock counts whole seconds, and a tick may
#: run before the clock is synchronised.
_CLOCK_ERROR = 10_000_000


def heard_of(study_record: StudyRecord, boot: Boot, at: Micros) -> tuple[Boot, ...]:
    """Return the known boots, updated for a process of `boot` that has begun to write at the event `boot.first`."""
    known = {each.key: each for each in study_record.boots}
    before = known.get((study_record.host, study_record.boot_id))
    if before:  # the previous process wrote up to here
        known[before.key] = before.until(boot.first - 1, max(before.seen_at, study_record.written_at))
    first = known[boot.key].first if boot.key in known else boot.first
    known[boot.key] = boot.since(first).until(boot.first, at)
    return tuple(sorted(known.values(), key=lambda each: each.last)[-_MOST:])


def was_rebooted(study_record: StudyRecord, before: str, now: Boot) -> bool:
    """Return whether the boot id `before` belongs to an earlier boot of the host whose present boot is `now`."""
    named = {boot.boot_id: boot for boot in study_record.boots if boot.host == now.host}
    if study_record.host == now.host and study_record.boot_id in named:  # this boot wrote the last event
        writer = named[study_record.boot_id]
        named[study_record.boot_id] = writer.until(writer.last, max(writer.seen_at, study_record.written_at))
    ours, earlier = named.get(now.boot_id), named.get(before)
    named[now.boot_id] = now.since(ours.first) if ours else now
    boots = list(named.values())
    if earlier and earlier.machine and earlier.machine == now.machine:
        boots = [boot for boot in boots if boot.machine == now.machine]
    return not any(_are_two_hosts(one, other) for one, other in itertools.combinations(boots, 2))


def boot_before(study_record: StudyRecord, now: Boot) -> str:
    """Return the boot id of this host's last write, if the host has rebooted since and the log does not say so yet."""
    if study_record.host == now.host:
        known = study_record.unseen_boot or study_record.boot_id
    else:  # another host wrote last
        ours = [boot for boot in study_record.boots if boot.host == now.host]
        seen = any(boot.boot_id == now.boot_id for boot in ours)
        known = max(ours, key=lambda boot: boot.last).boot_id if ours and not seen else ""
    changed = "" not in {known, now.boot_id} and known != now.boot_id
    return known if changed and was_rebooted(study_record, known, now) else ""


def _are_two_hosts(one: Boot, other: Boot) -> bool:
    """Return whether two boots certainly belong to two hosts."""
    if one.machine and other.machine and one.machine != other.machine:
        return True
    older, newer = sorted((one, other), key=lambda boot: boot.first)
    if newer.first <= older.last:
        return True
    if not newer.booted_at or abs(newer.booted_at - older.booted_at) < _SAME_KERNEL:
        return False
    return newer.booted_at + _CLOCK_ERROR < older.seen_at


def advice(host: str, steps: Sequence[str]) -> str:
    """Return the advice to users about steps that may run on another host with the same name."""
    return (
        f"two hosts are called {host}, and {', '.join(steps)} may run on the other one: give the hosts different "
        "names, or tick the study only on the other one; 'maestro-es retry STEP --lost' reruns a step whose host is "
        "gone for good, for example after a reboot that has set the clock back"
    )
