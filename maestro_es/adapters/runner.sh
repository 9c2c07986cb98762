#!/bin/sh
# Runs one step of a study, at most once for its token, and reports how it ended. POSIX sh; needs ln and readlink.
#
#   runner.sh TOKEN WORKSPACE SCRIPT STUDY [SECONDS OUTPUT HOST BOOT [AROUND]]
#   runner.sh TOKEN WORKSPACE SCRIPT STUDY SECONDS OUTPUT HOST AGENT '' JOB
#   runner.sh ARRAY array STUDY ID INDEX JOBNAME [VARIABLE...]
#
# SCRIPT is relative to the workspace and contains a slash, or it is absolute. The optional arguments are for a local
# step. SECONDS is its walltime (0: none), which the runner enforces. The names of its output files begin with OUTPUT.
# HOST and BOOT are the host and its boot id. If the runner is inside a job, AROUND is a command that succeeds while
# that job runs. For a scheduled step, the scheduler does all this.
#
# The second form runs a step inside an allocation. An agent of the allocation starts it. JOB is the id of the agent's
# job step, and AGENT is the agent's name. The runner makes the claim itself and enforces the walltime.
#
# The last form runs one element of the job array ARRAY. ID and INDEX are the variables with the id of the array and
# the index of the element. The map of the array (see array_map.py) then gives TOKEN, WORKSPACE, SCRIPT, and the name
# of the job and its output files, which are opened once the step may start. The variable JOBNAME gets this name. The
# step gets neither ID nor INDEX nor the other VARIABLEs, so it runs as in a job of its own.
#
# The claim ensures that a token starts only once. A scheduled runner creates it. For a local runner, the tick creates
# it, because it knows the runner's process id and is much faster than ln. Then it writes "go" to the runner's standard
# input. If the tick dies before that, the runner reads the end of its input, and exits without starting the step.
#
# A report is an empty file in the study's inbox. Its name is its content, so it is complete as soon as it exists:
#   TOKEN.started  TOKEN.exit.CODE  TOKEN.stopped.CODE  TOKEN.timeout  TOKEN.used.CPU-MEMORY-WALLTIME
#   TOKEN.refused.JOB  TOKEN.unclaimed  TOKEN.dropped  ARRAY.unindexed  TOKEN.lost (by an agent)
# The runner uses a relative path from the workspace to the inbox if there is one. So the study may be moved while the
# step runs.
#
# A local step has its own process group, in the session of the runner if the shell supports that (set -m). Debian's
# dash does not without a terminal. So a tick starts this script with /bin/bash if there is one. Otherwise a dash becomes
# bash, or setsid(1) gives the step its own session.
token=$1 workspace=$2 script=$3 study=$4 limit=${5:-0} output=${6-} host=${7-} boot=${8-} around=${9-} inside=${10-}
array= job=$inside outputs=
[ "$workspace" != array ] || array=$token study=$3 limit=0 output= around= job= inside=
[ -z "$inside" ] || outputs=$output
state=$study/.maestro-es near= group=
kill_wait=10
try_again=75 # maestro_es.errors.EXIT_TRY_AGAIN: the step was not started
moment=1 # seconds: a signal to all processes may reach the runner this much later than the step
job_variables='' # variables that may contain the id of a job: `study/maintenance.py` fills in these two lists
stop_signals='' # signals by which the scheduler tells a job to end
others='HUP INT QUIT USR1 USR2 ALRM URG' # signals that are passed on to the step, as with sbatch --signal=B:USR1@60

