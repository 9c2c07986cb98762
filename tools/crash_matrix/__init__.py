"""Faults between a tick and Slurm, tried again and again on a real cluster."""
