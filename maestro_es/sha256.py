"""SHA-256 without OpenSSL, for processes that run for some milliseconds.

``hashlib`` loads OpenSSL, which takes a twentieth of a tick that has nothing to do. Such a tick digests a few short
texts with Python's built-in implementation. For many or long texts OpenSSL is up to five times faster, so it is loaded
then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol


class Digest(Protocol):
    """The interface of hashlib's digest objects."""

    def digest(self) -> bytes:
        """Return the digest."""

    def hexdigest(self) -> str:
        """Return the digest as hexadecimal digits."""


#: Above this length, in bytes, OpenSSL is faster, although it must be loaded first.
_LONG = 300_000


def short_digest(text: bytes) -> str:
    """Return the SHA-256 digest of a text, as hexadecimal digits. Most texts are short."""
    return (_built_in() if len(text) < _LONG else sha256())(text).hexdigest()


@functools.cache
def sha256() -> Callable[[bytes], Digest]:
    """Return hashlib's SHA-256."""
    import hashlib  # noqa: PLC0415 - OpenSSL is loaded when the first digest is made

    return hashlib.sha256


@functools.cache
def _built_in() -> Callable[[bytes], Digest]:
    """Return Python's built-in SHA-256, or hashlib's if Python was built without it."""
    import importlib  # noqa: PLC0415 - it is loaded by then

    for name in ("_sha2", "_sha256"):  # the names from Python 3.12 on, and before
        try:
            built_in: Callable[[bytes], Digest] = importlib.import_module(name).sha256
        except ImportError:
            continue
        return built_in
    return sha256()
