"""The environment variables of each scheduler: of its jobs, and of its commands.

Any scheduler may have the job that surrounds a process, so these values can be had without an import of the adapters.
"""

from __future__ import annotations

from maestro_es.core.scheduler_facts import JobEnvironment

SLURM = JobEnvironment(
    of_job=(
        "SLURM_JOB_*", "SLURM_JOBID", "SLURM_STEP_*", "SLURM_STEPID", "SLURM_ARRAY_*", "SLURM_HET_*", "SLURMD_*",
        "SLURM_TASK_PID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS", "SLURM_SUBMIT_*",
        "SLURM_TOPOLOGY_*", "SLURM_NODELIST", "SLURM_NODE_ALIASES", "SLURM_NNODES", "SLURM_TASKS_PER_NODE",
        "SLURM_*_ON_NODE", "SLURM_LAUNCH_NODE_IPADDR", "SLURM_SRUN_COMM_*", "SLURM_RESTART_COUNT",
        "SLURM_CLUSTER_NAME", "SLURM_WORKING_CLUSTER", "SLURM_PRIO_PROCESS", "SLURM_RLIMIT_*", "SLURM_PTY_*",
    ),
    options=("SLURM_*", "SBATCH_MEM_BIND*"),
    job_ids=("SLURM_JOB_ID", "SLURM_JOBID"),
    settings=("SLURM_CONF", "SLURM_TIME_FORMAT", "SLURM_EXIT_ERROR", "SLURM_UMASK"),
    protocol=(
        "SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SLURM_CLUSTERS", "SBATCH_EXPORT", "SBATCH_GET_USER_ENV",
        "SBATCH_REQUEUE", "SBATCH_WAIT",
    ),
    always=("SLURM_*", "SBATCH_*"),
)  # fmt: skip

LSF = JobEnvironment(of_job=("LSB_*", "LS_JOBPID", "LS_SUBCWD"))

FLUX = JobEnvironment(of_job=("FLUX_*",))

ALL = (SLURM, LSF, FLUX)
