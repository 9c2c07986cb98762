"""Repair a study whose log holds events that no reader can decode."""

from __future__ import annotations

from pathlib import Path

from maestro_es.core.events import EventsCorrected
from maestro_es.store.corrections import correct
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold_tick_lock


def correct_log(root: Path, runtime: Runtime, reason: str) -> EventsCorrected | None:
    """Correct undecodable events while no tick runs; None if there are none."""
    study = StudyDir(root)
    with open_as_it_is(root, runtime) as log:
        study.check_owner()
        with hold_tick_lock(study, -1):
            log.refresh_head()
            return correct(log, reason)
