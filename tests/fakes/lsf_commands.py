"""LSF's commands as shell scripts for a PATH. A test plans their answers, good or bad.

They print what IBM's documentation of LSF 10.1 and volclava 2.2 have. See `tests.fakes.batch_commands` for how they
keep their state.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.fakes.batch_commands import BatchCommands

_BSUB = r"""
says() { echo "$1 Job not submitted." >&2; exit 255; }
while [ $# -gt 1 ]; do
    case $1 in -cwd) workspace=$2 ;; esac
    case $1 in -rn | -x) shift ;; *) shift 2 ;; esac
done
case ${answer:-accept} in
    refuse) says "nope: No such queue." ;;
    full) says "User <you>: Pending job threshold reached. Retrying in 60 seconds..." ;;
    deaf) says "Connection refused by server." ;;
esac
add "$1"
case $answer in
    twice) add "$1" ;;
    doubt) says "Failed in an LSF library call: Communication time out." ;;
    late) touch "$job/hidden"; says "Failed in an LSF library call: Communication time out." ;;
    garbage) printf 'LSF is processing your request. \377\001\n'; exit 0 ;;
esac
echo "Project 7 pays for 12 jobs"
echo "Job <$id> is submitted to queue <q>."
"""

_BJOBS = r"""
case "$(planned)" in
    silent) echo '{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}'  # as volclava does, with the error
        echo "Failed in an LSF library call: Communication time out" >&2; exit 255 ;;
    garbage) printf '\377\001 welcome\n'; exit 0 ;;
    "cut off") printf '{"COMMAND":"bjobs","JOBS":2,"RECORDS":[{"JOBID":"7","STAT":"RU'; exit 0 ;;
esac
old=$(cat "$folder/old" 2>/dev/null)
case " $* " in
    *" -json "*) [ -z "$old" ] || { echo "<COMMAND> in the format string is not a valid field name." >&2; exit 99; } ;;
esac
[ -z "$old" ] || [ -n "$(ls "$folder/jobs")" ] || { echo "No job found" >&2; exit 255; }
records= jobs=0
for job in "$folder"/jobs/*; do
    [ -e "$job/line" ] && ! [ -e "$job/hidden" ] || continue
    reason=- code=- stat=
    case $(state_of "$job") in
        PENDING) stat=PEND ;; RUNNING) stat=RUN ;; COMPLETED) stat=DONE ;;
        FAILED) stat=EXIT code=$(cat "$job/code") ;;
        CANCELLED) stat=EXIT reason="TERM_OWNER: job killed by owner" ;;
        *) stat=EXIT ;;
    esac
    [ ! -e "$job/cancelled" ] || [ "$stat" != EXIT ] || reason="TERM_OWNER: job killed by owner"
    if [ -n "$old" ]; then
        echo "Job <${job##*/}>, Job Name <s>, User <you>, Status <$stat>, Queue <q>, Command <$(cat "$job/line")>"
        case $stat in
            EXIT) case $code in -) echo "now: Exited" ;; *) echo "now: Exited with exit code $code. CPU time" ;; esac
                case $reason in -) ;; *) echo "now: $reason." ;; esac ;;
        esac
        echo
        continue
    fi
    line=$(sed 's/\\/\\\\/g; s/"/\\"/g' "$job/line")
    records="$records${records:+,}{\"JOBID\":\"${job##*/}\",\"STAT\":\"$stat\",\"EXIT_CODE\":\"$code\",
        \"EXIT_REASON\":\"$reason\",\"JOB_NAME\":\"s\",\"COMMAND\":\"$line\"}"
    jobs=$((jobs + 1))
done
[ -n "$old" ] || printf '{"COMMAND":"bjobs","JOBS":%s,"RECORDS":[%s]}\n' "$jobs" "$records"
"""

_BKILL = r"""
[ "$(planned)" = silent ] && { echo "LSF is down. Please wait..." >&2; exit 255; }
result=0
for id in "$@"; do
    job=$folder/jobs/$id
    [ -d "$job" ] || { echo "Job <$id>: No matching job found" >&2; result=255; continue; }
    case $(state_of "$job") in
        RUNNING | PENDING) echo "Job <$id> is being terminated" ;;
        *) echo "Job <$id>: Job has already finished" >&2; result=255; continue ;;
    esac
    touch "$job/cancelled"
    pid=$(cat "$job/pid" 2>/dev/null) || continue
    kill -s TERM -- "-$pid"
done
exit "$result"
"""

_LSID = r"""
[ "$(planned)" = silent ] && { echo "ls_getclustername(): Communication time out" >&2; exit 255; }
printf 'IBM Spectrum LSF Standard 10.1.0.0, Jul 08 2016\n\nMy cluster name is fake\nMy master name is n1\n'
"""


class LsfCommands(BatchCommands):
    """The commands of LSF. A job's command is a line for a shell."""

    commands: ClassVar = {"bsub": _BSUB, "bjobs": _BJOBS, "bkill": _BKILL, "lsid": _LSID}
    submits = ("bsub",)
    job_variable = "LSB_JOBID"

    def be_old(self) -> None:
        """Answer as LSF before 10.1.0.2, whose bjobs prints no JSON."""
        (self.folder / "old").write_text("yes")

    def command(self, job: Path) -> list[str]:
        return ["/bin/sh", "-c", (job / "line").read_text().rstrip("\n")]


#: What the contract suite looks for.
COMMANDS = LsfCommands
