"""Reads the saved queries, the SQL files in ``queries/``. The comment at the top of a file is its question.

docs/questions.md shows the same SQL, and a test compares them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from maestro_es.errors import RequestRefused

_PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


class SavedQuery(NamedTuple):
    """A saved query: its name, the question that it answers, and its SQL."""

    name: str
    question: str
    sql: str

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters in the SQL, in the order of their first use."""
        return list(dict.fromkeys(_PARAMETER.findall(self.sql)))


def saved_queries() -> list[SavedQuery]:
    """Return the saved queries, sorted by name."""
    folder = resources.files("maestro_es.audit") / "queries"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(_parse(entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in files)


def saved_query(name: str, arguments: Sequence[str]) -> SavedQuery:
    """Return the saved query with a name. RequestRefused if there is none, or if it takes other parameters."""
    queries = {query.name: query for query in saved_queries()}
    if name not in queries:
        near = difflib.get_close_matches(name, queries, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RequestRefused(f"no saved query is called {name!r}; {hint}'maestro-es query --list' lists them")
    query = queries[name]
    missing = [parameter for parameter in query.parameters if parameter not in arguments]
    unknown = [parameter for parameter in arguments if parameter not in query.parameters]
    if missing or unknown:
        takes = " ".join(f"-p {parameter} VALUE" for parameter in query.parameters) or "no parameters"
        what = f"needs {', '.join(missing)}" if missing else f"has no parameter {unknown[0]!r}"
        raise RequestRefused(f"the saved query {name!r} {what}; it takes {takes}")
    return query


def _parse(name: str, text: str) -> SavedQuery:
    lines = text.splitlines()
    size = next(index for index, line in enumerate(lines) if not line.startswith("--"))
    question = " ".join(line.removeprefix("--").strip() for line in lines[:size])
    return SavedQuery(name, question, "\n".join(lines[size:]).strip())
