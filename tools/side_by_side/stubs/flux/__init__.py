"""The part of Flux's Python binding that Maestro uses in a dry run: a broker with a version and two queues."""

from __future__ import annotations

VERSION = "0.66.0"
QUEUES = ("batch", "debug")


class _Answer:
    def __init__(self, answer: dict[str, object]) -> None:
        self._answer = answer

    def get(self) -> dict[str, object]:
        return self._answer


class Flux:
    """A connection to the broker."""

    def attr_get(self, name: str) -> str:
        """Return an attribute of the broker. Maestro reads only its version."""
        if name != "version":
            raise KeyError(name)
        return VERSION

    def rpc(self, topic: str) -> _Answer:
        """Answer a call. Maestro reads only the configuration."""
        if topic != "config.get":
            raise KeyError(topic)
        return _Answer({"queues": {name: {} for name in QUEUES}})
