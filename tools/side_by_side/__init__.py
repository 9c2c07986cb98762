"""Runs Maestro and maestro-es on the same study file and compares the results."""
