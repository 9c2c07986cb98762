"""What a user sees: `status`, against Maestro's and against a tick."""

from __future__ import annotations

from functools import partial

from tools.benches.context import Bench, paired


def screens(bench: Bench) -> None:
    """P8: the states of all steps, and a summary."""
    large = bench.at_most(10_000, 10_000)
    small = large // 10
    ours = {size: bench.study("lanes", size) for size in (small, large)}
    names = {size: f"status, {size:,} steps" for size in (small, large)}
    series = bench.interleave(
        7, {names[size]: partial(bench.ours, "status", "--layout", "flat", root) for size, root in ours.items()}
    )
    bench.report("P8.layout", paired(series, names[small], names[large]), series)
    if bench.has_peer("maestrowf"):
        some = bench.at_most(10_000, 2_000)
        root = bench.study("lanes", some)
        theirs, status = f"maestro status, {some:,} steps", f"status, {some:,} steps"
        command = partial(bench.maestro, "status", "--disable-pager", root)
        series = bench.interleave(
            3, {theirs: command, status: partial(bench.ours, "status", "--layout", "flat", root)}
        )
        bench.report("P8.maestro", paired(series, theirs, status), series)
    else:
        bench.skip("P8.maestro", "maestrowf is not installed")
    root = bench.study("lanes", bench.largest)
    summary, tick = (f"{words}, {bench.largest:,} steps" for words in ("status --summary", "tick without work"))
    actions = {summary: partial(bench.ours, "status", "--summary", root), tick: partial(bench.ours, "tick", root)}
    series = bench.interleave(15, actions)
    bench.report("P8.summary", paired(series, summary, tick), series)
