"""Tests many faults between a tick and Slurm on a real cluster."""
