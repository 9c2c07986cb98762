"""Keeps many items in little memory. So a command can read a log quickly, and print it slowly afterwards.

The first items stay in memory, and all others go to a temporary file without a name.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

#: How many items stay in memory.
_IN_MEMORY = 10_000

#: How many items are written at a time. All parts of a sorted spool are read at the same time, so each part has small
#: blocks.
_BLOCK, _SMALL_BLOCK = 500, 50

_Item = TypeVar("_Item")


@contextlib.contextmanager
def room_for(what: str) -> Iterator[None]:
    """Say what to do if there is no room for a temporary file."""
    try:
        yield
    except OSError as error:
        import tempfile  # noqa: PLC0415 - slow to import

        from maestro_es.errors import LogUnavailable  # noqa: PLC0415 - seldom needed

        message = f"{tempfile.gettempdir()}: can't hold {what} ({error.strerror})"
        raise LogUnavailable(f"{message}; make room there, or set TMPDIR to another directory") from None


class UnnamedFile:
    """A temporary file. It is gone as soon as nothing refers to it, or the process ends."""

    def __init__(self) -> None:
        import tempfile  # noqa: PLC0415 - slow to import

        with tempfile.TemporaryFile(buffering=0) as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self.size = 0

    def append(self, data: bytes) -> None:
        """Write at the end."""
        if os.pwrite(self._file, data, self.size) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(data)

    def read(self, size: int, at: int) -> bytes:
        """Return a part of the content."""
        return os.pread(self._file, size, at)


class Spool(Sequence[_Item]):
    """Items that are drawn once, and can be read again and again. msgspec must be able to decode their type."""

    def __init__(
        self,
        items: Iterable[_Item],
        kind: Any,  # noqa: ANN401 - a type
        what: str = "the steps of the study",
        *,
        is_part: bool = False,
    ) -> None:
        rest = iter(items)
        self._kind = kind
        self._block = _SMALL_BLOCK if is_part else _BLOCK
        self._decode: Callable[[bytes], list[_Item]] | None = None
        self._last: tuple[int, list[_Item]] = (-1, [])
        self._first = list(itertools.islice(rest, 0 if is_part else _IN_MEMORY))
        self._file: UnnamedFile | None = None
        self._ends = [0]
        self._length = len(self._first)
        with room_for(what):
            while block := list(itertools.islice(rest, self._block)):
                self._append(block)

    def _append(self, block: list[_Item]) -> None:
        import msgspec.msgpack  # noqa: PLC0415 - seldom needed

        self._file = self._file or UnnamedFile()
        self._file.append(msgspec.msgpack.encode(block))
        self._ends.append(self._file.size)
        self._length += len(block)

    def __iter__(self) -> Iterator[_Item]:
        yield from self._first
        if self._file is None:
            return
        for block in range(len(self._ends) - 1):
            yield from self._read(self._file, block)

    @overload
    def __getitem__(self, index: int) -> _Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[_Item]: ...

    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        which = range(self._length)[index]  # negative numbers count from the end
        return self._item(which) if isinstance(which, int) else [self._item(each) for each in which]

    def _item(self, index: int) -> _Item:
        if self._file is None or index < len(self._first):
            return self._first[index]
        block, at = divmod(index - len(self._first), self._block)
        if block != self._last[0]:
            self._last = (block, self._read(self._file, block))
        return self._last[1][at]

    def _read(self, file: UnnamedFile, block: int) -> list[_Item]:
        import msgspec.msgpack  # noqa: PLC0415 - likewise

        start, end = self._ends[block : block + 2]
        if self._decode is None:
            self._decode = msgspec.msgpack.Decoder(list[self._kind]).decode  # type: ignore[name-defined] # a value
        return self._decode(file.read(end - start, start))

    def __contains__(self, item: object) -> bool:
        return any(item == other for other in self)

    def __len__(self) -> int:
        return self._length

    def like(self, items: Iterable[_Item]) -> Spool[_Item]:
        """Return a spool of other items of the same type."""
        return Spool(items, self._kind)

    def in_order(self, key: Callable[[_Item], Any], *, reverse: bool = False) -> Iterator[_Item]:
        """Yield the items in another order. Items with the same key stay in their present order."""
        rest, parts = iter(self), []
        while part := sorted(itertools.islice(rest, _IN_MEMORY), key=key, reverse=reverse):
            parts.append(Spool(part, self._kind, is_part=True) if self._file else part)
        return heapq.merge(*parts, key=key, reverse=reverse)
