"""Shared by tests and tools: studies without a study file, a fake scheduler, processes, logs, samples of events."""
