"""Texts that Slurm accepts as walltimes, and texts that it does not. A test asks a real sbatch about them."""

from __future__ import annotations

TIMES_TO_SLURM = [
    "5", "0", "90:00", "1:2:3", "100:00:00", "1-2", "1-02:30", "1-02:30:15", "5-", "-5", "-1", "infinite", "UNLIMITED",
    "Unlimited", "99:99:99",
]  # fmt: skip
NO_TIMES_TO_SLURM = [
    "soon", "1h", "5m", "30s", "1.5", "1e3", "+5", "5 min", " 5", "5 ", "1:", ":1", "1::2", ":", "-", "1:2:3:4",
    "1-2-3", "1-1:2:3:4", "1:-1", "1:2-", "-1:2", "1-:2", "1-2:", "inf", "$(WALLTIME)", "10/host", "²", "1\n2",
]  # fmt: skip
