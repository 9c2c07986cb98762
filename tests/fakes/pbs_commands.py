"""PBS's commands as shell scripts for a PATH. A test plans their answers, good or bad.

They print what OpenPBS 23.06.06 prints. See `tests.fakes.batch_commands` for how they keep their state.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.fakes.batch_commands import BatchCommands

_QSUB = r"""
says() { echo "qsub: $1" >&2; exit "$2"; }
while [ "$1" != -- ]; do shift; done
shift
case ${answer:-accept} in
    refuse) says "Unknown queue" 170 ;;
    full) says "would exceed queue generic's per-user limit" 188 ;;
    deaf) echo "Connection refused" >&2; says "cannot connect to server pbs (errno=15010)" 255 ;;
esac
add "$@"
case $answer in
    twice) add "$@" ;;
    doubt) says "End of File" 15031 ;;
    late) touch "$job/hidden"; says "End of File" 15031 ;;
    garbage) printf 'welcome to \377\001\n'; exit 0 ;;
esac
echo "$id.pbs"
"""

_QSELECT = r"""
case "$(planned)" in
    silent) echo "qselect: cannot connect to server pbs (errno=15010)" >&2; exit 255 ;;
    garbage) printf '\377\001 welcome\n'; exit 0 ;;
    "cut off") printf '7.pb'; exit 0 ;;
esac
for job in "$folder"/jobs/*; do
    [ -e "$job/line" ] && ! [ -e "$job/hidden" ] || continue
    case $(state_of "$job") in PENDING | RUNNING) echo "${job##*/}.pbs" ;; esac
done
"""

_QSTAT = r"""
case "$(planned)" in
    silent) echo "qstat: cannot connect to server pbs (errno=15010)" >&2; exit 255 ;;
    garbage) printf '\377\001 welcome\n'; exit 0 ;;
    "cut off") printf 'Job Id: 7.pbs|Job_Name=s|job_sta'; exit 0 ;;
esac
history= result=0
[ ! -e "$folder/history" ] || history=True
while [ $# -gt 0 ]; do
    case $1 in
        -B) echo "Server: pbs|server_state=Active|pbs_version=23.06.06|job_history_enable=${history:-False}"; exit 0 ;;
        -x) ended=yes ;;
        -F) shift ;;
        -f) ;;
        *) ids="$ids $1" ;;
    esac
    shift
done
for id in $ids; do
    job=$folder/jobs/${id%.pbs}
    [ -e "$job/line" ] && ! [ -e "$job/hidden" ] || { echo "qstat: Unknown Job Id $id" >&2; result=153; continue; }
    letter=F substate=92 status=
    case $(state_of "$job") in
        PENDING) letter=Q substate=10 ;;
        RUNNING) letter=R substate=42 ;;
        COMPLETED) status=0 ;;
        FAILED) substate=93 status=$(cat "$job/code") ;;
        CANCELLED) substate=91 ;;
        *) substate=93 status=-3 ;;
    esac
    [ ! -e "$job/cancelled" ] || [ "$letter" != F ] || substate=91
    if [ "$letter" = F ] && { [ -z "$ended" ] || [ -z "$history" ]; }; then
        echo "qstat: Unknown Job Id $id" >&2; result=153; continue
    fi
    words=$(tr '\0' '\n' <"$job/words" | sed '1d;s/&/\&amp;/g;s/"/\&quot;/g;s/'"'"'/\&apos;/g;s/</\&lt;/g
        s/\\/\\\\/g;s/|/\\|/g;s:.*:<jsdl-hpcpa\:Argument>&</jsdl-hpcpa\:Argument>:' | tr -d '\n')
    printf 'Job Id: %s|Job_Name=s|job_state=%s|substate=%s%s|executable=%s|argument_list=%s\n' "$id" "$letter" \
        "$substate" "${status:+|Exit_status=$status}" "<jsdl-hpcpa:Executable>/bin/sh</jsdl-hpcpa:Executable>" "$words"
done
exit "$result"
"""

_QDEL = r"""
[ "$(planned)" = silent ] && { echo "qdel: cannot connect to server pbs (errno=15010)" >&2; exit 255; }
result=0
for id in "$@"; do
    job=$folder/jobs/${id%.pbs}
    [ -d "$job" ] || { echo "qdel: Unknown Job Id $id" >&2; result=153; continue; }
    case $(state_of "$job") in
        RUNNING | PENDING) touch "$job/cancelled" ;;
        *) echo "qdel: Job has finished $id" >&2; result=35; continue ;;
    esac
    pid=$(cat "$job/pid" 2>/dev/null) || continue
    kill -s TERM -- "-$pid"
done
exit "$result"
"""


class PbsCommands(BatchCommands):
    """The commands of PBS. A job gets none of the variables of qsub, and begins in the home directory."""

    commands: ClassVar = {"qsub": _QSUB, "qselect": _QSELECT, "qstat": _QSTAT, "qdel": _QDEL}
    submits = ("qsub",)
    job_variable = "PBS_JOBID"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "history").touch()

    def forget_ended_jobs(self) -> None:
        """Keep no history of jobs from now on, as a server does by default."""
        (self.folder / "history").unlink()

    def command(self, job: Path) -> list[str]:
        return (job / "words").read_text().split("\0")[:-1]

    def environment(self, job: Path) -> dict[str, str]:
        return {"PATH": "/bin:/usr/bin", "HOME": "/", "PBS_ENVIRONMENT": "PBS_BATCH"}

    def id_of(self, job: Path) -> str:
        return f"{job.name}.pbs"


#: What the contract suite looks for.
COMMANDS = PbsCommands