report() {
    for pause in 0 1 2 4 8; do
        [ "$pause" = 0 ] || sleep "$pause"
        for place in $near "$state"; do
            { printf '' >"$place/inbox/$token.$1"; } 2>/dev/null && return
        done
    done
}
look_back() { # find the relative path from the workspace to the study, unless the workspace is a link to another place
    rest=${workspace#"$study"/}
    [ "$rest" != "$workspace" ] || return
    near=../.maestro-es
    while [ "$rest" != "${rest#*/}" ]; do near=../$near rest=${rest#*/}; done
    [ "$near" -ef "$state" ] || near=
} 2>/dev/null
become_bash() {
    if [ -n "${BASH_ENV-}" ]; then # bash would read that file; the step gets the variable back
        MAESTRO_ES_KEPT="${MAESTRO_ES_KEPT-} BASH_ENV" MAESTRO_ES_KEPT_BASH_ENV=$BASH_ENV
        export MAESTRO_ES_KEPT MAESTRO_ES_KEPT_BASH_ENV
        unset BASH_ENV
    fi
    exec bash "$0" "$@"
}
tab='	'
find_element() { # find_element ID INDEX JOBNAME [VARIABLE...]: become the element of the array that this job is, or exit
    eval "job=\${$1-} index=\${$2-}"
    job_name=$3
    unset "$@"
    case $index in '' | *[!0-9]* | 0?*) job= ;; esac
    line=
    [ -z "$job" ] || line=$(sed -n "$((index + 1)){p;q;}" "$state/arrays/$array" 2>/dev/null)
    set -f
    IFS=$tab
    set -- $line
    unset IFS
    set +f
    if [ -z "$job" ] || [ "${1-}" != "$index" ] || [ "${6-}" != end ]; then
        report unindexed
        exit "$try_again"
    fi
    job=${job}_$index token=$2 workspace=$3 script=$4 outputs=$5
    export "$job_name=$outputs"
}
can_write() { # whether a step can open its output files; otherwise it does not start, as in a job of its own
    [ -z "$outputs" ] || { printf '' >>"$outputs.out" && printf '' >>"$outputs.err"; }
}
# A user may export BASH_VERSION, and dash has no such option.
[ -z "${BASH_VERSION-}" ] || command set -o posix 2>/dev/null

# -- the claim: the first runner creates it, once for a token; it names the job, the host, its boot and this start ----
go=
if [ -n "$output" ]; then
    { set -m; } 2>/dev/null
    case $- in
        *m*) set +m; group='set -m' ;;
        *)
            [ -n "${BASH_VERSION-}" ] || ! command -v bash >/dev/null || become_bash "$@"
            ! command -v setsid >/dev/null || group=setsid
            ;;
    esac
fi
if [ -n "$output" ] && [ -z "$inside" ]; then
    read -r go
    [ "$go" = go ] || { report dropped; exit "$try_again"; }
    cd "$workspace" || { report dropped; exit "$try_again"; }
else
    # The study may have been moved. Then a tick that was slow may have created this workspace again, without its claims.
    [ -d "$state" ] || exit "$try_again"
    # This may be a job of an earlier study in this directory. It would find neither its claim nor its script here.
    for mark in "$state"/study.*; do
        [ ! -e "$mark" ] || [ "$mark" = "$state/study.${token%%-*}" ] || exit "$try_again"
    done
    [ -z "$array" ] || { shift 3 && find_element "$@"; }
    for name in $job_variables; do
        [ -n "$job" ] || eval "job=\${$name-}"
    done
    job=${job:-$$}
    if [ -z "$inside" ]; then
        host=$(uname -n)
        boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid)
    fi
    # A requeued job can get the same process id again within a second. In a container it usually does.
    { read -r nonce </proc/sys/kernel/random/uuid; } 2>/dev/null || nonce=$$.$(date +%s)
    owner="$job $host $boot $nonce${SLURM_JOB_START_TIME:+ $SLURM_JOB_START_TIME}"
    if ! { cd "$workspace" && can_write && ln -s "$owner" ".claim.$token"; } 2>/dev/null; then
        case $(readlink ".claim.$token" 2>/dev/null) in
            "$owner") ;; # the file system sent our own call twice
            "") report unclaimed; exit "$try_again" ;;
            *) report "refused.$job"; exit "$try_again" ;;
        esac
    fi
