"""What is remembered for a while: at most so many entries and so many bytes, each no longer than its seconds.

When there is no room, the oldest go first. The clock is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from ..deadline import Clock

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    until: float
    size: int


class Remembered(Generic[Key, Value]):
    """A bounded table whose entries pass.

    Args:
        clock: seconds.
        most: entries.
        most_bytes: what the sizes of the entries may come to together.
    """

    def __init__(self, clock: Clock, *, most: int, most_bytes: int = 0) -> None:
        self._clock = clock
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: dict[Key, _Entry[Value]] = {}  # in the order in which they came

    def put(self, key: Key, value: Value, seconds: float, size: int = 0) -> None:
        """Remember something; what is larger than all that there is room for is not remembered.

        Args:
            size: bytes, where those are counted.
        """
        self._drop(key)
        if size > self._most_bytes:
            return
        self._entries[key] = _Entry(value, self._clock() + seconds, size)
        self._bytes += size
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def take(self, key: Key) -> Value | None:
        """What is remembered under `key`, which is forgotten now; None if there is nothing (any more)."""
        entry = self._drop(key)
        return entry.value if entry is not None and self._clock() < entry.until else None

    def get(self, key: Key) -> Value | None:
        """What is remembered under `key`; None if there is nothing (any more)."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._clock() < entry.until else None

    def sweep(self) -> None:
        """Forget what has had its time."""
        moment = self._clock()
        for key in [key for key, entry in self._entries.items() if entry.until <= moment]:
            self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: Key) -> _Entry[Value] | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
        return entry

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Remembered: {len(self)} of {self._most}, {self._bytes} bytes>"
