"""The file with the environment of a study's steps, and what the log has of it.

The file is ``.maestro-es/environment.DIGEST``, for its owner alone, and the one place with values. It is a line of
ours with a salt, then ``NAME=VALUE`` by name, each ended by a NUL byte. It is on disk before the event that names its
digest, and the file of an earlier event is removed after that: whatever dies in between, the log names a file that is
there and whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maestro_es.core.events import EnvironmentRecorded
from maestro_es.core.model import Environment, RecordedEnvironment, StudyRecord
from maestro_es.digests import sha256
from maestro_es.poller import durable
from maestro_es.poller.study_dir import StudyDir

if TYPE_CHECKING:
    from maestro_es.poller.surroundings import Surroundings

_HEADER = b"maestro-es environment 1 "

#: How many digits a fingerprint has.
_FINGERPRINT = 8


def keep(study: StudyDir, found: Surroundings, reason: str = "", salt: str = "") -> EnvironmentRecorded:
    """Write the file, and return the event to append. OSError says why that can't be.

    With the `salt` of an earlier file, equal values have equal fingerprints.
    """
    salt = salt or os.urandom(16).hex()
    variables = found.choice.variables
    entries = [_HEADER + salt.encode(), *(os.fsencode(f"{name}={variables[name]}") for name in sorted(variables))]
    content = b"".join(entry + b"\0" for entry in entries)
    digest = sha256()(content).hexdigest()
    _write(study.environment(digest), content)
    recorded = RecordedEnvironment(
        digest=digest,
        variables={name: _fingerprint(salt, name, variables[name]) for name in sorted(variables)},
        umask=found.umask,
        limits=found.limits,
        nice=found.nice,
        export=str(found.export),
        given=tuple(sorted(found.export.values)),
    )
    return EnvironmentRecorded(environment=recorded, reason=reason)


def _fingerprint(salt: str, name: str, value: str) -> str:
    return sha256()(os.fsencode(f"{salt} {name}={value}")).hexdigest()[:_FINGERPRINT]


def _write(path: Path, content: bytes) -> None:
    """Put a private file there, whole and on disk."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}~")
    with contextlib.suppress(FileNotFoundError):
        scratch.unlink()
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    durable.sync(path.parent)


def remove_others(study: StudyDir, digest: str) -> None:
    """Remove the files that the log no longer names. One that can't be removed is left to the next change."""
    for path in study.state.glob("environment.*"):
        if path != study.environment(digest):
            with contextlib.suppress(OSError):
                path.unlink()


class Kept(NamedTuple):
    """What a file holds."""

    salt: str
    variables: dict[str, str]


def read(study: StudyDir, recorded: RecordedEnvironment) -> Kept:
    """Return what the file holds. ValueError if it is not what was recorded, OSError if it can't be read."""
    content = durable.read(study.environment(recorded.digest))
    if sha256()(content).hexdigest() != recorded.digest:
        raise ValueError("is not as it was written")
    header, *entries = content.split(b"\0")[:-1]
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return Kept(header.removeprefix(_HEADER).decode(), {name: value for name, _, value in pairs})


def environment_of(study: StudyDir, record: StudyRecord) -> Environment:
    """Return what the steps of a study start in; if its file can't be read, its `problem` says so and what to do.

    A log in which none was recorded, as a test may make it, leaves them in that of this process.
    """
    recorded = record.environment
    if not recorded.digest:
        return Environment(dict(os.environ))
    try:
        variables = read(study, recorded).variables
    except (OSError, ValueError) as error:
        return Environment(problem=_problem(study, recorded, error))
    return Environment(variables, recorded.umask, recorded.limits, recorded.nice)


def what_is_wrong(study: StudyDir, recorded: RecordedEnvironment) -> str:
    """Return what a person must know if the file is not as it was recorded; empty if it is."""
    try:
        read(study, recorded)
    except (OSError, ValueError) as error:
        return _problem(study, recorded, error)
    return ""


def _problem(study: StudyDir, recorded: RecordedEnvironment, error: OSError | ValueError) -> str:
    """Return what a person must know if there is no file, or not the one that was recorded."""
    what = f"can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
    if isinstance(error, FileNotFoundError):
        what = "is missing"
    return (
        f"{study.environment(recorded.digest)} {what}, so no step starts; in a shell set up as for 'run', "
        f"'maestro-es env {study.root} --refresh' writes it again"
    )


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield how the names differ that two environments have, given their values or fingerprints."""
    for word, names in (
        ("added", after.keys() - before.keys()),
        ("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
        ("removed", before.keys() - after.keys()),
    ):
        if names:
            yield word, sorted(names)
