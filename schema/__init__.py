"""The schema of the event log and of its payloads: SQL and JSON files, read with ``importlib.resources``.

This module makes the directory a package, so that an editable install finds it as ``maestro_es.schema`` too.
"""
