#!/bin/sh
# The runner of a local step calls this when its step has ended, so that the next step need not wait for cron.
#
#   next-tick                              requests a tick
#   next-tick used REPORT WALLTIME         reports what the step used
#   next-tick used REPORT WALLTIME next    does both
#
# To report, the runner must become this process: only a process that has waited for the step knows its peak memory.
# `maestro_es.study.maintenance` fills in the interpreter and the command.
if [ "${1-}" = used ]; then
    exec {python} -I -S -c '
import os, resource, sys
program, _, report, walltime, *following = sys.argv[1:]
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = int((used.ru_utime + used.ru_stime) * 1000)
memory = used.ru_maxrss // (1024 if sys.platform == "darwin" else 1)
try:
    os.close(os.open(f"{report}.{cpu}-{memory}-{walltime}", os.O_CREAT))
except OSError:
    pass
if following:
    os.execv(program, [program])
' "$0" "$@"
fi
cd -- "$(dirname "$0")/.." || exit # the log then has the path of the study without "..", and no workspace is in use
if command -v setsid >/dev/null; then exec setsid {command} "$PWD"; fi
exec {command} "$PWD"
