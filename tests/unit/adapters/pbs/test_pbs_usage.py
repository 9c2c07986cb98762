"""What PBS's job history says that jobs have used, in lines of OpenPBS 23.06 with shorter paths."""

from __future__ import annotations

from maestro_es.adapters.command import Completed
from maestro_es.adapters.pbs.output import read_usage
from maestro_es.core.usage import Usage

TOKEN = "cafe0123-1-1-salt"
ENDED = (
    "Job Id: 17.host|job_state=F|resources_used.cput=01:00:02|resources_used.mem=5120kb|resources_used.ncpus=4|"
    "Resource_List.mem=2gb|Resource_List.ncpus=4|Resource_List.nodect=2|Resource_List.walltime=00:10:00|"
    f"executable=<jsdl-hpcpa:Executable>sh</jsdl-hpcpa:Executable>|argument_list=<jsdl-hpcpa:Argument>{TOKEN}"
    "</jsdl-hpcpa:Argument>\n"
)


def test_an_ended_job_has_what_it_used():
    assert read_usage(Completed(0, ENDED, ""), [TOKEN, "other"]) == {
        TOKEN: Usage(cpu=3_602_000_000, memory=5 * 2**20, nodes=2, cores=4, walltime=600, memory_limit=2 * 2**30)
    }


def test_a_job_that_runs_or_has_never_run_has_used_nothing():
    assert read_usage(Completed(0, ENDED.replace("job_state=F", "job_state=R"), ""), [TOKEN]) == {}
    assert read_usage(Completed(0, ENDED.replace("resources_used.cput", "x"), ""), [TOKEN]) == {}
