"""Agents: one process on each node of a job, which starts runners there.

An agent is a few lines of shell. The scheduler starts it on its node, beside the steps of the job. A driver writes
lines to its standard input. What an agent prints is only a hint: claims and reports are the evidence. If the driver
dies, the agent reads the end of its input, starts nothing more, and ends after its last runner.

`maestro_es.adapters.inside` decides what the agents start, and when.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence

from maestro_es.adapters.spawner import spawn_piped
from maestro_es.core.environment import Environment

#: The arguments of the agent are its name, the study's runner, the job, the node, the inbox, and the names of the GPUs
#: on this node, if they are known. PREAMBLE is the scheduler's part. It sets `step` and defines `end_jobs`, which ends
#: what launchers have started under a name. A trap that does nothing keeps TERM from ending the agent; its runners get
#: the signal, too. Without cgroups, runners survive an agent that was killed. The node's next agent ends them. That
#: agent leaves alone what agents of other nodes have started on this node, such as tasks of a step on several nodes.
#: If the scheduler's process is killed while runners run, the agent tells them to end. If a runner exits with 1, it
#: has ended its step by force. If a runner is killed, the agent ends the processes of its step, and reports that the
#: runner is lost. A line gives the GPUs of a step as numbers from 0 on. A node that lacks the file system of the study
#: can't run its steps, so an agent there is never ready.
_AGENT = r"""
trap : TERM
name=$1 runner=$2 job=$3 node=$4 inbox=$5 devices=${6:-${CUDA_VISIBLE_DEVICES:-${ROCR_VISIBLE_DEVICES-}}}
host=$(uname -n) place=$job/$node
PREAMBLE
exec 2>/dev/null
shell=
[ ! -x /bin/bash ] || shell='/bin/bash --posix'
value_of() { tr '\0' '\n' <"$2" | sed -n "s/^$1=//p"; }
left=
for file in $(grep -alF "MAESTRO_ES_AGENT=$place/" /proc/[0-9]*/environ); do
    other=$(value_of MAESTRO_ES_AGENT "$file") token=$(value_of MAESTRO_ES_TOKEN "$file")
    case $other in "$place/"*) other=${other#"$place/"} ;; *) continue ;; esac
    grep -aqF "agent:$job/${other%/*}" "/proc/${other##*/}/cmdline" && continue
    kill -KILL "$(basename "${file%/environ}")"
    case " $left " in *" $token "*) ;; *) left="$left $token" ;; esac
done
for token in $left; do end_jobs "$token"; done
MAESTRO_ES_AGENT=$place/$name/$$
export MAESTRO_ES_AGENT
visible() {
    list=
    for index in $(echo "$1" | tr , ' '); do
        device=$(echo "$devices," | cut -d , -f "$((index + 1))")
        list=$list${list:+,}${device:-$index}
    done
    echo "$list"
}
is_orphan() { # whether the parent is gone, which is the scheduler's process
    read -r stat <"/proc/$$/stat" && set -- ${stat##*) } && [ "$2" != "$PPID" ]
}
started=
[ -r "$runner" ] || { echo "$runner can't be read there"; exit 1; }
echo "ready $step $host"
tab='	'
while IFS=$tab read -r verb token workspace script study seconds output gpus options; do
    case $verb in
    start)
        (
            trap : TERM
            MAESTRO_ES_LAUNCHER="$options --job-name=$token"
            export MAESTRO_ES_LAUNCHER
            if [ "$gpus" != - ]; then
                CUDA_VISIBLE_DEVICES=$(visible "$gpus")
                ROCR_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES
                export CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
            fi
            $shell "$runner" "$token" "$workspace" "$script" "$study" "$seconds" "$output" "$host" "$name" '' \
                "${job%%+*}.$step"
            code=$?
            [ "$code" = 0 ] || end_jobs "$token"
            [ "$code" -le 128 ] || {
                for file in $(grep -alF "MAESTRO_ES_TOKEN=$token" /proc/[0-9]*/environ); do
                    kill -KILL "$(basename "${file%/environ}")"
                done
                printf '' >"$inbox/$token.lost"
                echo "lost $token"
            }
        ) </dev/null &
        started="$started $!"
        jobs >/dev/null
        ;;
    end)
        for file in $(grep -alF -e "$token" /proc/[0-9]*/cmdline); do
            kill -TERM "$(basename "${file%/cmdline}")"
        done
        ;;
    esac
done
for pid in $started; do
    while jobs >/dev/null && kill -0 "$pid"; do
        ! is_orphan || kill -TERM $(grep -alF "$name" /proc/[0-9]*/cmdline | cut -d / -f 3)
        sleep 1
    done
done
"""

#: How long a new agent may take until it is ready, in seconds.
_READY_SECONDS = 30.0

#: The pause between two checks of an agent that is not ready, in seconds. Output of the agent ends the pause.
_LOOK_SECONDS = 0.25

_READ = 65536


class Agent:
    """The agent of one node, with the `arguments` of `_AGENT`. OSError if its `starter` can't be started.

    `step` is the number of its job step, and `host` the name of the node as its processes see it. Both are empty until
    the agent is ready. `problem` is the last line that the agent printed before it was ready. Its `name` is unique.
    """

    def __init__(
        self, starter: Sequence[str], preamble: str, arguments: Sequence[str], env: Mapping[str, str],
        inherited: Environment,
    ) -> None:  # fmt: skip
        self.name, _, job, *_ = arguments
        self.environment = inherited
        self.step = self.host = self.problem = ""
        self.is_alive = True
        self._read = b""
        self._deadline = time.monotonic() + _READY_SECONDS
        script = _AGENT.replace("PREAMBLE", preamble.strip())
        argv = [*starter, "/bin/sh", "-c", script, f"agent:{job}/{self.name}", *arguments]
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
        """Return the output of the agent since the last call. If the agent has ended, it is closed."""
        try:
            while chunk := os.read(self.output, _READ):
                self._read += chunk
            self.close()
        except BlockingIOError:
            pass
        *whole, self._read = self._read.split(b"\n")
        lines = [line.decode(errors="replace") for line in whole]
        for line in lines:
            fields = line.split()
            if fields[:1] == ["ready"] and len(fields) == len(("ready", "step", "host")):
                self.step, self.host = fields[1:]
            elif not self.step and fields:
                self.problem = " ".join(fields)
        return lines

    def wait_until_ready(self, must_stop: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the agent is ready, its time is up, or this process must stop. Returns whether it is ready.

        The signal that stops this process may arrive at any moment of the wait.
        """
        while self.is_alive and not self.step and time.monotonic() < self._deadline and not must_stop():
            select.select([self.output], [], [], _LOOK_SECONDS)
            self.lines()
        return bool(self.step)

    def close(self) -> None:
        """Close the agent's input, so that the agent starts nothing more and ends after its last runner."""
        if self.is_alive:
            self.is_alive = False
            os.close(self._input)
            os.close(self.output)
