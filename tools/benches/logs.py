"""Long logs: replaying and verifying them, appending to them, and reading all of them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from tools.benches.context import Bench, Series, asked, paired
from tools.benches.processes import Use

#: As many events as the library `eventsourcing` replays in a few seconds.
_PEER_EVENTS = 50_000


def scan_of(events: int) -> str:
    """Return the name of what reading a log is compared with."""
    return f"scan of 4 columns, {events:,} events"


def rates(series: Series, name: str, other: str, share: float = 1.0) -> list[float]:
    """Return by how much more events per second an action handles. The other one handles this share of its events."""
    return [ratio / share for ratio in paired(series, other, name)]


def replay(bench: Bench) -> None:
    """P4: how fast a log is replayed and verified."""
    root = bench.log(bench.largest)
    events = asked(root, "SELECT max(seq) FROM event")
    scan = scan_of(events)
    actions = {
        scan: partial(bench.program, "scan_events", root / "events.db"),
        "status --at": partial(bench.ours, "status", root, "--summary", "--at", str(events - 1)),
        "verify": partial(bench.ours, "verify", root),
    }
    peer, few = "eventsourcing", min(_PEER_EVENTS, events)
    if bench.has_peer(peer):
        (bench.folder / "peer.db").unlink(missing_ok=True)  # of an earlier try
        peers = partial(bench.program, "eventsourcing_steps", bench.folder / "peer.db", environment="peers")
        peers("write", few)
        actions[peer] = partial(peers, "replay", few)
    series = bench.interleave(5, actions)
    bench.report("P4.replay", rates(series, "status --at", scan), series)
    bench.report("P4.verify", rates(series, "verify", scan))
    if bench.has_peer(peer):
        bench.report("P4.peer", rates(series, "status --at", peer, few / events))
    else:
        bench.skip("P4.peer", "the library eventsourcing is not installed: pip install eventsourcing")


def append(bench: Bench) -> None:
    """P5: how fast events are appended."""
    events = bench.at_most(200_000, 50_000)
    root = bench.folder / "to-append"
    shutil.rmtree(root, ignore_errors=True)
    bench.program("make_study", root, events // 4, "wide", 1, 0)
    ours, theirs = f"append of {events:,} events", f"bare insert of {events:,} rows"
    series = bench.interleave(
        5, {ours: partial(append_to_copy, bench, root, events), theirs: partial(insert, bench, events)}
    )
    bench.report("P5.append", rates(series, ours, theirs), series)


def append_to_copy(bench: Bench, root: Path, events: int) -> Use:
    """Append to a copy of a study."""
    copy = bench.folder / "appended"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    return bench.program("append", copy, events)


def insert(bench: Bench, events: int) -> Use:
    """Insert rows into a new database."""
    new = bench.folder / "inserted.db"
    new.unlink(missing_ok=True)
    return bench.program("insert_events", new, events)


def readers(bench: Bench) -> None:
    """P10: commands that read a whole log."""
    root = bench.log(bench.largest)
    events = asked(root, "SELECT max(seq) FROM event")
    scan = scan_of(events)
    commands: dict[str, tuple[str | Path, ...]] = {
        "history": ("history", root),
        "export": ("export", root),
        "diff": ("diff", root, str(events // 2), str(events)),
        "why": ("why", root, "a_N.1", "--at", str(events - 1)),
    }
    actions = {name: partial(bench.ours, *words) for name, words in commands.items()}
    series = bench.interleave(3, {scan: partial(bench.program, "scan_events", root / "events.db"), **actions})
    for name in commands:
        bench.report(f"P10.{name}", rates(series, name, scan), {scan: series[scan], name: series[name]})
    bench.report("P10.memory", [max(use.memory for name in commands for use in series[name])])
