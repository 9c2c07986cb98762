#!/bin/sh
# Runs one step of a study, at most once for its token, and reports how it ended. POSIX sh; needs ln and readlink.
#
#   runner.sh TOKEN WORKSPACE SCRIPT STUDY [SECONDS OUTPUT HOST BOOT [AROUND]]
#
# SCRIPT is a path from the workspace, so it holds a slash. The others are given for a local step: its walltime
# (0: none), which the runner enforces; the beginning of the names of its output files; the host and its boot id; and,
# if we are in a job, a command that succeeds while that job goes on. Everything else is the scheduler's business.
#
# The claim is what lets a token start only once. A scheduled runner makes it. For a local one the poller does, which
# knows its process id and is much faster than ln, and then says "go" on standard input; if it dies before that, the
# runner reads the end of its input, and drops out.
#
# A report is an empty file in the study's inbox whose name says it all, so it is whole the moment it is there:
#   TOKEN.started  TOKEN.exit.CODE  TOKEN.stopped.CODE  TOKEN.timeout
#   TOKEN.refused.JOB  TOKEN.unclaimed  TOKEN.dropped
# It is made by a path from the workspace if that leads there: so the study may be moved while the step runs.
#
# A local step has a process group of its own, in the session of the runner if the shell can do that (set -m): Debian's
# dash can't without a terminal, so bash takes over, or setsid(1) gives the step a session of its own.
token=$1 workspace=$2 script=$3 study=$4 limit=${5:-0} output=${6-} host=${7-} boot=${8-} around=${9-}
state=$study/.maestro-es near= group=
kill_wait=10
try_again=75 # maestro_es.errors.EXIT_TRY_AGAIN: the step was not started
moment=1 # how long a signal to all processes may take, in seconds, from the step to us
job_variables='' # where a job may find its id: `study/maintenance.py` fills them in
others='HUP INT QUIT USR1 USR2 ALRM URG' # what a step may want to be told by, as with sbatch --signal=B:USR1@60

report() {
    for pause in 0 1 2 4 8; do
        [ "$pause" = 0 ] || sleep "$pause"
        for place in $near "$state"; do
            { printf '' >"$place/inbox/$token.$1"; } 2>/dev/null && return
        done
    done
}
look_back() { # find the way from the workspace to the study, unless the workspace is a link to another place
    rest=${workspace#"$study"/}
    [ "$rest" != "$workspace" ] || return
    near=../.maestro-es
    while [ "$rest" != "${rest#*/}" ]; do near=../$near rest=${rest#*/}; done
    [ "$near" -ef "$state" ] || near=
} 2>/dev/null
become_bash() {
    if [ -n "${BASH_ENV-}" ]; then # which it would read; the step gets it
        MAESTRO_ES_KEPT="${MAESTRO_ES_KEPT-} BASH_ENV" MAESTRO_ES_KEPT_BASH_ENV=$BASH_ENV
        export MAESTRO_ES_KEPT MAESTRO_ES_KEPT_BASH_ENV
        unset BASH_ENV
    fi
    exec bash "$0" "$@"
}
# A user may export that name, and dash has no such option.
[ -z "${BASH_VERSION-}" ] || command set -o posix 2>/dev/null

# -- the claim: made once for a token, by whoever comes first; it names the job, the host, its boot and this start ----
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
    read -r go
    [ "$go" = go ] || { report dropped; exit "$try_again"; }
    cd "$workspace" || { report dropped; exit "$try_again"; }
else
    job=
    for name in $job_variables; do
        [ -n "$job" ] || eval "job=\${$name-}"
    done
    job=${job:-$$}
    host=$(uname -n)
    boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid)
    # A requeued job can get the same process id again within a second; in a container it mostly does.
    { read -r nonce </proc/sys/kernel/random/uuid; } 2>/dev/null || nonce=$$.$(date +%s)
    owner="$job $host $boot $nonce"
    # A job of an earlier study in this directory, which was replaced, finds neither its claim nor its script here.
    for mark in "$state"/study.*; do
        [ ! -e "$mark" ] || [ "$mark" = "$state/study.${token%%-*}" ] || exit "$try_again"
    done
    if ! { cd "$workspace" && ln -s "$owner" ".claim.$token"; } 2>/dev/null; then
        case $(readlink ".claim.$token" 2>/dev/null) in
            "$owner") ;; # our own call, sent twice by the file system
            "") report unclaimed; exit "$try_again" ;;
            *) report "refused.$job"; exit "$try_again" ;;
        esac
    fi