fi
look_back
case $script in /*) ;; *) script=$workspace/${script#./} ;; esac

# -- the step -------------------------------------------------------------------------------------------------------
child= early= stopped= timed_out= signalled= watchdog= escalation= over=

become_step() { # become_step COMMAND...: run the step in this subshell, by COMMAND if any, in the study's environment
    set +m
    [ -z "${MAESTRO_ES_LIMITS-}" ] || raise_limits
    [ -z "${MAESTRO_ES_UMASK-}" ] || umask "$MAESTRO_ES_UMASK" # not every scheduler passes it on
    [ "$group" != setsid ] || set -- setsid "$@"
    MAESTRO_ES_TOKEN=$token
    export MAESTRO_ES_TOKEN
    [ "${MAESTRO_ES_NICE:-0}" -le 0 ] || set -- "$@" nice -n $((MAESTRO_ES_NICE - $(nice)))
    [ -z "${MAESTRO_ES_FUNCTION_1-}" ] || set -- "$@" env
    # Other shells drop bash's exported functions and options. So they have been passed in variables with other names,
    # and env sets them.
    MAESTRO_ES_N=1
    while eval "[ -n \"\${MAESTRO_ES_FUNCTION_$MAESTRO_ES_N-}\" ]"; do
        eval "set -- \"\$@\" \"\$MAESTRO_ES_FUNCTION_$MAESTRO_ES_N\""
        unset "MAESTRO_ES_FUNCTION_$MAESTRO_ES_N"
        MAESTRO_ES_N=$((MAESTRO_ES_N + 1))
    done
    case $script in *=*) [ "$#" -eq 0 ] || set -- "$@" nice -n 0 ;; esac # env would take the script for a variable
    set -- "$@" "$script"
    # The user's variables that have the same names as variables of this script.
    for MAESTRO_ES_N in ${MAESTRO_ES_KEPT-}; do
        eval "$MAESTRO_ES_N=\$MAESTRO_ES_KEPT_$MAESTRO_ES_N"
        export "${MAESTRO_ES_N?}"
        unset "MAESTRO_ES_KEPT_$MAESTRO_ES_N"
    done
    unset MAESTRO_ES_N MAESTRO_ES_KEPT MAESTRO_ES_LIMITS MAESTRO_ES_NICE MAESTRO_ES_UMASK OLDPWD
    [ -z "${BASH_VERSION-}" ] || command set +o posix # an exported SHELLOPTS would include it
    exec "$@"
}
raise_limits() { # on a node, because the scheduler may not pass limits on; limits are never lowered
    for MAESTRO_ES_N in $MAESTRO_ES_LIMITS; do
        raise_limit "${MAESTRO_ES_N%%:*}" "${MAESTRO_ES_N#*:}"
    done 2>/dev/null
}
raise_limit() { # raise_limit LETTER VALUE: raise a soft limit, at most to the hard limit
    now=$(ulimit -S "-$1") || { [ "$1" = u ] && now=$(ulimit -S -p) && set -- p "$2"; } || return # dash: -p
    [ "$now" != unlimited ] || return
    [ "$2" = unlimited ] || [ "$2" -gt "$now" ] || return
    ulimit -S "-$1" "$2" || ulimit -S "-$1" "$(ulimit -H "-$1")"
}

after() { # after SECONDS COMMAND...: run a command later; USR2 ends this, the TERM for the step's group does not
    nap=
    trap '' TERM
    trap 'over=1; [ -z "$nap" ] || kill -KILL "$nap"' USR2
    sleep "$1" &
    nap=$!
    [ -z "$over" ] || kill -KILL "$nap"
    shift
    wait "$nap"
    [ -n "$over" ] || "$@"
} 2>/dev/null
pass_on() {
    signalled=1
    if [ -z "$child" ]; then early="$early $1"; elif [ -z "$over" ]; then kill -"$1" "$child" 2>/dev/null; fi
}
on_stop() { stopped=${stopped:-$1}; pass_on "$1"; } # how long the step may take is for its scheduler to decide
end_step() { # end all processes of a local step
    # Do this once, and ignore TERM from here on. A second TERM kills a shell that is leaving its trap, and bash may
    # forget an exit code if a signal interrupts its wait.
    trap '' TERM # before the escalation starts, which must not end with the group
    [ -n "$escalation" ] || {
        signal_step TERM
        escalate &
        escalation=$!
    }
}
escalate() { # in the background, because bash forgets the exit code of a step that ends while a trap waits for grep
    trap '' TERM
    trap 'over=1' USR2
    signal_carriers TERM
    [ -n "$over" ] || after "$kill_wait" signal_step KILL
}
signal_step() { # signal its process group; KILL is also sent to other processes with the token in their environment
    signal=$1 signalled_group=$child
    if [ -n "$group" ]; then
        kill -"$signal" "-$child" || kill -"$signal" "$child" # it has no group yet
    elif [ "$signal" = TERM ]; then
        kill -TERM 0
        signalled_group=$$
    else
        kill -"$signal" "$child"
        signalled_group=
    fi
    [ "$signal" = TERM ] || signal_carriers "$signal"
} 2>/dev/null
signal_carriers() { # signal processes with the token in their environment, except the group that was already signalled
    signal=$1
    for place in $(grep -lF "MAESTRO_ES_TOKEN=$token" /proc/[0-9]*/environ); do
        place=${place%/environ}
        read -r stat <"$place/stat" || continue
        set -- ${stat##*) } # state, parent, process group ...: see proc(5)
        [ "$3" = "$signalled_group" ] || kill -"$signal" "${place#/proc/}"
    done
} 2>/dev/null
on_term() { signalled=1 stopped=1; [ -z "$child" ] || [ -n "$over" ] || end_step; }
on_limit() { [ -n "$over" ] || { signalled=1 timed_out=1 watchdog=; end_step; }; }
end_helpers() { # no helper process may remain when the report exists
    for helper in $watchdog $escalation; do
        kill -USR2 "$helper"
        wait "$helper"
    done
    watchdog= escalation=
} 2>/dev/null

