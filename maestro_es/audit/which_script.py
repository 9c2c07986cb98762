"""Which of its scripts a step runs: its cmd from the beginning, or its restart script from a checkpoint."""

from __future__ import annotations

from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, Phase, StepRecord, SubmissionKind
from maestro_es.core.transitions import can_go_on


def script_of(graph: Graph, record: StepRecord) -> str:
    """Return the key of the script that a step runs in its attempt, or in the next one if it has ended."""
    if record.phase is Phase.DONE:
        goes_on = record.state in BAD_ENDS and can_go_on(graph, record)
    else:
        goes_on = record.kind is SubmissionKind.RESTART
    return "restart" if goes_on else "cmd"


def which_script(graph: Graph, record: StepRecord) -> str:
    """Return that script in words; empty if the step has no restart script, or has finished."""
    over = record.phase is Phase.DONE
    if not graph.template(record.template).run.get("restart") or (over and record.state not in BAD_ENDS):
        return ""
    words = "its restart script" if script_of(graph, record) == "restart" else "cmd, from the beginning"
    return f"{words}, if it is retried" if over else words
