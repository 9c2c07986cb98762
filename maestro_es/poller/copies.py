"""The copies of a study's file and of its batch block in the study directory, as in Maestro.

maestro-es does not read them, and users may change them. So a tick restores only copies that are missing or empty, as
a power cut leaves them. The log has their content.
"""

from __future__ import annotations

from pathlib import Path

from maestro_es.core import file_names
from maestro_es.core.events import StudyCreated
from maestro_es.files import is_empty, replace_file
from maestro_es.study.session import Session

#: As they were created: the umask of the study limits it.
_MODE = 0o666

#: By which event a study has been created at the latest: the first one says who does that.
_CREATED_BY = 2


def repair_copies(study: Session) -> None:
    """Restore the copies that are missing or empty. OSError if that fails."""
    name = study.graph.study.spec_file
    if not name or name != name.rpartition("/")[2]:
        return
    spec, batch = study.dir.root / name, study.dir.root / file_names.BATCH_INFO
    if is_empty(spec):
        created = (recorded.event for recorded in study.log.events(upto=_CREATED_BY))
        text = next((event.spec for event in created if isinstance(event, StudyCreated)), "")
        _restore(spec, text)
    if is_empty(batch):
        from maestro_es.study_file.metadata import batch_info  # noqa: PLC0415 - YAML is slow to import, and seldom needed

        _restore(batch, batch_info(study.graph.study.adapter))


def _restore(path: Path, text: str) -> None:
    replace_file(path, text.encode(), _MODE, durable=False)  # if a power cut empties it again, so does the next tick
