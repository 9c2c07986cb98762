"""Reads and writes the file with the environment of a study's steps.

Only the file ``.maestro-es/environment.DIGEST`` contains values, and only its owner can read it. It consists of a
header with a salt, then entries ``NAME=VALUE`` sorted by name. A NUL byte ends the header and each entry.

The file is on disk before the log gets the event with its digest. Only then is the old file removed. So the file that
the log names always exists and is complete, even if a process is killed in between.

`maestro_es.core.exported_variables` decides which variables the steps get.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from maestro_es import files
from maestro_es.core.environment import Environment, RecordedEnvironment
from maestro_es.core.events import EnvironmentRecorded, StudyCreated
from maestro_es.core.file_names import ENVIRONMENT
from maestro_es.core.model import StudyRecord
from maestro_es.sha256 import sha256, short_digest
from maestro_es.study.layout import StudyDir

if TYPE_CHECKING:
    from maestro_es.store.study_log import StudyLog
    from maestro_es.study.surroundings import Surroundings

_HEADER = b"maestro-es environment 1 "

#: The number of digits in a fingerprint that identify the salt, and the number that identify the value.
_SALT, _FINGERPRINT = 4, 8


def keep(study_dir: StudyDir, current: Surroundings, reason: str = "", salt: str = "") -> EnvironmentRecorded:
    """Write the file, and return the event to append. OSError if the file can't be written.

    With the `salt` of an old file, a value gets the same fingerprint as in that file.
    """
    salt = salt or os.urandom(16).hex()
    variables = current.choice.variables
    entries = [_HEADER + salt.encode(), *(os.fsencode(f"{name}={variables[name]}") for name in sorted(variables))]
    content = b"".join(entry + b"\0" for entry in entries)
    digest = sha256()(content).hexdigest()
    path = study_dir.environment(digest)
    files.replace_file(path, content, 0o600, durable=True)  # durable: the event relies on it
    recorded = RecordedEnvironment(
        digest=digest,
        variables={name: _fingerprint(salt, name, variables[name]) for name in sorted(variables)},
        umask=current.umask,
        limits=current.limits,
        nice=current.nice,
        export=str(current.export),
        given=tuple(sorted(current.export.values)),
        job=current.job,
    )
    return EnvironmentRecorded(environment=recorded, reason=reason)


def _fingerprint(salt: str, name: str, value: str) -> str:
    """Return a fingerprint, ``SALT-VALUE``. Fingerprints with different salts can't be compared."""
    of_salt = sha256()(salt.encode()).hexdigest()[:_SALT]
    return f"{of_salt}-{sha256()(os.fsencode(f'{salt} {name}={value}')).hexdigest()[:_FINGERPRINT]}"


def remove_others(study_dir: StudyDir, digest: str) -> None:
    """Remove the files that the log no longer names. If one can't be removed, the next change tries again."""
    for path in (
        *study_dir.state.glob(f"{ENVIRONMENT}*"),
        *study_dir.state.glob(f".{ENVIRONMENT}*"),
    ):  # a leading dot: a partly written file
        if path != study_dir.environment(digest):
            with contextlib.suppress(OSError):
                path.unlink()


class Kept(NamedTuple):
    """The content of the environment file."""

    salt: str
    variables: dict[str, str]


def read(study_dir: StudyDir, recorded: RecordedEnvironment) -> Kept:
    """Return the content of the file.

    ValueError if it differs from the recorded one, and OSError if it can't be read.
    """
    content = files.read(study_dir.environment(recorded.digest))
    if short_digest(content) != recorded.digest:
        raise ValueError("is not as it was written")
    header, *entries = content.split(b"\0")[:-1]
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return Kept(header.removeprefix(_HEADER).decode(), {name: value for name, _, value in pairs})


def environment_of(study_dir: StudyDir, study_record: StudyRecord, log: StudyLog | None = None) -> Environment:
    """Return the environment of a study's steps. If its file can't be used, `problem` says why and what to do.

    If the log has no recorded environment, as in a test, steps inherit the environment of this process.
    """
    recorded = study_record.environment
    if not recorded.digest:
        return Environment(dict(os.environ))
    try:
        variables = read(study_dir, recorded).variables
    except (OSError, ValueError) as error:
        cluster = scheduler_facts(log).get("ClusterName", "") if log else ""
        return Environment(problem=_problem(study_dir, recorded, error), cluster=cluster)
    return Environment(variables, recorded.umask, recorded.limits, recorded.nice)


def scheduler_facts(log: StudyLog) -> dict[str, str]:
    """Return what the scheduler reported about its cluster when the study was created."""
    return next((r.event.scheduler for r in log.events(upto=2) if isinstance(r.event, StudyCreated)), {})


def what_is_wrong(study_dir: StudyDir, recorded: RecordedEnvironment) -> str:
    """Return a message if the file is missing or is not the recorded one (empty: the file is good)."""
    try:
        read(study_dir, recorded)
    except (OSError, ValueError) as error:
        return _problem(study_dir, recorded, error)
    return ""


def _problem(study_dir: StudyDir, recorded: RecordedEnvironment, error: OSError | ValueError) -> str:
    """Return the message for this error, with the remedy."""
    what = f"can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
    if isinstance(error, FileNotFoundError):
        what = "is missing"
    if isinstance(error, PermissionError) and not study_dir.is_ours():
        return f"{study_dir.environment(recorded.digest)} {what}; only the owner of the study may read the values"
    return (
        f"{study_dir.environment(recorded.digest)} {what}, so no step starts; in a shell set up as for 'run', "
        f"'maestro-es env {study_dir.root} --refresh' writes it again"
    )


def show_limit(value: int | None) -> str:
    """Return a soft limit in a readable form. None stands for an unknown limit."""
    return "unknown" if value is None else "unlimited" if value < 0 else str(value)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Compare the fingerprints of two environments.

    Yield a word for each kind of difference, and the names of the variables.

    If the old file was lost, its salt is unknown. So it is unknown which values have changed.
    """
    other = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    unknown = {name for name in other if before[name].partition("-")[0] != after[name].partition("-")[0]}
    for word, names in (
        ("added", after.keys() - before.keys()),
        ("changed", other - unknown),
        ("removed", before.keys() - after.keys()),
        ("perhaps changed, as the earlier values are lost", unknown),
    ):
        if names:
            yield word, sorted(names)
