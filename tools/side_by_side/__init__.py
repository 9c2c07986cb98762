"""Maestro and maestro-es on the same study file: what both make of it, compared."""