trap on_term TERM # before the step starts: earlier signals are passed on to it later
if [ -z "$output" ]; then
    for name in $others; do trap "pass_on $name" "$name"; done
    for name in TERM $stop_signals; do trap "on_stop $name" "$name"; done
fi
[ "$group" != 'set -m' ] || set -m
if [ -n "$inside" ]; then
    (become_step) </dev/null >>"$outputs.out" 2>>"$outputs.err" &
elif [ -n "$output" ]; then
    (become_step) </dev/null >"$output.$$.out" 2>"$output.$$.err" &
else
    report started
    # Background processes of a shell ignore INT and QUIT. In dash, only env can undo that.
    env --default-signal=INT,QUIT true 2>/dev/null && undo='env --default-signal=INT,QUIT' || undo=
    if [ -n "$array" ]; then
        (trap - INT QUIT && become_step $undo) >>"$outputs.out" 2>>"$outputs.err" &
    else
        (trap - INT QUIT && become_step $undo) &
    fi
fi
child=$!
set +m
if [ -n "$signalled" ]; then
    sleep 1 # so that the signal reaches the step, not the shell that will become the step
    [ -z "$stopped" ] || [ -z "$output" ] || end_step
    for name in $early; do pass_on "$name"; done
    # A scheduler signals all processes of a job. Not every scheduler ends those that were started after the signal.
    [ -z "$stopped" ] || [ -n "$output" ] || signal_carriers "$stopped"
fi
if [ "$limit" -gt 0 ]; then
    trap on_limit USR1
    after "$limit" kill -USR1 $$ &
    watchdog=$!
fi
wait "$child"
code=$?
# A signal may end the wait while the step still runs. If the step ends at the same moment, bash may miss that. It would
# then wait for the step as long as any helper runs. So bash does not wait for a step that is gone while helpers run.
while kill -0 "$child"; do
    wait "$child"
    again=$?
    case $again in -* | 127) break ;; esac
    code=$again
