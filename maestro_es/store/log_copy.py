"""Copies of logs in memory.

`PreviewLog` is the log of a preview. Its new events disappear with it.

`LogCopy` is a copy of a log that this user may only read, and whose tables or views come from another version. For
example, a colleague uses another version than the owner of a study, or the log is in an old snapshot of a file system.
Then the tables can't be rebuilt in the file, so they are rebuilt in the copy. Nothing can be recorded in the copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from maestro_es.core.events import InvocationStarted, NewEvent
from maestro_es.core.model import Micros
from maestro_es.core.reducer import REDUCER_VERSION
from maestro_es.errors import LogUnavailable
from maestro_es.store import event_log
from maestro_es.store.connection import Connection, connect_to_memory
from maestro_es.store.log_file import explained
from maestro_es.store.migrations import SCHEMA_VERSION, is_current, upgrade
from maestro_es.store.study_log import StudyLog

#: The largest file that is copied, in bytes. It may be the file of another user.
_LARGEST = 1_000_000_000


def is_behind(connection: Connection, path: Path) -> bool:
    """Return whether a log must be copied, because its tables or views come from another version, or lack events.

    If only the views differ, a very large log is not copied, because only queries of users read views.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        return True
    if not is_current(connection) and path.stat().st_size <= _LARGEST:
        return True
    row = connection.execute("SELECT reducer_version, applied_seq FROM projection").fetchone()
    return row is None or tuple(row) != (REDUCER_VERSION, event_log.head(connection).seq)


class _MemoryLog(StudyLog):
    """The log of a connection, at the moment when it was copied."""

    def __init__(
        self, source: Connection, path: Path, clock: Callable[[], Micros], identity: InvocationStarted
    ) -> None:
        self._source = source
        memory = connect_to_memory(path)
        with contextlib.ExitStack() as stack:
            stack.callback(memory.close)
            source.backup(memory)
            upgrade(memory)
            super().__init__(memory, path, clock, identity)
            self._catch_up()
            stack.pop_all()


class PreviewLog(_MemoryLog):
    """The log of a preview. It never reads the file again, and never writes it."""

    @classmethod
    def of(cls, log: StudyLog, clock: Callable[[], Micros]) -> PreviewLog:
        """Copy an open log."""
        with log.snapshot() as connection:
            return cls(connection, log.path, clock, log.identity)

    def refresh(self) -> None:
        """Do nothing, because a preview shows one moment."""


class LogCopy(_MemoryLog):
    """The log of a connection, at the moment when it was last opened or refreshed."""

    def __init__(
        self, source: Connection, path: Path, clock: Callable[[], Micros], identity: InvocationStarted
    ) -> None:
        if path.stat().st_size > _LARGEST:
            raise LogUnavailable(
                f"{path}: another version wrote it, and it is too large to copy; ask its owner to run a tick"
            )
        super().__init__(source, path, clock, identity)

    def refresh(self) -> None:
        """Read what other processes have appended."""
        with explained(self.path):
            if event_log.head(self._source) != self.head:
                self._source.backup(self._connection)
                upgrade(self._connection)
                super().refresh()

    def record(self, new_events: Iterable[NewEvent]) -> None:
        """Refuse to record. LogUnavailable if there is anything to record."""
        if list(new_events):
            raise LogUnavailable(
                f"{self.path}: nothing was written: another user owns it, or its file system is read-only; "
                "run this as its owner, where it can be written"
            )

    def close(self) -> None:
        """Close the file, and discard the copy."""
        super().close()
        self._source.close()
