"""Maestro studies on clusters: every transition in an event log, and no process between two ticks."""

__version__ = "0.1.0"
