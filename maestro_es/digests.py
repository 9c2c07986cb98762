"""SHA-256 for a process of some milliseconds.

``hashlib`` loads OpenSSL, and that takes a twentieth of a tick with nothing to do. Such a tick digests a few short
texts, with the implementation that Python has built in. For many texts, or long ones, that one is up to five times
slower than OpenSSL, which is then loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol


class Digest(Protocol):
    """What has digested a text."""

    def digest(self) -> bytes:
        """Return the digest."""

    def hexdigest(self) -> str:
        """Return the digest as hexadecimal digits."""


def short_digest(text: bytes) -> str:
    """Return the SHA-256 digest of a short text as hexadecimal digits."""
    return _built_in()(text).hexdigest()


@functools.cache
def sha256() -> Callable[[bytes], Digest]:
    """Return hashlib's SHA-256."""
    import hashlib  # noqa: PLC0415 - OpenSSL is loaded when the first digest is made

    return hashlib.sha256


@functools.cache
def _built_in() -> Callable[[bytes], Digest]:
    """Return the SHA-256 of Python itself; hashlib's, if Python was built without."""
    import importlib  # noqa: PLC0415 - it is loaded by then

    for name in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        try:
            built_in: Callable[[bytes], Digest] = importlib.import_module(name).sha256
        except ImportError:
            continue
        return built_in
    return sha256()
