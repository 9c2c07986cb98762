"""Slurm's commands as shell scripts for a PATH. A test plans their answers, good or bad.

Tests in tests/slurm use a real cluster. These scripts test how the adapter interprets an answer, in milliseconds and
on every machine. They print the output of Slurm 22.05. A job is real: `start` starts the study's own runner.

Their state is a directory of files::

    FOLDER/answers       what the next calls of sbatch come to, one word a line; none left: "accept"
    FOLDER/queue         what squeue and sacct come to: "silent", "garbage" or "cut off"; without it, they answer
    FOLDER/limit         how many jobs a user may have in the queue; without it, there is no limit
    FOLDER/version       the version of Slurm; without it, 22.05.8
    FOLDER/calls         the commands that were called, with their arguments
    FOLDER/jobs/7/       a job: `runner.sh`, `words` (its arguments), `workspace`, `env`, `line` (as squeue shows it)
                         and `pid`, `code`, `cancelled`, `hidden` (not in the queue yet) once it has them
    FOLDER/jobs/8_0/     likewise, the first job of an array

The words for sbatch are those of `tools.testbed.scheduler`, and two more:

    garbage  the job is queued, and the answer is no id
    no array    an array is refused, as one that is too large
    full array  an array is refused, because there is no room for all of its jobs
    twice    two jobs are queued, and the answer is the id of the second
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fakes.batch_commands import BatchCommands

_HEAD = """#!/bin/sh
folder='{folder}'
echo "${{0##*/}} $*" >>"$folder/calls"
planned() {{ cat "$folder/queue" 2>/dev/null; }}
silent() {{ echo "$1: error: Unable to contact slurm controller (connect failure)" >&2; exit 1; }}

# The word for the state of the job in the directory $1.
state_of() {{
    pid=$(cat "$1/pid" 2>/dev/null)
    stat=$(cat "/proc/${{pid:-none}}/stat" 2>/dev/null)
    if [ -e "$1/code" ]; then
        [ "$(cat "$1/code")" = 0 ] && echo COMPLETED || echo FAILED
    elif [ -n "$stat" ] && [ "${{stat#*) Z}}" = "$stat" ]; then echo RUNNING
    elif [ -e "$1/cancelled" ]; then echo CANCELLED
    elif [ -n "$pid" ]; then echo NODE_FAIL
    else echo PENDING
    fi
}}
"""

_SBATCH = r"""
answer=$(head -n 1 "$folder/answers" 2>/dev/null)
[ -n "$answer" ] && sed -i 1d "$folder/answers"
if [ -e "$folder/limit" ]; then
    exec 9>"$folder/lock" && flock 9
    for job in "$folder"/jobs/*; do
        case $(state_of "$job") in PENDING | RUNNING) live=$((live + 1)) ;; esac
    done
    [ "${live:-0}" -lt "$(cat "$folder/limit")" ] || answer=full
fi
says() { echo "sbatch: error: Batch job submission failed: $1" >&2; exit 1; }

add() {
    id=$(($(ls "$folder/jobs" | sort -n | tail -n 1 | cut -d _ -f 1) + 1))
    [ -n "$indexes" ] || put "$folder/jobs/$id" "$@"
    for index in $indexes; do put "$folder/jobs/${id}_$index" "$@"; done
}
put() {
    job=$1
    shift
    mkdir "$job"
    cp "$1" "$job/runner.sh"
    printf '%s\n' "$*" >"$job/line"
    printf '%s\n' "$workspace" >"$job/workspace"
    env -0 >"$job/env"
    shift
    printf '%s\0' "$@" >"$job/words"
}

indexes=
while [ "${1#--chdir=}" = "$1" ]; do
    case $1 in
        --array=*) indexes=$(echo "${1#--array=}" | tr , '\n' | sed 's/^[0-9]*$/&-&/; s/-/ /' | xargs -n 2 seq) ;;
    esac
    shift
done
workspace=${1#--chdir=}
shift
case ${answer:-accept} in
    "no array") [ -z "$indexes" ] || says "Invalid job array specification" ;;
    "full array") [ -z "$indexes" ] || {
        echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
        says "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    } ;;
    refuse) says "Invalid partition name specified" ;;
    full) echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
        says "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" ;;
    deaf) says "Unable to contact slurm controller (connect failure)" ;;
esac
add "$@"
case $answer in
    twice) add "$@" ;;
    doubt) says "Socket timed out on send/recv operation" ;;
    late) for job in "$folder/jobs/$id" "$folder/jobs/${id}_"*; do [ ! -d "$job" ] || touch "$job/hidden"; done
        says "Socket timed out on send/recv operation" ;;
    garbage) printf 'Submitted to \377\001 the cluster\n'; exit 0 ;;
esac
echo "$id"
"""

_LIST = r"""
name=${0##*/}
case $name in squeue) header='JOBID|STATE NODELIST END_TIME|REASON|COMMAND' ;;
    *) header='JobID|State|ExitCode|End|SubmitLine' ;; esac
