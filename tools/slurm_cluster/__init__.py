"""A Slurm cluster on this machine, for tests/slurm, the crash matrix, the bench, and for use by hand."""
