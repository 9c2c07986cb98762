"""Submissions to a real Slurm, which this starts, against the same number of calls of sbatch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tools.benches.context import Bench, asked, paired
from tools.benches.processes import BenchError, Use
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.slurm_cluster.packages import why_not

#: Jobs in a partition that is down wait, so that what jobs do is not measured.
_WAITING = "PartitionName=waiting Nodes=ALL MaxTime=INFINITE State=DOWN"

#: As many jobs as Slurm takes by default would be too few.
_MANY = "MaxJobCount=100000"

#: Slurm before 23.02.6, such as Debian's, makes arrays only on request.
_HEAD = (
    "description: {name: jobs, description: d}\n"
    "batch: {type: slurm, host: here, bank: mine, queue: waiting, array: always}\n"
    "study:\n"
)  # fmt: skip

#: What one call of sbatch submits.
_SCRIPT = "#!/bin/sh\n#SBATCH --partition=waiting\n#SBATCH --ntasks=1\ntrue\n"


def equal(file: Path, steps: int) -> None:
    """Write a study file with one template."""
    values = ", ".join(map(str, range(steps)))
    file.write_text(
        f"{_HEAD}- {{name: a, description: d, run: {{cmd: 'true # $(N)', procs: 1, walltime: '00:10:00'}}}}\n"
        f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n"
    )


def different(file: Path, steps: int) -> None:
    """Write a study file with a template for each step, each with its own walltime."""
    lines = [
        f"- {{name: a{number}, description: d, run: {{cmd: 'true', procs: 1, walltime: '01:00:{number % 60:02}'}}}}\n"
        for number in range(steps)
    ]
    file.write_text(_HEAD + "".join(lines))


def slurm(bench: Bench) -> None:
    """P6: equal steps, which may go out together, and different ones."""
    if reason := why_not(os.geteuid()):
        bench.skip("P6.equal", f"no Slurm: {reason}")
        bench.skip("P6.different", f"no Slurm: {reason}")
        return
    (bench.folder / "job.sh").write_text(_SCRIPT)
    for key, write, count, usual in (("equal", equal, 1000, 3), ("different", different, 100, 7)):
        compare(bench, f"P6.{key}", write, bench.at_most(count, count), usual)


def compare(bench: Bench, key: str, write: Callable[[Path, int], None], count: int, usual: int) -> None:
    """Compare ticks that submit a number of jobs with as many calls of sbatch."""
    file = bench.folder / f"{key}.yaml"
    write(file, count + 1)
    loop = f"i=0; while [ $i -lt {count} ]; do sbatch {bench.folder}/job.sh || exit; i=$((i+1)); done"
    ours, theirs = f"ticks that submit {count:,} jobs", f"{count:,} calls of sbatch"
    actions = {
        ours: partial(on_new_cluster, bench, partial(submit, bench, file, count + 1)),
        theirs: partial(on_new_cluster, bench, lambda env: bench.shell(loop, env=env)),
    }
    series = bench.interleave(usual, actions)
    bench.report(key, paired(series, ours, theirs, "wall"), series)


def on_new_cluster(bench: Bench, measure: Callable[[Mapping[str, str]], Use]) -> Use:
    """Measure on a cluster of its own: squeue lists the jobs of earlier rounds for minutes, and a tick reads them."""
    with tempfile.TemporaryDirectory(dir=bench.folder, prefix="c") as folder:
        cluster = Cluster.start(Path(folder), Options(conf=(_WAITING, _MANY)))
        try:
            env = cluster.environment()
            return measure({name: env[name] for name in ("PATH", "SLURM_CONF")})
        finally:
            cluster.stop()


def submit(bench: Bench, file: Path, steps: int, env: Mapping[str, str]) -> Use:
    """Measure the ticks that submit all steps but the first. That one is submitted when the study is created.

    The study is in a new directory, and nothing is deleted: for minutes after that, ext4 creates files slowly.
    """
    root = Path(tempfile.mkdtemp(dir=bench.folder, prefix="jobs-"))
    bench.ours("run", "-y", "-t", "1", "-o", root, file, env=env)
    bench.ours("update", root, "--throttle", "0", env=env)
    uses: list[Use] = []
    while asked(root, "SELECT count(*) FROM step WHERE phase = 3") < steps:
        if len(uses) > steps:
            raise BenchError(f"{root}: {len(uses)} ticks did not submit {steps} steps")
        uses.append(bench.ours("tick", root, env=env))
    return Use(sum(use.cpu for use in uses), sum(use.wall for use in uses), max(use.memory for use in uses))
