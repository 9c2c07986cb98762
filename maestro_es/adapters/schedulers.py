"""The list of schedulers, and the environment of their jobs.

A process may run inside a job of any scheduler, so these facts are available without importing the adapters.
Everything else about a scheduler is in the module of its adapter, which has the name of the batch type.
"""

from __future__ import annotations

import os

from maestro_es.core.scheduler_facts import JobEnvironment


def in_each_flux(command: str) -> str:
    """Return a shell command that runs another, with ``flux $up``, for each instance of Flux that may know a job."""
    return (
        'for uri in "${OUR_FLUX_URI-}" "${FLUX_URI-}" ""; do if [ -n "$uri" ]; then export FLUX_URI="$uri"; '
        f"else unset FLUX_URI; fi; for up in --parent ''; do {command}; done; done"
    )


#: Sets `seen` to the number START of a job of Flux, and to its state.
_FLUX_SEEN = 'seen=$(flux $up jobs -no "{t_submit:.6f} {state}" JOB 2>/dev/null | tr -d .)'

#: The schedulers of maestro-es by batch type. To add one, add the module of its adapter, and its jobs here.
WITH_ADAPTER = {
    "slurm": JobEnvironment(
        of_job=(
            "SLURM_JOB_*", "SLURM_JOBID", "SLURM_STEP_*", "SLURM_STEPID", "SLURM_ARRAY_*", "SLURM_HET_*", "SLURMD_*",
            "SLURM_TASK_PID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS", "SLURM_SUBMIT_*",
            "SLURM_TOPOLOGY_*", "SLURM_NODELIST", "SLURM_NODE_ALIASES", "SLURM_NNODES", "SLURM_TASKS_PER_NODE",
            "SLURM_*_ON_NODE", "SLURM_LAUNCH_NODE_IPADDR", "SLURM_SRUN_COMM_*", "SLURM_RESTART_COUNT",
            "SLURM_CLUSTER_NAME", "SLURM_WORKING_CLUSTER", "SLURM_PRIO_PROCESS", "SLURM_RLIMIT_*", "SLURM_PTY_*",
        ),
        options=("SLURM_*", "SBATCH_MEM_BIND*"),
        job_ids=("SLURM_JOB_ID", "SLURM_JOBID"),
        run_variable="SLURM_RESTART_COUNT",
        cluster_variable="SLURM_CLUSTER_NAME",
        nodes_variable="SLURM_JOB_NUM_NODES",
        still_running='[ "$(squeue -h -j JOB -o %T)" = RUNNING ]',
        has_ended=(
            'seen=$(squeue -h -t all -j JOB -o %T 2>&1); case "$?:$seen" in 0: | *"Invalid job id"* | 0:BOOT_FAIL | '
            "0:CANCELLED | 0:COMPLETED | 0:DEADLINE | 0:FAILED | 0:OUT_OF_MEMORY | 0:PREEMPTED | 0:TIMEOUT) ;; "
            "*) false ;; esac"
        ),
        is_cluster='scontrol show config | grep -q "^ClusterName *= *CLUSTER *$"',
        ends_all='scontrol show config | grep -q "^ProctrackType *= *proctrack/cgroup"',
        time_left=("squeue", "-h", "-j", "JOB", "-o", "%L"),
        resubmit=("sbatch", "--parsable", "--dependency=singleton", "--job-name=NAME"),
        withdraw=("scancel", "JOB"),
        name_variable="SLURM_JOB_NAME",
        settings=("SLURM_CONF", "SLURM_TIME_FORMAT", "SLURM_EXIT_ERROR", "SLURM_UMASK"),
        protocol=(
            "SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SLURM_CLUSTERS", "SBATCH_EXPORT", "SBATCH_GET_USER_ENV",
            "SBATCH_REQUEUE", "SBATCH_WAIT",
        ),
        always=("SLURM_*", "SBATCH_*"),
    ),
    # LSF sends USR2 at the run limit. bkill sends INT first.
    "lsf": JobEnvironment(
        of_job=("LSB_*", "LS_JOBPID", "LS_SUBCWD"),
        job_ids=("LSB_JOBID",),
        still_running='bjobs -UF JOB | grep -q "Status <RUN>"',
        has_ended=(
            'seen=$(bjobs -UF JOB 2>&1); case $seen in *"Status <DONE>"* | *"Status <EXIT>"* | '
            '*"Job <"JOB"> is not found"*) ;; *) false ;; esac'
        ),
        time_left=("bjobs", "-UF", "JOB"),
        resubmit=(
            "sh", "-c", 'bsub -J "$1" -w "ended($2)" <"$3" | sed -n "s/^Job <\\([0-9]*\\)> is submitted.*/\\1/p"',
            "sh", "NAME", "JOB",
        ),
        withdraw=("bkill", "JOB"),
        name_variable="LSB_JOBNAME",
        settings=("LSB_DEFAULTQUEUE", "LSB_DEFAULTPROJECT", "LSB_DEFAULT_USERGROUP"),
        protocol=("BSUB_CHK_RESREQ", "BSUB_QUIET", "BSUB_QUIET2", "BSUB_BLOCK", "BSUB_STDERR"),
        stop_signals=("TERM", "INT", "USR2"),
    ),
    # Flux sends ALRM at the time limit. A job of `flux batch` also gets HUP, and has only the second of these
    # variables. Commands inside such a job reach the job's own instance, which does not know the job itself. So
    # several instances are asked. They are the instances at our address, at the address of the study and at the
    # address of the system, and the instance around each of these. Each instance counts the milliseconds since its
    # own start, so two instances may have jobs with the same id. Their times of submission, in microseconds, differ.
    "flux": JobEnvironment(
        of_job=("FLUX_*",), job_ids=("FLUX_JOB_ID", "FLUX_ENCLOSING_ID"), stop_signals=("TERM", "ALRM", "HUP"),
        settings=("FLUX_URI",), always=("FLUX_URI",),
        still_running=in_each_flux('state=$(flux $up jobs -no "{state}" JOB 2>/dev/null) && break 2')
        + '; [ "$state" = RUN ]',
        has_ended=in_each_flux(f'{_FLUX_SEEN}; case $seen in "START "*) break 2 ;; esac')
        + '; [ "$seen" = "START INACTIVE" ]',
        start='[ -n "${FLUX_JOB_ID-}" ] || up=--parent; flux $up job eventlog JOB | '
        "sed -n '1s/^\\([0-9]*\\)\\.\\([0-9]*\\) submit.*/\\1\\2/p'",
        ends_all="flux $up config get exec.service | grep -q sdexec",
        time_left=("sh", "-c", "flux job timeleft JOB 2>/dev/null || flux --parent job timeleft JOB"),
        resubmit=(
            "sh", "-c", 'flux jobs JOB >/dev/null 2>&1 || parent=--parent; exec flux $parent batch "$@"',
            "sh", "--dependency=afterany:JOB",
        ),
        withdraw=("sh", "-c", "flux cancel JOB 2>/dev/null || flux --parent cancel JOB"),
        outer={"FLUX_URI": "flux getattr parent-uri"},
    ),
    # MoM sends TERM, both at the end of the walltime and after qdel.
    "pbs": JobEnvironment(
        of_job=("PBS_*",),
        job_ids=("PBS_JOBID",),
        still_running='qstat -f JOB | grep -q "job_state = R"',
        has_ended=(
            'seen=$(qstat -f JOB 2>&1 >/dev/null); case "$?:$seen" in 153:*"Unknown Job Id"* | '
            '35:*"has finished"*) ;; *) false ;; esac'
        ),
        time_left=("qstat", "-f", "JOB"),
        resubmit=("qsub", "-N", "NAME", "-W", "depend=afterany:JOB"),
        withdraw=("qdel", "JOB"),
        name_variable="PBS_JOBNAME",
        settings=("PBS_CONF_FILE", "PBS_SERVER", "PBS_DEFAULT"),
    ),
}  # fmt: skip

