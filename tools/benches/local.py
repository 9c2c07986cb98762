"""Steps of this host."""

from __future__ import annotations

import os
import statistics
from functools import partial
from pathlib import Path

from tools.benches.timing import MAESTRO_ES, RUNS, call, median


def bench(place: Path) -> None:
    """1,000 steps `true` on this host, against xargs doing the same."""
    count = 1000
    values = ", ".join(map(str, range(count)))
    spec = place / "true.yaml"
    spec.write_text(
        "description: {name: thousand, description: d}\n"
        "study: [{name: a, description: d, run: {cmd: 'true # $(N)'}}]\n"
        f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n"
    )
    cores = len(os.sched_getaffinity(0))
    ratios = []
    for turn in range(RUNS):  # by turns, as the machine may be busy for a while
        xargs = median(partial(call, "sh", "-c", f"seq {count} | xargs -P{cores} -n1 bash -c true"), 1)
        ours = median(partial(call, *MAESTRO_ES, "run", "-y", "--wait", "-o", place / f"t{turn}", spec), 1)
        ratios.append(ours / xargs)
        print(f"local   {count} steps 'true': {ours:.2f} s, xargs -P{cores} {xargs:.2f} s: ratio {ratios[-1]:.1f}")
    print(f"local   median ratio {statistics.median(ratios):.1f} (goal 4)")
