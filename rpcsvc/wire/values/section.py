"""The raw section: large binary data behind the JSON text, as it is.

    {"$bytes":{"raw":[0,8388608]}} NUL <8388608 bytes>

JSON text holds no NUL byte, so the first one in a body ends the text, and the section is all that comes after it. In
the text, {"raw": [offset, length]} stands in the place of base64; offsets count from the byte behind the NUL. Base64
would cost a third more bytes and several passes over them, in Python's memory and in orjson's.

Parts may overlap, and what nothing refers to is ignored. But a few bytes of text can name the whole section, again and
again; so all parts of a body together may be no larger than its section, and what is decoded stays in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NUL = 0


@dataclass(frozen=True, slots=True, repr=False)
class Encoded:
    """A value whose large binary data stayed where it was. Never without such data.

    Attributes:
        text: JSON in UTF-8, which refers to the raw section.
        raw: the parts of the section, in order. A memoryview is the memory of the value itself, not a copy: join the
            parts before anybody can change it.
    """

    text: bytes
    raw: tuple[bytes | memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes that it takes in a body."""
        return len(self.text) + 1 + sum(map(len, self.raw))

    def joined(self, before: bytes = b"", after: bytes = b"") -> bytes:
        """The body, with `before` and `after` around the text. The only copy that is made of the parts."""
        return b"".join((before, self.text, after, b"\0", *self.raw))

    def __repr__(self) -> str:
        return (
            f"<Encoded: {len(self.text)} bytes of text, {len(self.raw)} raw parts of {sum(map(len, self.raw))} bytes>"
        )


class Section:
    """The raw section of a body that was received."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._left = len(data)

    def part(self, reference: Any) -> memoryview:
        """The part that a {"raw": …} refers to; not a copy.

        Raises:
            ValueError: it is no such reference, or more than there is.
        """
        if type(reference) is not dict or reference.keys() != {"raw"}:
            raise ValueError('it must hold a string, or {"raw": [offset, length]}')
        place = reference["raw"]
        if type(place) is not list or list(map(type, place)) != [int, int]:
            raise ValueError("its place in the raw section must be two integers")
        offset, length = place
        if not 0 <= offset <= offset + length <= len(self._data):
            raise ValueError(f"it lies outside of the raw section, which has {len(self._data)} bytes")
        self._left -= length
        if self._left < 0:
            raise ValueError("the parts of the raw section are together larger than it")
        return self._data[offset : offset + length]

    def __repr__(self) -> str:
        return f"<Section of {len(self._data)} bytes, {self._left} of them still to be given out>"
