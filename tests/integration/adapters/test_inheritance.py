"""Umask, soft limits and niceness of what is started, and none of them left in the process that starts it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from maestro_es.adapters.command import Command
from maestro_es.core.environment import Environment

SHOW = ["sh", "-c", "umask; ulimit -S -n; ulimit -S -c; nice"]


def mine() -> tuple[int, tuple[int, int], tuple[int, int], int]:
    mask = os.umask(0)
    os.umask(mask)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)
    return mask, *limits, os.getpriority(os.PRIO_PROCESS, 0)


def test_what_is_started_inherits_them_and_we_keep_ours():
    before = mine()
    environment = Environment(umask=0o027, limits={"nofile": 200, "core": 0, "no_such": 1})

    done = Command(SHOW, inherited=environment).result()

    assert done.out.split() == ["0027", "200", "0", str(before[3])]
    assert mine() == before


def test_no_soft_limit_is_raised_above_the_hard_one():
    program = """
import resource
from maestro_es.adapters.command import Command
from maestro_es.core.environment import Environment
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
for wanted in (250, 1000, -1):
    limits = Environment(limits={"nofile": wanted})
    print(Command(["sh", "-c", "ulimit -S -n; ulimit -H -n"], inherited=limits).result().out.split())
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['250', '300']", "['300', '300']", "['300', '300']", "(100, 300)"]


def test_what_is_not_known_is_as_it_is():
    before = mine()
    assert Command(SHOW, inherited=Environment()).result().out == Command(SHOW).result().out
    assert mine() == before
