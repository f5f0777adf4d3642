"""What a worker is told of a message besides its body, and what it reports of a cast. Pure.

Most calls are a body alone (frame CALL). A frame JOB has a context before it, which is JSON, as is the report that a
cast or an event has for its answer: nobody waits for a response there, so what became of it is for the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

Kind: TypeAlias = Literal["call", "cast", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a worker is told of a message besides its body.

    Attributes:
        kind: what the message is.
        message_id: the one of its properties.
        attempt: the number of this attempt, from 1.
        first_published: when it was published first, in milliseconds since 1970, if that is known.
        headers: its publisher's.
        bare: of a cast: whether a body that is no JSON-RPC object is for the registry's default function.
        handler: of an event: the name of the function.
        topic: of an event: its routing key.
        content_type: of an event: what its body is.
        redelivered: of an event: whether it may have been handled before.
    """

    kind: Kind
    message_id: str | None = None
    attempt: int = 1
    first_published: int | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    handler: str = ""
    topic: str = ""
    content_type: str | None = None
    redelivered: bool = False

    def encode(self) -> bytes:
        """As it travels to a worker. What JSON has no word for in the headers is written as text."""
        told = {name: value for name in self.__slots__ if (value := getattr(self, name)) != _LEFT_OUT.get(name)}
        try:
            return orjson.dumps(told, default=_as_text, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:  # a publisher wrote what is no UTF-8, or nested it too deeply
            told["headers"] = {}
            readable = {name: _readable(value) if isinstance(value, str) else value for name, value in told.items()}
            return orjson.dumps(readable)

    @classmethod
    def read(cls, data: bytes) -> Context:
        """From what has travelled."""
        return cls(**orjson.loads(data))


_LEFT_OUT: dict[str, Any] = {
    "message_id": None,
    "attempt": 1,
    "first_published": None,
    "headers": {},
    "bare": False,
    "handler": "",
    "topic": "",
    "content_type": None,
    "redelivered": False,
}


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _as_text(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes | bytearray) else str(value)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a cast or an event in its worker.

    Attributes:
        error: the JSON-RPC error object that ended it, with the traceback in its data; None if it is done.
        retry_in: seconds until it is to be tried again; None if it is not.
    """

    error: dict[str, Any] | None = None
    retry_in: float | None = None

    def encode(self) -> bytes:
        """As it travels to the server."""
        if self.error is None:
            return b'{"ok":true}'
        told = {"error": self.error, "retry_in": self.retry_in, "counts": True}
        return orjson.dumps(told, default=_as_text)

    @classmethod
    def read(cls, data: bytes) -> Report:
        """From what has travelled."""
        told = orjson.loads(data)
        return cls(told.get("error"), told.get("retry_in"))