case "$(planned)" in
    silent) silent "$name" ;;
    garbage) printf '\377\001 welcome\n'; exit 0 ;;
    "cut off") printf '%s\n7|RUNN' "$header"; exit 0 ;;
esac
case " $* " in *" --states=CANCELLED,FAILED "*) exit 0 ;; esac  # asks which jobs were requeued: none
echo "$header"
for job in "$folder"/jobs/*; do
    [ -e "$job/line" ] && ! [ -e "$job/hidden" ] || continue
    state=$(state_of "$job") node=n1
    [ -e "$job/pid" ] || node=
    if [ "$name" = squeue ]; then
        echo "${job##*/}|$state $node N/A|None|$(cat "$job/line")"
    else
        echo "${job##*/}|$state|$(cat "$job/code" 2>/dev/null || echo 0):0|Unknown|sbatch $(cat "$job/line")"
    fi
done
"""

_SCANCEL = r"""
[ "$(planned)" = silent ] && silent scancel
for id in "$@"; do
    shift
    case $id in
        *_\[*) list=${id#*_\[}
            indexes=$(echo "${list%\]}" | tr , '\n' | sed 's/^[0-9]*$/&-&/; s/-/ /' | xargs -n 2 seq)
            for index in $indexes; do set -- "$@" "${id%%_*}_$index"; done ;;
        *) set -- "$@" "$id" ;;
    esac
done
for id in "$@"; do
    job=$folder/jobs/$id
    [ -d "$job" ] || continue  # also an option; of an unknown id, scancel --quiet says nothing
    touch "$job/cancelled"
    [ "$(state_of "$job")" = RUNNING ] && kill -s TERM -- "-$(cat "$job/pid")"
done
exit 0
"""

_SCONTROL = r"""
[ "$(planned)" = silent ] && silent scontrol
version=$(cat "$folder/version" 2>/dev/null || echo 22.05.8)
printf 'ClusterName             = fake\nSLURM_VERSION           = %s\n' "$version"
"""

_COMMANDS = {"sbatch": _SBATCH, "squeue": _LIST, "sacct": _LIST, "scancel": _SCANCEL, "scontrol": _SCONTROL}

#: A node's part: it keeps the exit code. It outlives the signal that ends the job.
_NODE = 'trap : TERM; code=$1; shift; /bin/sh "$@"; echo $? >"$code.new"; mv "$code.new" "$code"'


class SlurmCommands(BatchCommands):
    """Slurm's commands. A job gets its identity, also in an array, and its script is started by a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "bin"
        (folder / "jobs").mkdir(parents=True)
        self.path.mkdir()
        for name, text in _COMMANDS.items():
            (self.path / name).write_text(_HEAD.format(folder=folder) + text)
            (self.path / name).chmod(0o755)

    def _start(self, job: Path) -> None:
        words = (job / "words").read_text().split("\0")[:-1]
        with (job / "out").open("ab") as out:
            started = subprocess.Popen(
                ["/bin/sh", "-c", _NODE, "node", str(job / "code"), str(job / "runner.sh"), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=(job / "workspace").read_text().rstrip("\n"),
                env={**self.environment(job), **_identity(job.name)},
                start_new_session=True,
            )
        (job / "pid").write_text(str(started.pid))
        started.returncode = 0  # nobody waits for it: the file says how it ended


def _identity(job_id: str) -> dict[str, str]:
    """Return the variables by which a job knows its id. A job of an array has another one, too."""
    array, _, index = job_id.partition("_")
    more = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": index, "SLURM_ARRAY_TASK_COUNT": "2"}
    return {"SLURM_JOB_ID": f"9{array}{index}" if index else array, **(more if index else {})}


#: What the contract suite looks for.
COMMANDS = SlurmCommands