fi
look_back
case $script in /*) ;; *) script=$workspace/${script#./} ;; esac

# -- the step -------------------------------------------------------------------------------------------------------
child= early= stopped= timed_out= signalled= watchdog= escalation= over=

become_step() { # become_step COMMAND...: in a subshell; COMMAND, if any, starts the step in the environment of the study
    set +m
    raise_limits
    [ "$group" != setsid ] || set -- setsid "$@"
    MAESTRO_ES_TOKEN=$token
    export MAESTRO_ES_TOKEN
    [ "${MAESTRO_ES_NICE:-0}" -le 0 ] || set -- "$@" nice -n $((MAESTRO_ES_NICE - $(nice)))
    [ -z "${MAESTRO_ES_FUNCTION_1-}" ] || set -- "$@" env
    # Exported functions of bash, which other shells drop, and bash's options: as variables with other names they come
    # through to env.
    MAESTRO_ES_N=1
    while eval "[ -n \"\${MAESTRO_ES_FUNCTION_$MAESTRO_ES_N-}\" ]"; do
        eval "set -- \"\$@\" \"\$MAESTRO_ES_FUNCTION_$MAESTRO_ES_N\""
        unset "MAESTRO_ES_FUNCTION_$MAESTRO_ES_N"
        MAESTRO_ES_N=$((MAESTRO_ES_N + 1))
    done
    case $script in *=*) [ "$#" -eq 0 ] || set -- "$@" nice -n 0 ;; esac # env would take it for a variable
    set -- "$@" "$script"
    # Variables that this script has, too.
    for MAESTRO_ES_N in ${MAESTRO_ES_KEPT-}; do
        eval "$MAESTRO_ES_N=\$MAESTRO_ES_KEPT_$MAESTRO_ES_N"
        export "${MAESTRO_ES_N?}"
        unset "MAESTRO_ES_KEPT_$MAESTRO_ES_N"
    done
    unset MAESTRO_ES_N MAESTRO_ES_KEPT MAESTRO_ES_LIMITS MAESTRO_ES_NICE OLDPWD
    [ -z "${BASH_VERSION-}" ] || command set +o posix # which an exported SHELLOPTS would name, too
    exec "$@"
}
raise_limits() { # on a node, whose scheduler may not pass them on; what it has lowered or left lower, is its business
    for MAESTRO_ES_N in ${MAESTRO_ES_LIMITS-}; do
        raise_limit "${MAESTRO_ES_N%%:*}" "${MAESTRO_ES_N#*:}"
    done 2>/dev/null
}
raise_limit() { # raise_limit LETTER VALUE: to no more than the hard limit
    now=$(ulimit -S "-$1") || { [ "$1" = u ] && now=$(ulimit -S -p) && set -- p "$2"; } || return # dash has its own
    [ "$now" != unlimited ] || return
    [ "$2" = unlimited ] || [ "$2" -gt "$now" ] || return
    ulimit -S "-$1" "$2" || ulimit -S "-$1" "$(ulimit -H "-$1")"
}

after() { # after SECONDS COMMAND...: a USR2 ends it and its sleep; what ends the step's group leaves it alone
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
    if [ -n "$child" ]; then kill -"$1" "$child" 2>/dev/null; else early="$early $1"; fi
}
end_step() { # all of a local step; how long one may take to save its work, its scheduler says
    trap '' TERM # before the escalation is started, which must not end with the group
    if [ -n "$output" ]; then
        # Once, and no TERM is heard from here on: a second one kills a shell that is leaving its trap, and bash may
        # forget an exit code if one interrupts its wait.
        [ -n "$escalation" ] || {
            signal_step TERM
            escalate &
            escalation=$!
        }
    else
        pass_on TERM
        trap on_term TERM
    fi
}
escalate() { # beside us: bash forgets the exit code of a step that ends while a trap waits for grep
    trap '' TERM
    trap 'over=1' USR2
    signal_carriers TERM
    [ -n "$over" ] || after "$kill_wait" signal_step KILL
}
signal_step() { # its process group; KILL also what has left that and carries the token in its environment
    signal=$1 signalled_group=$child
    if [ -n "$group" ]; then
        kill -"$signal" "-$child" || kill -"$signal" "$child" # that has no group yet
    elif [ "$signal" = TERM ]; then
        kill -TERM 0
        signalled_group=$$
    else
        kill -"$signal" "$child"
        signalled_group=
    fi
    [ "$signal" = TERM ] || signal_carriers "$signal"
} 2>/dev/null
signal_carriers() { # what carries the token in its environment, but the process group that was told already
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
end_helpers() { # nothing of ours is left when the report is there
    for helper in $watchdog $escalation; do
        kill -USR2 "$helper"
        wait "$helper"
    done
    watchdog= escalation=
} 2>/dev/null

trap on_term TERM # before there is a step: what comes now is for that
[ -n "$output" ] || for name in $others; do trap "pass_on $name" "$name"; done
[ "$group" != 'set -m' ] || set -m
if [ -n "$output" ]; then
    (become_step) </dev/null >"$output.$$.out" 2>"$output.$$.err" &
else
    report started
    # What a shell starts in the background ignores INT and QUIT; dash lets nobody but env undo that.
    env --default-signal=INT,QUIT true 2>/dev/null && undo='env --default-signal=INT,QUIT' || undo=
    (trap - INT QUIT && become_step $undo) &
fi
child=$!
set +m
if [ -n "$signalled" ]; then
    sleep 1 # until it is the step that is told, and not a shell that is about to be
    [ -z "$stopped" ] || end_step
    for name in $early; do pass_on "$name"; done
fi
if [ "$limit" -gt 0 ]; then
    trap on_limit USR1
    after "$limit" kill -USR1 $$ &
    watchdog=$!
fi
wait "$child"
code=$?
# A signal may end the wait and not the step. If the step ends at the same moment, bash may lose that: it takes the step
# for running, and another wait for it sleeps as long as any helper does. So what is gone is not waited for beside them.
while kill -0 "$child"; do
    wait "$child"
    again=$?
    case $again in -* | 127) break ;; esac
    code=$again
done 2>/dev/null
over=1
[ -z "$escalation" ] || signal_carriers TERM # the escalation may end before it has told them
end_helpers
if [ -n "$signalled" ]; then
    trap '' $others # one more would end this wait, too
    wait "$child" 2>/dev/null # what ended the wait before may have been a signal, though the step has ended
    again=$?
    case $again in
        -*) stopped=1 ;; # its exit code is lost, and we have the number of the signal: no failure of the step
        127) ;; # it was waited for already
        *) code=$again ;;
    esac
fi
case $code in -*) code=143 ;; esac
if [ -n "$output" ] && [ "$code" -ne 0 ] && [ -z "$stopped$timed_out" ]; then
    # Who ends all processes, as a host that shuts down or an allocation that is over, may reach the step before us.
    { over= && after "$moment" :; } &
    watchdog=$!
    wait "$watchdog"
fi
trap : TERM $others # from here on they come too late
end_helpers

# -- the report, and the next tick ----------------------------------------------------------------------------------
if [ -n "$timed_out" ]; then
    report timeout
elif [ -n "$stopped" ] && { [ "$code" -ne 0 ] || [ -z "$output" ]; }; then # that its time was over, says the scheduler
    report "stopped.$code"
else
    report "exit.$code"
fi
is_waited_for() { # whether a tick waits for the lock, and will see our report; the process id alone may be another's now
    [ -f "$state/waiting" ] || return # a pipe would keep us waiting, and so would `read` with a large file
    waiting=$(head -c 300 "$state/waiting")
    waiting_pid=${waiting#"$host "}
    [ "$waiting" = "$host $waiting_pid" ] || return
    for place in "/proc/$waiting_pid/fd/"*; do
        [ ! "$place" -ef "$state/waiter.lock" ] || return 0
    done
    return 1
} 2>/dev/null
may_tick() { # whether the job in which we are, if any, goes on: no tick, nor a step that it starts, outlives it
    [ -z "$around" ] || { [ -z "$stopped" ] && eval "$around"; }
} 2>/dev/null
if [ -n "$near" ] && ! [ "$near" -ef "$state" ] && [ -d "$near" ]; then state=$near; fi # the study was moved
if [ -n "$output" ] && [ -x "$state/next-tick" ]; then
    # One waiting tick is enough. But after an end by force it also has to see us gone.
    if [ -n "$timed_out$stopped" ] || [ "$code" -gt 128 ] || ! is_waited_for; then
        ! may_tick || "$state/next-tick" </dev/null >/dev/null 2>&1 &
    fi
fi
exit "$code"
