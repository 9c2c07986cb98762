"""Gets and runs Maestro's own test files, and lists the tests that can't pass with maestro-es.

This tree contains none of these files. They are downloaded when the tests run, from the newest source distribution
that contains tests, and stored next to the tools. A checkout of Maestro has many more. `GIVEN` is the variable with
its path.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

#: A directory with Maestro's ``tests`` and ``samples``. If it is set, nothing is downloaded.
GIVEN = "MAESTRO_ES_MAESTRO_TESTS"

#: The source distribution of version 1.2.1 has no tests. This one has the tests of script adapters.
_DISTRIBUTION = "maestrowf==1.1.8"

#: Tests that pass with Maestro and fail with maestro-es: by pattern, each with its reason.
LISTED: dict[str, str] = {}


class NoTests(Exception):
    """The test files are not available."""


def source() -> Path:
    """Return a directory with Maestro's tests. NoTests if they are not available."""
    if os.environ.get(GIVEN):
        return Path(os.environ[GIVEN])
    place = Path(sys.prefix) / "maestro-tests"
    if not (place / "tests").is_dir():
        _unpack(_distribution(), place)
    return place


def _distribution() -> bytes:
    folder = Path(sys.prefix) / "maestro-sdist"
    words = ["download", "--quiet", "--no-binary", ":all:", "--no-deps", "--dest", str(folder), _DISTRIBUTION]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=180, check=False
    )
    if done.returncode:
        raise NoTests(f"{_DISTRIBUTION} can't be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    [file] = folder.glob("maestrowf-*.tar.gz")
    return file.read_bytes()


def _unpack(archive: bytes, place: Path) -> None:
    """Unpack the tests and the samples that they need, without the first directory of their paths."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            _, _, path = member.name.partition("/")
            if member.isfile() and path.startswith(("tests/", "samples/")) and ".." not in path:
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                found = opened.extractfile(member)
                target.write_bytes(found.read() if found else b"")


def outcomes(place: Path, report: Path, *words: str) -> dict[str, str]:
    """Run the tests by ``python WORDS -m pytest``. Return the outcome of each: passed, failed, error or skipped.

    The tests in ``tests/integration`` are left out, because they call Maestro's commands and not its classes.
    """
    options = [
        "-q", "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts=", "--rootdir", ".", "--import-mode=importlib",
        "--continue-on-collection-errors", "--ignore=tests/integration", "--hypothesis-seed=0", f"--junitxml={report}",
        f"--basetemp={report.parent / report.stem}",
    ]  # fmt: skip
    call = [sys.executable, *words, "-m", "pytest", *options, "tests"]
    subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=250, check=False)
    return dict(_read(report))


def _read(report: Path) -> Iterator[tuple[str, str]]:
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - likewise
        marks = {mark.tag for mark in case} & {"failure", "error", "skipped"}
        found = next(iter(marks), "passed").replace("failure", "failed")
        yield f"{case.get('classname')}::{case.get('name')}", found
