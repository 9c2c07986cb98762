"""Replaces a study directory: decides what ``run -o DIR`` may move away, and moves it.

The earlier study is moved into ``.maestro-es/previous/TIME`` of the new one, entry by entry. The directory itself
stays, with its owner, mode and quota, and remains the current directory of shells. The log is moved first, so that no
process ticks the study any more. The new ``.maestro-es`` is created as ``.maestro-es.new``, and gets its final name
last. If the move is killed, the next ``run -o`` completes it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from maestro_es import files
from maestro_es.core import file_names, requests
from maestro_es.core.model import StudyStatus
from maestro_es.creation.exclusive_creation import Site
from maestro_es.errors import DamagedLog, InvalidTransition, MaestroError, NotAStudy, RequestRefused
from maestro_es.poller.tick import tick
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold_tick_lock
from maestro_es.study.session import Session

#: The errors after which a study may be replaced without reading its log, because the log is damaged or missing. Other
#: errors are not enough: if a log can't be read at the moment, or not by this version, the study may have jobs.
_UNREADABLE = (DamagedLog, InvalidTransition, NotAStudy)


#: How long to wait, in seconds, for a tick of the earlier study to end.
_LOCK_SECONDS = 10


def check_overwritable(site: Site) -> bool:
    """Return whether there is anything to replace. RequestRefused if this is not a study, or a study with jobs."""
    study_dir = site.study_dir
    names = site.entries()
    if study_dir.state.name in names or study_dir.next_state.name in names or site.has_study():
        with contextlib.suppress(*_UNREADABLE), Session(study_dir.root) as opened:
            _check_idle(opened)
        return names != {study_dir.state.name}
    if names and not any(study_dir.root.glob("*.study.pkl")):
        raise RequestRefused(
            f"{study_dir.root}: contains something other than a study, so it is not replaced; choose another -o"
        )
    return bool(names)


def _check_idle(study: Session) -> None:
    jobs = len(study.graph.in_flight()) if study.status is StudyStatus.RUNNING else 0
    if jobs:
        root = study.dir.root
        several = f"{jobs} jobs" if jobs > 1 else "1 job"
        raise RequestRefused(f"{root}: the study in it has {several}; run 'maestro-es cancel {root}' first")


@contextlib.contextmanager
def overwriting(site: Site, runtime: Runtime) -> Iterator[Path]:
    """Move the content of a directory away for a new study. Yield its new path.

    If there is no new study at the end, the content is moved back. Call `check_overwritable` first.
    """
    study_dir = site.study_dir
    move = _Move(study_dir, runtime)
    with _ended(study_dir, runtime) as study_id:
        try:
            move.carry_out()
        except BaseException as error:
            move.undo()
            if isinstance(error, OSError):
                raise RequestRefused(f"{error.filename}: can't be moved: {error.strerror}") from error
            raise
    site.note_entries()
    try:
        yield study_dir.state / file_names.PREVIOUS / move.folder.name
    finally:
        if not site.has_study():
            move.undo()
        elif study_id:
            registry.forget(study_id)


@contextlib.contextmanager
def _ended(study_dir: StudyDir, runtime: Runtime) -> Iterator[str]:
    """Cancel the study that is replaced, and prevent its ticks meanwhile.

    Yield its id (empty: it has no readable log).

    The log is closed before it is moved, because SQLite finds the journal of a log by its path.
    """
    study_id = ""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(*_UNREADABLE), Session(study_dir.root, runtime) as opened:
            if not stack.enter_context(hold_tick_lock(study_dir, _LOCK_SECONDS)):
                raise RequestRefused(
                    f"{study_dir.root}: another process is running a tick of the study in it; try again"
                )
            opened.log.refresh()
            _cancel(opened)
            study_id = opened.graph.study.study_id
        yield study_id


def _cancel(study: Session) -> None:
    """Cancel a study that has no jobs. Otherwise a tick that has already read its log would continue the study."""
    _check_idle(study)
    if study.status is not StudyStatus.RUNNING:
        return
    if not study.graph.study.cancelling:
        study.request(lambda graph: requests.cancel(graph, (), "replaced by 'maestro-es run -o'"))
    with contextlib.suppress(MaestroError):
        tick(study)
    _check_idle(study)


class _Move:
    """The move of all entries of a study directory to `folder`. It can be undone."""

    def __init__(self, study_dir: StudyDir, runtime: Runtime) -> None:
        self._study_dir = study_dir
        self._on_effect = runtime.on_effect
        self._previous = study_dir.next_state / file_names.PREVIOUS
        self.folder = self._previous / self._time()

    def _time(self) -> str:
        """Return the name of `folder`.

        It is the name that a killed move used, or a time that is later than the names of all earlier studies.
        """
        begun = _names(self._previous)
        if begun:
            return max(begun)
        last = max(_names(self._study_dir.state / file_names.PREVIOUS), default="")
        times = (time.strftime("%Y%m%d-%H%M%S", time.localtime(n)) for n in itertools.count(int(time.time())))
        return next(name for name in times if name > last)

    def carry_out(self) -> None:
        """Move the log, then all other entries. Studies that the earlier study had replaced are moved next to it."""
        study_dir = self._study_dir
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        study_dir.next_state.chmod(0o700)
        log = [study_dir.log.name, f"{study_dir.log.name}-journal"]
        names = [name for name in log if os.path.lexists(study_dir.root / name)]
        kept = {study_dir.next_state.name, study_dir.creation_lock.name, *log}
        self._rename(study_dir.root, [*names, *sorted(_names(study_dir.root) - kept)], self.folder)
        earlier = self.folder / file_names.STATE_DIR / file_names.PREVIOUS
        self._rename(earlier, sorted(_names(earlier)), self._previous)
        files.sync(self.folder)
        study_dir.next_state.rename(study_dir.state)
        files.sync(study_dir.root)
        self._on_effect("move")

    def undo(self) -> None:
        """Move all entries back."""
        study_dir = self._study_dir
        with contextlib.suppress(OSError):
            if os.path.lexists(study_dir.state / file_names.PREVIOUS / self.folder.name) and not os.path.lexists(
                study_dir.next_state
            ):
                study_dir.state.rename(study_dir.next_state)
            earlier = self.folder / file_names.STATE_DIR / file_names.PREVIOUS
            self._rename(self._previous, sorted(_names(self._previous) - {self.folder.name}), earlier)
            log = [
                name for name in (f"{study_dir.log.name}-journal", study_dir.log.name) if name in _names(self.folder)
            ]
            self._rename(self.folder, [*sorted(_names(self.folder) - {*log}), *log], study_dir.root)
            self.folder.rmdir()
            self._previous.rmdir()
            shutil.rmtree(study_dir.next_state)

    def _rename(self, folder: Path, names: Iterable[str], target: Path) -> None:
        for name in names:
            os.rename(folder / name, _free(target / name))
            self._on_effect("move")


def _names(folder: Path) -> set[str]:
    try:
        return {*os.listdir(folder)}
    except FileNotFoundError:
        return set()


def _free(path: Path) -> Path:
    """Return a path that does not exist yet. A killed move may already have moved an entry with that name."""
    names = itertools.chain([path], (path.with_name(f"{path.name}.{n}") for n in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))
