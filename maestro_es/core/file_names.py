"""The names of the files in a study directory. No other module contains them, but ``runner.sh`` has copies of some.

::

    STUDY/
      events.db              the log, and its projection
      status.csv             as Maestro writes it, with its .status.lock
      STEP/[COMBINATION/]    workspaces; .claim.TOKEN in them are the claims: see `maestro_es.study.claims`
      .maestro-es.lock       held by the process that creates a study here; removed after that
      .maestro-es.new/       becomes .maestro-es once the earlier study has been moved into it
      .maestro-es/
        previous/TIME/       an earlier study in this directory, which `run -o` replaced at that time
        inbox/               reports of runners
        runner.sh            the runner, copied when the study was created
        TOKEN                a link to the runner, while an attempt or an array of attempts is submitted
        arrays/ARRAY         the attempts of a job array: see `maestro_es.adapters.array_map`
        arrays/ARRAY.err     what the scheduler itself prints about jobs of the array
        study.ID             ID is the first part of this study's tokens. Jobs of a study that was replaced don't start
        environment.DIGEST   the environment of the steps, for its owner alone
        start.DIGEST         sets these variables for a runner whose scheduler does not pass them on
        next-tick            the command with which a runner asks for the next tick
        tick.lock            held by the process that ticks
        waiter.lock          held by the one process that waits for tick.lock
        waiting              "HOST PID" of the process that waits, for the runners
        last-tick            "SEQ DIGEST HOST DRIVER": the last event that a tick has seen, and who ran that tick
        status-blocks        the length of each block of lines in status.csv
        diff-since-last.UID  the last event that `diff --since-last` has covered for a user
"""

from __future__ import annotations

LOG = "events.db"
STATUS_CSV = "status.csv"
STATUS_LOCK = ".status.lock"
BATCH_INFO = "batch.info"

#: Maestro 1.2.1 creates the first as an empty file, and writes a small YAML mapping into the second.
CANCEL, UPDATE = ".cancel.lock", ".study.update.lock"

#: The directory of maestro-es in a study directory, and its temporary neighbours.
STATE_DIR = ".maestro-es"
NEXT_STATE_DIR = f"{STATE_DIR}.new"
CREATION_LOCK = f"{STATE_DIR}.lock"

PREVIOUS = "previous"
INBOX = "inbox"
RUNNER = "runner.sh"
ARRAYS = "arrays"
STUDY = "study."
ENVIRONMENT = "environment."
STARTER = "start."
NEXT_TICK = "next-tick"
TICK_LOCK = "tick.lock"
WAITER_LOCK = "waiter.lock"
WAITING = "waiting"
LAST_TICK = "last-tick"
STATUS_BLOCKS = "status-blocks"
DIFF_SINCE_LAST = "diff-since-last"

#: The names in a study directory that no workspace can have. Maestro accepts steps called ``logs`` and ``meta``, which
#: do no harm.
TAKEN = (
    STATE_DIR, NEXT_STATE_DIR, CREATION_LOCK, LOG, f"{LOG}-journal", f"{LOG}-wal", f"{LOG}-shm", f"{LOG}.new",
    f"{LOG}.new-journal", STATUS_CSV, BATCH_INFO, STATUS_LOCK, CANCEL, UPDATE,
)  # fmt: skip
