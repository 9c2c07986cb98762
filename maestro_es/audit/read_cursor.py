"""Up to which event a user has been told what changed: a small file for each user.

It is replaced whole, so two that ask at the same time are both told, and one that dies has not asked.
"""

from __future__ import annotations

import os
from pathlib import Path

from maestro_es.core.file_names import DIFF_SINCE_LAST
from maestro_es.errors import StudyError
from maestro_es.files import replace_file
from maestro_es.sha256 import sha256
from maestro_es.store import registry
from maestro_es.study.layout import StudyDir


def _place(study: StudyDir) -> Path:
    """Return the file: in the study, or in the home of a user who may only read the study."""
    if study.is_ours():
        return study.state / f"{DIFF_SINCE_LAST}.{os.geteuid()}"
    digest = sha256()(os.fsencode(study.root)).hexdigest()[:16]
    return registry.folder().with_name(DIFF_SINCE_LAST) / digest


def read_cursor(study: StudyDir) -> int:
    """Return the last event that this user has been told of, 0 if there is none. StudyError if the note is damaged."""
    place = _place(study)
    try:
        return int(place.read_bytes())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise StudyError(f"{place}: can't be read as an event's number ({error}); remove it to start over") from None


def move_cursor(study: StudyDir, seq: int) -> None:
    """Note that this user has been told of all up to an event. OSError if that can't be written."""
    place = _place(study)
    if not study.is_ours():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(place, f"{seq}\n".encode(), 0o600, durable=True)  # an empty file is refused when it is read
