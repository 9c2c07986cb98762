"""Takes the requests of Maestro's own client, that is, the files that ``maestro cancel`` and ``maestro update`` write.

These requests become the same events as requests to maestro-es, with a reason that names the owner and the time of the
file. A file is removed after its events are committed. If the tick dies in between, the next tick finds this reason in
the log. So no request is applied twice.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from maestro_es.core.events import NewEvent
from maestro_es.core.file_names import CANCEL, UPDATE
from maestro_es.core.graph import Graph
from maestro_es.errors import RequestRefused
from maestro_es.poller.performers import Performer
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session

#: A rule gets a state and returns events.
Rule = Callable[[Graph], list[NewEvent]]

#: A process that writes a file first creates an empty one. After this time, in seconds, an empty file counts as
#: written.
_WRITING_SECONDS = 60

#: The largest size of a file with three numbers, in bytes.
_LARGEST = 4096


def are_waiting(study_dir: StudyDir) -> bool:
    """Return whether there is a request file. This takes two system calls.

    Most ticks need nothing else of this module.
    """
    return any(os.path.lexists(study_dir.root / name) for name in (UPDATE, CANCEL))


def take_requests(study: Session, performer: Performer) -> list[str]:
    """Turn the files into events. Returns messages for users, one line each."""
    lines: list[str] = []
    for path, info in _waiting_requests(study.dir):
        try:
            rule = _read_request(path, info, study.log)
            if rule is None:
                continue
            study.request(rule)
            performer.remove_request(path, info)
            study.runtime.on_effect("remove")
        except RequestRefused as error:
            lines.append(performer.refuse_request(path, info, str(error)))
            study.runtime.on_effect("remove")
        except ValueError as error:
            lines.append(performer.set_request_aside(path, str(error)))
    return lines


def _waiting_requests(study_dir: StudyDir) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the existing files, in the order in which they are applied."""
    for name in (UPDATE, CANCEL):
        path = study_dir.root / name
        with contextlib.suppress(FileNotFoundError):
            yield path, path.lstat()


def _read_request(path: Path, info: os.stat_result, log: StudyLog) -> Rule | None:
    """Return the rule for a file, or None if the file is still being written.

    ValueError says why Maestro can't have written the file.
    """
    reason = _reason(path, info)
    if path.name == CANCEL:
        return _once(log, reason, lambda graph: _cancel(graph, reason))
    if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST:
        raise ValueError("this is not a file of 'maestro update'")
    if not info.st_size and 0 <= time.time() - info.st_mtime < _WRITING_SECONDS:
        return None
    from maestro_es.core import requests  # noqa: PLC0415 - most ticks find no file
    from maestro_es.study_file.maestro_dir import read_update  # noqa: PLC0415 - YAML is slow to import, and seldom needed

    values = read_update(path.read_text("utf-8", "replace"))
    return _once(log, reason, lambda graph: requests.update(graph, values, reason))


def _cancel(graph: Graph, reason: str) -> list[NewEvent]:
    from maestro_es.core import requests  # noqa: PLC0415 - most ticks find no file

    return [] if graph.study.cancelling else requests.cancel(graph, (), reason)


def _once(log: StudyLog, reason: str, rule: Rule) -> Rule:
    """Return a rule that returns no events if the request has been applied already."""
    applied = any(getattr(recorded.event, "reason", "") == reason for recorded in log.events())
    return (lambda _graph: []) if applied else rule


def _reason(path: Path, info: os.stat_result) -> str:
    """Return the origin of a request. It is unique, because it contains the time of the file in nanoseconds."""
    try:
        user = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        user = f"uid {info.st_uid}"
    seconds, nanoseconds = divmod(info.st_mtime_ns, 10**9)
    when = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}"
    return f"Maestro's request file {path.name}, left by {user} at {when} UTC"
