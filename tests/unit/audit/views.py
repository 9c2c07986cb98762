"""Questions to a study in memory, as of any event of it."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.audit.view import View
from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.reducer import replay

#: So long, in microseconds, an attempt is looked for.
GRACE = 60_000


def view_at(events: Sequence[e.Recorded], seq: int, *, graph: Graph | None = None, ticking: str = "") -> View:
    """Return a view of the state after event `seq`; times are shown as their number of milliseconds."""
    known = events[:seq]
    if graph is None:
        graph = replay(known)

    def author(recorded: e.Recorded) -> str:
        started = events[recorded.invocation - 1].event
        return f"{started.actor}@{started.host}" if isinstance(started, e.InvocationStarted) else "somebody"

    return View(
        graph=graph,
        events_of=lambda number: [recorded for recorded in known if recorded.step == number],
        study_events=lambda kind: [
            recorded for recorded in reversed(known) if recorded.step is None and isinstance(recorded.event, kind)
        ],
        author=author,
        grace=lambda _: GRACE,
        cores=4,
        now=known[-1].recorded_at,
        show=lambda at: f"{at // 1000}s",
        ticking=lambda: ticking,
    )
