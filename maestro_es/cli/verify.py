"""``maestro-es verify``: verifies the event log and everything derived from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from maestro_es.audit.times import iso, show_time
from maestro_es.cli.common import example, study_argument, study_path
from maestro_es.cli.output import json_option, say, write_lines
from maestro_es.errors import DamagedLog
from maestro_es.execution_graph.upkeep import MaintainableGraph
from maestro_es.store.verification import Known, Verification


@example("maestro-es verify ./pi")
@click.command()
@study_argument
@click.option("--head", metavar="DIGEST", help="A head that you noted earlier, or at least its first 8 digits.")
@json_option
def command(study: Path | None, head: str | None, *, as_json: bool) -> None:
    """Check the event log of STUDY: every digest, every payload, and whether a full replay gives the stored state.

    The command prints the head of the log, which is the digest of its last event. If you note the head elsewhere, you
    can use --head later to prove that the log still begins with the same events.

    If something is wrong, the command names the first problem and exits with 1.
    """
    root = study_path(study)
    known: Known | None = None
    try:
        if head:
            known = MaintainableGraph.prove(root, head)
            if not as_json:
                _say_known(root, known)
        verification = MaintainableGraph.verify(root)
    except DamagedLog as error:
        if as_json:
            _write_json(root, known, {"ok": False, "problem": str(error), **error.details})
        raise
    if as_json:
        _write_json(root, known, _data(verification))
    else:
        say(f"{root}: {verification.events} events are intact; head {verification.head}")


def _say_known(root: Path, known: Known) -> None:
    when = show_time(known.recorded_at)
    but = ", except the payloads in EventsCorrected" if known.corrected else ""
    say(
        f"{root}: {known.head} is the digest of event {known.seq}, which was recorded at {when}; no event up to this "
        f"one has changed since then{but}"
    )


def _data(verification: Verification) -> dict[str, Any]:
    return {"ok": True, "events": verification.events, "head": verification.head}


def _write_json(root: Path, known: Known | None, data: dict[str, Any]) -> None:
    proven = known and {"seq": known.seq, "time": iso(known.recorded_at), "head": known.head}
    write_lines([json.dumps({"study": str(root), **data, "known": proven}, default=str)])
