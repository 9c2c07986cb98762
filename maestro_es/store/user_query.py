"""Runs a user's SQL on a log, so that it can only read.

Before SQLite runs a statement, it asks `Permission` about each action of the statement. Only reading is allowed. The
time limit is the same as for all readers. The whole result is read before it is printed, so that a slow reader does
not make ticks wait. Most rows of a long result are in a temporary file, so the size of a result is limited, too.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maestro_es.errors import LogUnavailable, MaestroError, RequestRefused
from maestro_es.spool import Spool
from maestro_es.store.connection import Connection, Stopwatch
from maestro_es.store.file_check import foreign_views
from maestro_es.store.log_file import INTERRUPTED, explain
from maestro_es.store.log_reader import LogReader

#: The largest result, in bytes of its values in memory, and the number of rows after which its size is checked.
_LARGEST = 2_000_000_000
_BLOCK = 1000

#: Functions that load code, or show addresses in memory. Most builds of Python's sqlite3 disable them.
_FORBIDDEN = {"load_extension", "fts3_tokenizer"}

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

#: The PRAGMAs that describe tables and views and change nothing.
_DESCRIBING = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "function_list"}

#: SQLite's messages about a damaged file. (It also calls invalid JSON of a user "malformed".)
_DAMAGE = ("database disk image is malformed", "malformed database schema", "file is not a database")

_REFUSED = ("not authorized", "access to ")
_UNKNOWN = re.compile(r"no such (table|column): (?:\w+\.)?(\w+)$")


class QueryResult(NamedTuple):
    """The result of a query: the names of the columns and the rows. Several columns may have the same name."""

    columns: list[str]
    rows: Spool[tuple[Any, ...]]

    @property
    def keys(self) -> list[str]:
        """The names of the columns. If several are equal, they are made unique as in sqlite-utils."""
        from sqlite_utils.utils import dedupe_keys  # noqa: PLC0415 - slow to import

        return dedupe_keys(self.columns)


def query(log: LogReader, sql: str, values: Mapping[str, str]) -> QueryResult:
    """Return the result of a user's SQL. `values` are the values of its named parameters.

    RequestRefused if the SQL is wrong, would write, or takes too long.
    """
    with log.snapshot() as connection, _reading_only(connection) as permission:
        try:
            return _run(connection, sql, values)
        except OverflowError:
            raise RequestRefused(
                "a value of the query is a whole number of more than 64 bits; give a smaller one"
            ) from None
        except (
            sqlite3.Error,
            sqlite3.Warning,
            ValueError,
        ) as error:  # before Python 3.12, two statements raise a Warning
            raise _explained(error, connection, log.path, permission) from None


@contextlib.contextmanager
def _reading_only(connection: Connection) -> Iterator[Permission]:
    """Restrict a connection to reading, and to the views of maestro-es.

    These views use functions that some versions of SQLite run inside a view only if the whole schema is trusted. The
    schema is trusted only if it has no views except the views of maestro-es. This is checked in the same transaction
    as the query.
    """
    permission = Permission(foreign_views(connection))
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA trusted_schema = {'OFF' if permission.foreign else 'ON'}")
    connection.text_factory = _decode
    connection.set_authorizer(permission)
    try:
        yield permission
    finally:
        connection.set_authorizer(_may_all)  # from Python 3.11 on, None would suffice
        connection.text_factory = str
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = OFF")


def _decode(text: bytes) -> str:
    """Decode a text. A user's SQL may have made it from any bytes."""
    return text.decode("utf-8", "backslashreplace")


class Permission:
    """Decides which actions a statement may perform.

    If the statement uses one of the `foreign` views, `met` is the name of this view.
    """

    def __init__(self, foreign: Sequence[str]) -> None:
        self.foreign = {name.lower(): name for name in foreign}
        self.met = ""

    def __call__(self, action: int, name: str | None, detail: str | None, _: str | None, view: str | None) -> int:
        """Tell SQLite whether an action is allowed. A function's name is in `detail`, and a PRAGMA's name in `name`.

        If the action comes from a view, `view` is its name.
        """
        if action in _READING:
            messages = [self.foreign[word.lower()] for word in (view, name) if word and word.lower() in self.foreign]
            self.met = messages[0] if messages else self.met
            is_allowed = not messages and detail not in _FORBIDDEN
        else:
            is_allowed = action == sqlite3.SQLITE_PRAGMA and str(name).lower() in _DESCRIBING
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _may_all(*_: Any) -> int:  # noqa: ANN401 - whatever SQLite asks about
    return sqlite3.SQLITE_OK


def _run(connection: Connection, sql: str, values: Mapping[str, str]) -> QueryResult:
    cursor = _database(connection).execute(sql, dict(values))
    if cursor.description is None:
        raise RequestRefused("this SQL returns no rows; a query is a SELECT, WITH or VALUES statement")
    rows = Spool(_limited(cursor), tuple[Any, ...], "the answer")
    return QueryResult([column[0] for column in cursor.description], rows)


def _limited(cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a result. RequestRefused if they are too large."""
    size = 0
    while block := cursor.fetchmany(_BLOCK):
        size += sum(map(sys.getsizeof, itertools.chain.from_iterable(block)))
        if size > _LARGEST:
            raise RequestRefused(
                f"the answer is larger than {_LARGEST // 1_000_000} MB; ask for fewer columns or rows, or add LIMIT"
            )
        yield from block


def _database(connection: Connection) -> Any:  # noqa: ANN401 - sqlite_utils.Database
    from sqlite_utils import Database  # noqa: PLC0415 - slow to import

    return Database(connection, execute_plugins=False, recursive_triggers=False)


# -- errors ----------------------------------------------------------------------------------------------------------


def _explained(error: Exception, connection: Connection, path: Path, permission: Permission) -> MaestroError:
    """Return the error about the file or the SQL. KeyboardInterrupt if the user has interrupted the query."""
    text = " ".join(str(error).split())
    if text == INTERRUPTED and Stopwatch.ran_out:
        seconds = connection.watch.seconds
        return RequestRefused(f"the query took longer than {seconds:.0f} s and was stopped; narrow it with WHERE")
    cause = explain(error, path)
    if isinstance(cause, LogUnavailable) or (isinstance(cause, MaestroError) and text.startswith(_DAMAGE)):
        return cause
    if permission.met or text.startswith("unsafe use of"):
        view = permission.met or next(iter(permission.foreign.values()), "")
        return RequestRefused(
            f"the view {view!a} of this log is not one of this version of maestro-es, and can't be trusted: {text}"
        )
    if text.startswith(_REFUSED):
        return RequestRefused(f"a query can only read, so SQLite refused this: {text}")
    return RequestRefused(f"SQL error: {text}{_hint(text, connection)}")


def _hint(text: str, connection: Connection) -> str:
    """Return a hint: how to give a parameter, or a similar name."""
    if text.startswith("You did not supply a value"):
        return " Give it with -p NAME VALUE."
    match = _UNKNOWN.match(text)
    if not match:
        return ""
    kind, name = match.groups()
    database = _database(connection)
    names = [*database.view_names(), *database.table_names()]
    if kind == "column":
        names = sorted({column.name for table in names for column in database[table].columns})
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(names[:_NAMED])}" if kind == "table" else ""


#: How many tables a hint names. Views come first.
_NAMED = 5
