"""What tests and programs share: studies without a study file, a stand-in scheduler, processes, logs, events."""
