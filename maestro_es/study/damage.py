"""A damaged log: whether it has caused an unexpected error, and the correction of events that can't be decoded.

Readers trust a log, because checking each digest would take longer than answering. So if another program has changed
the log, an answer may fail in any way. Only after such a failure is the log verified. If it was changed, the user gets
that message; otherwise the error is our bug.

What counts as damage is decided in `maestro_es.store.verification`; how events are corrected, in
`maestro_es.store.corrections`.
"""

from __future__ import annotations

from pathlib import Path

from maestro_es.core.events import EventsCorrected
from maestro_es.errors import DamagedLog, InvalidTransition, MaestroError
from maestro_es.store.corrections import correct
from maestro_es.store.log_file import RESTORE
from maestro_es.store.study_log import opened_logs
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold_tick_lock


def cause_in_a_log() -> DamagedLog | None:
    """Return the damage of a log that this process has opened, the last one first; None if all are intact."""
    return next(filter(None, map(damage, reversed(opened_logs()))), None)


def damage(log: Path) -> DamagedLog | None:
    """Return the damage of a log; None if it is as it was written."""
    try:
        with open_as_it_is(log.parent, migrate=False) as opened:
            verify(opened)
    except (DamagedLog, InvalidTransition) as error:
        message = str(error)
        return DamagedLog(message if message.startswith(str(log)) else f"{log}: {message}")
    except MaestroError:
        return None
    except Exception as error:  # noqa: BLE001 - a payload that was changed may raise anything
        return DamagedLog(f"{log}: not as it was written ({type(error).__name__}: {error}); {RESTORE}")
    return None


def correct_log(root: Path, runtime: Runtime, reason: str) -> EventsCorrected | None:
    """Correct undecodable events while no tick runs; None if there are none."""
    study_dir = StudyDir(root)
    with open_as_it_is(root, runtime) as log:
        study_dir.check_owner()
        with hold_tick_lock(study_dir, -1):
            log.refresh_head()
            return correct(log, reason)