done 2>/dev/null
over=1
[ -z "$escalation" ] || signal_carriers TERM # the escalation may end before it has signalled them
end_helpers
if [ -n "$signalled" ]; then
    trap '' $others # another signal would end this wait, too
    wait "$child" 2>/dev/null # a signal may have ended the earlier wait although the step had ended
    again=$?
    case $again in
        -*) stopped=1 ;; # its exit code is lost, and $code is the signal's: the step has not failed
        127) ;; # the earlier wait has collected it
        *) code=$again ;;
    esac
fi
case $code in -*) code=143 ;; esac
if [ -n "$output" ] && [ "$code" -ne 0 ] && [ -z "$stopped$timed_out" ]; then
    # A host that shuts down, or an allocation that ends, signals all processes. The step may get the signal before us.
    { over= && after "$moment" :; } &
    watchdog=$!
    wait "$watchdog"
fi
trap : TERM $others # from here on, signals are too late
end_helpers

# -- the report, and the next tick ----------------------------------------------------------------------------------
if [ -n "$timed_out" ]; then
    report timeout
elif [ -n "$stopped" ] && { [ "$code" -ne 0 ] || [ -z "$output" ]; }; then # the scheduler reports a timeout
    report "stopped.$code"
else
    report "exit.$code"
fi
is_waited_for() { # whether a tick waits for the lock and will see our report; its process id alone does not prove that
    [ -f "$state/waiting" ] || return # a pipe would block us
    if [ -n "${BASH_VERSION-}" ]; then
        read -r -n 300 waiting <"$state/waiting" || : # without a process
    else
        waiting=$(head -c 300 "$state/waiting") # unlike `read`, it is fast with a large file
    fi
    waiting_pid=${waiting#"$host "}
    [ "$waiting" = "$host $waiting_pid" ] || return
    for place in "/proc/$waiting_pid/fd/"*; do
        [ ! "$place" -ef "$state/waiter.lock" ] || return 0
    done
    return 1
} 2>/dev/null
may_tick() { # whether the surrounding job, if any, still runs: a tick and the steps that it starts would end with it
    [ -z "$around" ] || { [ -z "$stopped" ] && eval "$around"; }
} 2>/dev/null
if [ -n "$near" ] && ! [ "$near" -ef "$state" ] && [ -d "$near" ]; then state=$near; fi # the study was moved
if [ -n "$inside" ]; then
    echo "ended $token" 2>/dev/null # a hint for the driver
    code=0 # for the agent: 1 means that the step was ended by force, and above 128 that the runner was killed
    [ -z "$timed_out$stopped" ] || code=1
    stopped=
elif [ -n "$output" ] && [ -x "$state/next-tick" ]; then
    # One waiting tick is enough. But after a forced end, a tick must also see that this runner is gone.
    next= waited=
    ! is_waited_for || waited=$waiting_pid
    if [ -z "$waited" ] || [ -n "$timed_out$stopped" ] || [ "$code" -gt 128 ]; then ! may_tick || next=next; fi
    if [ "$waited" != "$PPID" ]; then # a parent that waits for us learns from the system what the step used
        cd -P . # bash's exec would look for a relative path in the place from which the study was moved
        exec "$state/next-tick" used "$state/inbox/$token.used" "$limit" $next </dev/null >/dev/null 2>&1
    fi
    if [ -n "$next" ]; then "$state/next-tick" </dev/null >/dev/null 2>&1 & fi # with ||, the shell would always fork
fi
# Some versions of LSF know only the exit code. It must show which signal has told the step to end, even if the step has
# saved its work then.
case $stopped in HUP) code=129 ;; INT) code=130 ;; QUIT) code=131 ;; USR1) code=138 ;; USR2) code=140 ;; ALRM) code=142 ;; esac
exit "$code"
