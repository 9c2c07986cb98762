"""Decides whether a damaged log caused an unexpected error, and corrects events that can't be decoded.

Readers do not check the digests of a log, because this would take longer than the answer. So if another program has
changed the log, a reader may fail with any error. maestro-es verifies the log only after such a failure. If the log
was changed, the message says so. Otherwise the error is a bug of maestro-es.

`maestro_es.store.verification` decides what counts as damage. `maestro_es.store.corrections` decides how events are
corrected.
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
    """Return the damage of a log that this process has opened. The latest log is checked first.

    None if all these logs are intact.
    """
    return next(filter(None, map(damage, reversed(opened_logs()))), None)


def damage(log: Path) -> DamagedLog | None:
    """Return the damage of a log (None: there is none, or the log can't be opened)."""
    try:
        with open_as_it_is(log.parent, migrate=False) as opened:
            verify(opened)
    except (DamagedLog, InvalidTransition) as error:
        message = str(error)
        return DamagedLog(message if message.startswith(str(log)) else f"{log}: {message}")
    except MaestroError:
        return None
    except Exception as error:  # noqa: BLE001 - a changed payload may raise any error
        return DamagedLog(f"{log}: not as it was written ({type(error).__name__}: {error}); {RESTORE}")
    return None


def correct_log(root: Path, runtime: Runtime, reason: str) -> EventsCorrected | None:
    """Correct undecodable events while no tick runs. Return the event that lists them (None: there are none)."""
    study_dir = StudyDir(root)
    with open_as_it_is(root, runtime) as log:
        study_dir.check_owner()
        with hold_tick_lock(study_dir, -1):
            log.refresh_head()
            return correct(log, reason)
