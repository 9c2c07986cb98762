"""The SQL that reads and writes the graph in the tables. The columns have the names of the fields of `StepRecord`.

SQLite uses a partial index only if a query repeats the condition of the index, so the conditions here equal the
conditions of the indexes.
"""

from __future__ import annotations

from maestro_es.core.model import BAD_ENDS, RELEASED
from maestro_es.store.step_rows import CHANGING, FIELDS

INSERT = f"INSERT INTO step ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))})"
UPDATE = f"UPDATE step SET {', '.join(f'{name} = ?' for name in CHANGING)} WHERE number = ?"
SELECT = f"SELECT {', '.join(FIELDS)} FROM step"

#: The steps with these numbers, and the edges that begin at these steps, in the order of the edges. The parameter is a
#: JSON array.
BY_NUMBER = f"{SELECT} WHERE number IN (SELECT value FROM json_each(?))"
CHILDREN = "SELECT parent, child FROM edge WHERE parent IN (SELECT value FROM json_each(?)) ORDER BY number"

#: Which of some names steps have. The parameter is a JSON array.
TAKEN_NAMES = "SELECT name FROM step WHERE name IN (SELECT value FROM json_each(?))"

#: How many steps are loaded at a time if a query returns many.
PAGE = 500

#: All steps by number, in pages. The parameter is the last number of the previous page. Then all in the order of rows.
EACH = f"{SELECT} WHERE number > ? ORDER BY number LIMIT {PAGE}"
NAMES = f"SELECT number, name, template FROM step WHERE number > ? ORDER BY number LIMIT {PAGE}"
IN_ROWS = f"{SELECT} ORDER BY row, number"

#: The steps that are blocked or ready, in pages. The parameter is the last number of the previous page.
WAITING = f"WHERE phase IN (0, 1) AND number > ? ORDER BY number LIMIT {PAGE}"
#: The steps that a user has cancelled and that are not done, in pages.
CANCELLING = f"WHERE cancelling = 1 AND phase != 4 AND number > ? ORDER BY number LIMIT {PAGE}"

#: `core.graph.may_be_submitted` in SQL. It is also the condition of the index `step_ready`.
#: tests/contract/test_graphs.py compares both graphs.
MAY_BE_SUBMITTED = "phase = 1 AND held = 0 AND cancelling = 0"

#: Instances of a template that are not finished.
UNFINISHED = f"""
    WHERE template = ? AND state NOT IN ({", ".join(repr(state.name) for state in RELEASED)}) ORDER BY number LIMIT ?
"""

#: The blocked steps to which an edge or a funnel leads. CROSS JOIN makes SQLite start at the edges.
BLOCKED = f"""
    SELECT {", ".join(f"step.{name}" for name in FIELDS)} FROM {{}} CROSS JOIN step ON step.number = child
    WHERE {{}} AND child > ? AND phase = 0 ORDER BY child LIMIT {PAGE}
"""

#: `core.graph.has_ended_badly` in SQL.
_ENDED_BADLY = f"{{0}}.phase = 4 AND {{0}}.state IN ({', '.join(repr(state.name) for state in BAD_ENDS)})"

_BAD = ", ".join(repr(state.name) for state in BAD_ENDS)

#: The steps that have ended without success by themselves, in pages, and how many have ended because of each step.
FAILED = f"""
    {SELECT} WHERE blocker IS NULL AND phase = 4 AND state IN ({_BAD}) AND number > ? ORDER BY number LIMIT {PAGE}
"""
DEPENDENTS = f"SELECT blocker, count(*) FROM step WHERE blocker IS NOT NULL AND state IN ({_BAD}) GROUP BY blocker"

#: How many steps of each template have each value of each parameter, with the parameters in their order.
VALUES = """
    SELECT template, json_extract(p.value, '$[0]') AS key, json_extract(p.value, '$[1]') AS value, count(*)
    FROM step, json_each(step.params) AS p GROUP BY template, key, value ORDER BY template, min(p.key)
"""

#: For each template with a funnel, its first instance that has ended without success (NULL: there is none).
FAILED_FUNNELS = f"""
    SELECT DISTINCT template, (
        SELECT number FROM step
        WHERE step.template = funnel.template AND {_ENDED_BADLY.format("step")}
        ORDER BY number LIMIT 1
    ) FROM funnel ORDER BY template
"""

#: The blocked steps with a parent that ended without success, each with its first such parent. The index lists only
#: steps that wait.
IN_VAIN = f"""
    SELECT number, parent FROM (
        SELECT number, (
            SELECT edge.parent FROM edge CROSS JOIN step AS failed ON failed.number = edge.parent
            WHERE edge.child = step.number AND {_ENDED_BADLY.format("failed")}
            ORDER BY edge.parent LIMIT 1
        ) AS parent
        FROM step INDEXED BY step_waiting WHERE phase IN (0, 1) AND phase = 0 AND number > ?
    ) WHERE parent IS NOT NULL ORDER BY number LIMIT ?
"""

#: The names of the steps that wait for nothing.
ROOTS = """
    SELECT name FROM step
    WHERE number NOT IN (SELECT child FROM edge) AND number NOT IN (SELECT child FROM funnel)
    ORDER BY number
"""

#: For each template, how many of its steps are in each state, in the order of the status. The third column says
#: whether they ended because of another step.
TEMPLATE_STATES = """
    SELECT template, state, is_upstream, steps FROM (
        SELECT template, state, blocker IS NOT NULL AS is_upstream, count(*) AS steps, min(row) AS first
        FROM step GROUP BY template, state, is_upstream
    ) ORDER BY min(first) OVER (PARTITION BY template), template
"""

#: The pairs of templates whose steps are connected by edges, and the pairs that are connected by a funnel.
TEMPLATE_EDGES = """
    SELECT DISTINCT parent.template, child.template FROM edge
    CROSS JOIN step AS parent ON parent.number = edge.parent
    CROSS JOIN step AS child ON child.number = edge.child
"""
TEMPLATE_FUNNELS = """
    SELECT DISTINCT funnel.template, step.template FROM funnel CROSS JOIN step ON step.number = funnel.child
"""
