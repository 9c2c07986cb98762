"""SQL of a user, run on a log so that it can only read.

SQLite asks `Permission` about each action of a statement before it runs any of it, and only reading is allowed. The
time limit is that of all readers. The whole answer is read before any of it is printed, so a slow reader
keeps no tick waiting. For that reason its size has a limit, too.
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
from maestro_es.store.connection import Connection, Stopwatch
from maestro_es.store.file_check import foreign_views
from maestro_es.store.log_file import INTERRUPTED, explain
from maestro_es.store.log_reader import LogReader

#: How much memory an answer may take, in bytes; and how many rows are read between two looks at that.
_LARGEST = 2_000_000_000
_BLOCK = 1000

#: Functions that load code, or show addresses in memory. Python's sqlite3 builds have them disabled, as a rule.
_FORBIDDEN = {"load_extension", "fts3_tokenizer"}

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

#: The PRAGMAs that describe tables and views and change nothing.
_DESCRIBING = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "function_list"}

#: SQLite's message that the file is damaged. It also calls a user's own JSON "malformed".
_DAMAGE = ("database disk image is malformed", "malformed database schema", "file is not a database")

_REFUSED = ("not authorized", "access to ")
_UNKNOWN = re.compile(r"no such (table|column): (?:\w+\.)?(\w+)$")


class QueryResult(NamedTuple):
    """What a query has found: the names of the columns, of which several may be the same, and the rows."""

    columns: list[str]
    rows: list[tuple[object, ...]]

    @property
    def keys(self) -> list[str]:
        """The names of the columns, made different from each other as sqlite-utils does it."""
        from sqlite_utils.utils import dedupe_keys  # noqa: PLC0415 - slow to import

        return dedupe_keys(self.columns)


def query(log: LogReader, sql: str, values: Mapping[str, str]) -> QueryResult:
    """Return the answer to a user's SQL; `values` are those of its named parameters.

    RequestRefused says what is wrong with the SQL: SQLite's own words, or that it would write or takes too long.
    """
    with log.snapshot() as connection, _reading_only(connection) as permission:
        try:
            return _run(connection, sql, values)
        except OverflowError:
            raise RequestRefused(
                "a value of the query is a whole number of more than 64 bits; give a smaller one"
            ) from None
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:  # a Warning before Python 3.12: two statements
            raise _explained(error, connection, log.path, permission) from None


@contextlib.contextmanager
def _reading_only(connection: Connection) -> Iterator[Permission]:
    """Restrict a connection to reading, and to our own views.

    Our own views use functions that SQLite, by its version, runs in a view only if the whole schema is trusted. It is
    trusted if each view is found to be ours in the transaction in which the query runs.
    """
    permission = Permission(foreign_views(connection))
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA trusted_schema = {'OFF' if permission.foreign else 'ON'}")
    connection.text_factory = _decode
    connection.set_authorizer(permission)
    try:
        yield permission
    finally:
        connection.set_authorizer(_may_all)  # None would do from Python 3.11 on
        connection.text_factory = str
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = OFF")


def _decode(text: bytes) -> str:
    """Return a text that a user's SQL may have made of any bytes."""
    return text.decode("utf-8", "backslashreplace")


class Permission:
    """What a statement may do: read tables, and views that are not `foreign`. `met` is a foreign one in it."""

    def __init__(self, foreign: Sequence[str]) -> None:
        self.foreign = {name.lower(): name for name in foreign}
        self.met = ""

    def __call__(self, action: int, name: str | None, detail: str | None, _: str | None, view: str | None) -> int:
        """Answer SQLite. A function has its name in `detail`, a PRAGMA in `name`; `view` is the one that does it."""
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
    rows: list[tuple[object, ...]] = []
    size = 0
    while block := cursor.fetchmany(_BLOCK):
        size += sum(map(sys.getsizeof, itertools.chain.from_iterable(block)))
        if size > _LARGEST:
            raise RequestRefused(
                f"the answer is larger than {_LARGEST // 1_000_000} MB; ask for fewer columns or rows, or add LIMIT"
            )
        rows += block
    return QueryResult([column[0] for column in cursor.description], rows)


def _database(connection: Connection) -> Any:  # noqa: ANN401 - sqlite_utils.Database
    from sqlite_utils import Database  # noqa: PLC0415 - slow to import

    return Database(connection, execute_plugins=False, recursive_triggers=False)


# -- errors ----------------------------------------------------------------------------------------------------------


def _explained(error: Exception, connection: Connection, path: Path, permission: Permission) -> MaestroError:
    """Return what is wrong with the file or with the SQL. KeyboardInterrupt if the user has interrupted it."""
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
    """Return what helps: how to give a parameter, or what is called nearly like that."""
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


#: How many tables are named: the views, and then what they stand on.
_NAMED = 5
