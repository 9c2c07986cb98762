"""Shows graphs at a Python prompt and in a notebook.

`StepView` uses the same table for one step. Nothing here changes the state. `maestro_es.report.layouts` has the tables
of the command `status`.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence

from maestro_es.core.model import Phase, StepRecord
from maestro_es.errors import MaestroError
from maestro_es.execution_graph.base import GraphBase
from maestro_es.study.status_csv import run_time

#: The largest number of steps in a notebook's table.
_MOST = 100

_HEADER = ("Step", "State", "Job", "Run time", "Parameters")


class ShownGraph(GraphBase):
    """The part of `ExecutionGraph` that shows the graph. If the log can't be read, it shows the error instead."""

    def __repr__(self) -> str:
        try:
            study = self._fresh().study
            done = study.steps - study.open_steps
        except MaestroError as error:
            return f"<{type(self).__name__} in {self.path}: {error}>"
        name = f" {study.name!r}" if study.name else ""
        return f"<{type(self).__name__}{name} in {self.path}: {study.status.name}, {done} of {study.steps} steps done>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks with at most a hundred steps. Steps that are not done come first."""
        caption = html.escape(repr(self)[1:-1])
        try:
            graph, now = self._fresh(), self._study.runtime.now()
            total = graph.study.steps
            steps = sorted(graph.steps(), key=lambda step: (step.phase is Phase.DONE, step.number))
        except MaestroError:
            return f"<p>{caption}</p>"
        rows = [_row(step, now) for step in itertools.islice(steps, _MOST)]
        more = f"<p>and {total - _MOST} more steps</p>" if total > _MOST else ""
        return f"<p>{caption}</p>{table(_HEADER, rows)}{more}"


def _row(step: StepRecord, now: int) -> list[str]:
    params = ", ".join(f"{param.key}={param.value}" for param in step.params)
    return [step.name, step.state.name, step.job_id or "--", run_time(step, now), params]


def table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML. The texts of its cells are escaped."""
    lines = ["<table>"]
    for tag, cells in [("th", header), *(("td", row) for row in rows)]:
        lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>")
    return "".join([*lines, "</table>"])
