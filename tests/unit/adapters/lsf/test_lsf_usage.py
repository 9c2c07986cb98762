"""What ended jobs of LSF have used, as bjobs prints it."""

from __future__ import annotations

import json

import pytest

from maestro_es.adapters.command import Completed
from maestro_es.adapters.lsf.output import FIELDS, read_json, read_text
from maestro_es.core.model import JobState
from maestro_es.core.usage import Usage

GIB = 1024**3

#: The output of volclava 2.2 for a job of `bsub -W 5 -n 2 -M 900000`, without lines about scheduling.
VOLCLAVA = """
Job <1>, User <you>, Project <default>, Status <DONE>, Queue <normal>, Command <x>
Mon Nov 30 18:58:29: Submitted from host <vm>, CWD </>, Output File </dev/null>, 2 Task(s);
Mon Nov 30 18:58:32: Started 2 Task(s) on Host(s) <vm> <vm>, Allocated 2 Slot(s) on Host(s) <vm> <vm>;
Mon Nov 30 18:58:50: Done successfully. The CPU time used is 1.6 seconds.

 RUNLIMIT                \n 5.0 min                 \n
 MEMLIMIT
 921600000 K
"""

#: As IBM documents it.
IBM = """
Job <7>, Job Name <s>, User <you>, Project <p>, Status <EXIT>, Queue <q>, Command <x>
Thu Sep 10 14:14:01: Submitted from host <a>, CWD </>, 8 Task(s);
Thu Sep 10 14:14:02: Started 8 Task(s) on Host(s) <4*a> <4*b>, Allocated 8 Slot(s) on Host(s) <4*a> <4*b>;
Thu Sep 10 14:15:02: Exited with exit code 3. The CPU time used is 61.0 seconds.

 MEMORY USAGE:
 MAX MEM: 1.5 Gbytes;  AVG MEM: 1 Gbytes
"""


def record(**more: object) -> Completed:
    fields = {name.upper(): "-" for name in FIELDS}
    answer = {"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [{**fields, "JOBID": "7", "STAT": "DONE", **more}]}
    return Completed(0, json.dumps(answer), "")


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        (VOLCLAVA, Usage(cpu=1_600_000, nodes=1, cores=2, walltime=300, memory_limit=921_600_000 * 1024)),
        (IBM, Usage(cpu=61_000_000, memory=GIB * 3 // 2, nodes=2, cores=8)),
        (IBM.replace("Started 8 Task(s) on Host(s) <4*a> <4*b>, Allocated 8 Slot(s) on Host(s) <4*a> <4*b>",
                     "Started on 3 Hosts/Processors <a> <a> <b>"),
         Usage(cpu=61_000_000, memory=GIB * 3 // 2, nodes=2, cores=3)),
        (IBM.replace("EXIT", "RUN"), None),
    ],
)  # fmt: skip
def test_long_output_shows_what_an_ended_job_has_used(text: str, usage: Usage | None):
    [job] = read_text(Completed(0, text, ""))
    assert job.usage == usage


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({"CPU_USED": "61.5 second(s)", "MAX_MEM": "1.5 Gbytes", "NEXEC_HOST": "2", "NALLOC_SLOT": 8,
          "RUNTIMELIMIT": "5.0/a", "MEMLIMIT": "2 G"},
         Usage(cpu=61_500_000, memory=GIB * 3 // 2, nodes=2, cores=8, walltime=300, memory_limit=2 * GIB)),
        ({"CPU_USED": "000:01:01.57"}, Usage(cpu=61_570_000)),
        ({}, None),
        ({"STAT": "RUN", "CPU_USED": "1.0 second(s)"}, None),
    ],
)  # fmt: skip
def test_the_fields_of_an_ended_job_show_what_it_has_used(fields: dict[str, object], usage: Usage | None):
    [job] = read_json(record(**fields))
    assert job.usage == usage


@pytest.mark.parametrize("text", ["", "many", "-1", "1,5 Gbytes", "7" * 99, "\N{SUPERSCRIPT TWO}", None, [], 1e400])
def test_a_usage_of_an_unknown_form_is_unknown_and_the_job_has_ended_all_the_same(text: object):
    usage = dict.fromkeys(("CPU_USED", "MAX_MEM", "NEXEC_HOST", "NALLOC_SLOT", "RUNTIMELIMIT", "MEMLIMIT"), text)
    [job] = read_json(record(**usage))
    assert (job.state, job.usage) == (JobState.FINISHED, None)


def test_a_version_without_these_fields_is_no_verdict_on_a_job():
    answer = json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [{
        "JOBID": "7", "STAT": "DONE", "EXIT_CODE": "", "EXIT_REASON": "", "JOB_NAME": "s", "COMMAND": "x", "NEW": {}
    }]})  # fmt: skip
    [job] = read_json(Completed(0, answer, ""))
    assert (job.state, job.usage) == (JobState.FINISHED, None)