#: Schedulers whose jobs are recognised, although no adapter submits to them.
_WITHOUT_ADAPTER = {
    "cobalt": JobEnvironment(of_job=("COBALT_*",)),
}

_BY_NAME = {**WITH_ADAPTER, **_WITHOUT_ADAPTER}

#: The environments of the jobs of all schedulers.
ALL = (*_BY_NAME.values(),)

#: The variables in which a job may find its id.
JOB_VARIABLES = tuple(jobs.job_ids[0] for jobs in ALL if jobs.job_ids)


def job_around() -> str:
    """Return the job in which this process runs, ``SCHEDULER:ID`` (empty: it does not run in a job).

    If the scheduler has requeued the job and started it again with the same id, the number of this start follows:
    ``SCHEDULER:ID+NUMBER``. If the job knows the name of its cluster, the cluster follows: ``SCHEDULER:ID@CLUSTER``.
    `maestro_es.adapters.job_questions.own_job` returns a name that is unique for each scheduler.
    """
    for name, jobs in _BY_NAME.items():
        for variable in jobs.job_ids:
            if os.environ.get(variable):
                restart = os.environ.get(jobs.run_variable, "") if jobs.run_variable else ""
                again = f"+{restart}" if restart.strip("0") else ""
                cluster = os.environ.get(jobs.cluster_variable, "") if jobs.cluster_variable else ""
                there = f"@{cluster}" if cluster.replace("-", "").replace("_", "").isalnum() else ""
                return f"{name}:{os.environ[variable]}{again}{there}"
    return ""


def start_of(job: str) -> str:
    """Return the id of a job with the number of its start, without its scheduler and cluster."""
    there = f"@{cluster_of(job)}"
    return job.partition(":")[2].removesuffix(there)


def id_of(job: str) -> str:
    """Return the id by which the scheduler knows a job (see `job_around`)."""
    return start_of(job).partition("+")[0]


def cluster_of(job: str) -> str:
    """Return the cluster of a job (empty: unknown, or the ids of this scheduler are unique without it)."""
    jobs = jobs_like(job)
    return job.partition("@")[2] if jobs and jobs.cluster_variable else ""


def nodes_around() -> int:
    """Return how many nodes the job around this process has (0: unknown)."""
    jobs = jobs_like(job_around()) or JobEnvironment()
    number = os.environ.get(jobs.nodes_variable, "") if jobs.nodes_variable else ""
    return int(number) if number.isdecimal() else 0


def jobs_like(job: str) -> JobEnvironment | None:
    """Return what a job, ``SCHEDULER:ID``, looks like from inside (None: ``job`` is empty)."""
    return _BY_NAME.get(job.partition(":")[0])


def outside_of(job: str) -> dict[str, str]:
    """Return our environment without the variables of the job around us. Commands would take them for options."""
    import fnmatch  # noqa: PLC0415 - needed only inside a job

    jobs = jobs_like(job) or JobEnvironment()
    patterns = (*jobs.of_job, *jobs.options)
    return {
        name: value
        for name, value in os.environ.items()
        if name in jobs.settings or not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
