"""Agents: one process on each node of a job, which starts runners there.

An agent is a few lines of shell, started by ``srun --overlap``. A driver writes lines to its standard input. A line
costs a thirtieth of an srun (22.05). What an agent prints is only a hint: claims and reports are the evidence. If the
driver dies, the agent reads the end of its input, starts nothing more, and ends after its last runner.

`maestro_es.adapters.slurm.inside` decides what the agents start, and when.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence

from maestro_es.adapters.process import spawn_piped
from maestro_es.core.environment import Environment

#: The arguments of the agent are its name, the study's runner, the job, its nodes, and the inbox. A trap that does
#: nothing keeps TERM from ending the agent; its runners get the signal, too. Options of the agent's own srun must not
#: reach the srun of a step, and the agent's srun has set SLURM_JOB_NODELIST to the agent's node. Without cgroups,
#: runners survive an agent that was killed (proctrack/linuxproc). The node's next agent ends them. It spares processes
#: that agents of other nodes have started on this node, such as tasks of a step on several nodes. If a runner is
#: killed, the agent ends the processes of its step, and reports that the runner is lost.
_AGENT = r"""
trap : TERM
name=$1 runner=$2 job=$3 inbox=$5
SLURM_JOB_NODELIST=$4
shell=
[ ! -x /bin/bash ] || shell='/bin/bash --posix'
host=$(uname -n)
place=$job/${SLURMD_NODENAME:-$host}
for file in $(grep -alF "MAESTRO_ES_AGENT=$place/" /proc/[0-9]*/environ 2>/dev/null); do
    other=$(tr '\0' '\n' 2>/dev/null <"$file" | sed -n 's/^MAESTRO_ES_AGENT=//p')
    case $other in "$place/"*) other=${other#"$place/"} ;; *) continue ;; esac
    grep -aqF "agent:$job/${other%/*}" "/proc/${other##*/}/cmdline" 2>/dev/null ||
        kill -KILL "$(basename "${file%/environ}")" 2>/dev/null
done
MAESTRO_ES_AGENT=$place/$name/$$
export MAESTRO_ES_AGENT
unset SLURM_NTASKS SLURM_NPROCS SLURM_NNODES SLURM_JOB_NUM_NODES SLURM_CPUS_PER_TASK SLURM_MEM_PER_NODE
unset SLURM_MEM_PER_CPU SLURM_NODELIST SLURM_DISTRIBUTION SLURM_OVERLAP SLURM_WHOLE SLURM_TASKS_PER_NODE
echo "ready $SLURM_STEP_ID $host"
tab='	'
while IFS=$tab read -r verb token workspace script study seconds output gpus options; do
    case $verb in
    start)
        (
            trap : TERM
            MAESTRO_ES_SRUN=$options
            export MAESTRO_ES_SRUN
            if [ "$gpus" != - ]; then
                CUDA_VISIBLE_DEVICES=$gpus ROCR_VISIBLE_DEVICES=$gpus
                export CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
            fi
            $shell "$runner" "$token" "$workspace" "$script" "$study" "$seconds" "$output" "$host" "$name" '' \
                "$job.$SLURM_STEP_ID"
            [ $? -le 128 ] || {
                for file in $(grep -alF "MAESTRO_ES_TOKEN=$token" /proc/[0-9]*/environ 2>/dev/null); do
                    kill -KILL "$(basename "${file%/environ}")" 2>/dev/null
                done
                printf '' >"$inbox/$token.lost"
                echo "lost $token"
            }
        ) </dev/null &
        jobs >/dev/null 2>&1
        ;;
    end)
        for file in $(grep -alF -e "$token" /proc/[0-9]*/cmdline 2>/dev/null); do
            kill -TERM "$(basename "${file%/cmdline}")"
        done 2>/dev/null
        ;;
    esac
done
until wait; do :; done
"""

#: How long a new agent may take until it is ready, in seconds.
_READY_SECONDS = 30.0

_READ = 65536


class Agent:
    """The agent of one node, with the `arguments` of `_AGENT`. OSError if its srun can't be started.

    `step` is the number of its job step, and `host` the name of the node as its processes see it. Both are empty until
    the agent is ready. Its `name` is unique.
    """

    def __init__(
        self, srun: Sequence[str], arguments: Sequence[str], env: Mapping[str, str], inherited: Environment
    ) -> None:
        self.name, _, job, *_ = arguments
        self.environment = inherited
        self.step = self.host = ""
        self.is_alive = True
        self._read = b""
        argv = [*srun, "/bin/sh", "-c", _AGENT, f"agent:{job}/{self.name}", *arguments]
        self.pid, self._input, self.output = spawn_piped(argv, env, inherited)
        os.set_blocking(self.output, False)

    def send(self, *fields: str) -> bool:
        """Write a line. Returns whether the agent may get it. A field must not contain a tab or a line break."""
        if not self.is_alive:
            return False
        try:
            os.write(self._input, ("\t".join(fields) + "\n").encode(errors="surrogateescape"))
        except OSError:
            self.close()
        return self.is_alive

    def lines(self) -> list[str]:
        """Return what it has printed since the last call. If it has ended, it is closed."""
        try:
            while chunk := os.read(self.output, _READ):
                self._read += chunk
            self.close()
        except BlockingIOError:
            pass
        *whole, self._read = self._read.split(b"\n")
        lines = [line.decode(errors="replace") for line in whole]
        for fields in (line.split() for line in lines):
            if fields[:1] == ["ready"] and len(fields) == len(("ready", "step", "host")):
                self.step, self.host = fields[1:]
        return lines

    def wait_until_ready(self) -> bool:
        """Wait until it is ready. Returns whether it is."""
        end = time.monotonic() + _READY_SECONDS
        while self.is_alive and not self.step and (left := end - time.monotonic()) > 0:
            select.select([self.output], [], [], left)
            self.lines()
        return bool(self.step)

    def close(self) -> None:
        """Close its input, so that it starts nothing more and ends after its last runner."""
        if self.is_alive:
            self.is_alive = False
            os.close(self._input)
            os.close(self.output)
