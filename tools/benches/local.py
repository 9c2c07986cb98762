"""Steps of this host, against xargs and Maestro."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.benches.context import Bench, paired
from tools.benches.processes import Use

#: What lets Maestro start without its sleeps.
_NO_SLEEP = Path(__file__).parents[1] / "side_by_side" / "stubs"


def local(bench: Bench) -> None:
    """P9: a thousand steps `true`, each a bash script."""
    count = bench.at_most(1000, 300)
    spec, script = bench.folder / "true.yaml", bench.folder / "true.sh"
    values = ", ".join(map(str, range(count)))
    spec.write_text(
        "description: {name: thousand, description: d}\n"
        "study: [{name: a, description: d, run: {cmd: 'true # $(N)'}}]\n"
        f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n"
    )
    script.write_text("#!/bin/bash\ntrue\n")
    cores = len(os.sched_getaffinity(0))
    ours, scripts = f"run --wait, {count:,} steps", f"xargs -P{cores} bash, {count:,} scripts"
    theirs = f"maestro run -fg, {count:,} steps"
    actions = {
        ours: partial(new, bench, bench.ours, "run", "-y", "--wait", spec),
        scripts: partial(bench.shell, f"seq {count} | xargs -P{cores} -n1 bash {script}"),
    }
    if bench.has_peer("maestrowf"):
        quick = {"PYTHONPATH": str(_NO_SLEEP)}
        actions[theirs] = partial(new, bench, bench.maestro, "run", "-fg", "-y", "-s", "1", spec, env=quick)
    series = bench.interleave(5, actions)
    bench.report("P9.step", paired(series, ours, scripts), series)
    if theirs not in series:
        bench.skip("P9.maestro", "maestrowf is not installed")
    elif cores < 2:
        bench.skip("P9.maestro", "this machine has one core")
    else:
        bench.report("P9.maestro", paired(series, theirs, ours, "wall"))


def new(bench: Bench, command: Callable[..., Use], *words: str | Path, **more: object) -> Use:
    """Run a command that creates a study.

    The study is in a new directory, and nothing is deleted: for minutes after that, ext4 creates files slowly.
    """
    folder = Path(tempfile.mkdtemp(dir=bench.folder, prefix="local-"))
    return command(words[0], "-o", folder / "study", *words[1:], **more)
