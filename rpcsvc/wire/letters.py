"""Dead letters on the wire: casts that were given up, with what is known of why. Pure.

A server's letter is the message as it was, with headers that say the rest. RabbitMQ writes letters too, for messages
that expired, or that it delivered too often: those have its `x-death` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import RemoteError
from . import jsonrpc
from .casts import History, kept_headers
from .names import ATTEMPTS, CAME_FROM, DIED, ERROR, HOST

MOST_ERROR = 32 * 1024
"""Bytes of an error in the headers: a message's properties must fit into one frame (AMQP 0-9-1, section 4.2.6.1)."""
_MOST_SENTENCE = 4 * 1024
_CUT = "…"


def letter_headers(
    headers: Mapping[str, Any],
    *,
    error: Mapping[str, Any],
    attempts: int,
    first_published: int | None,
    died: int,
    host: str,
    came_from: str,
) -> dict[str, Any]:
    """The headers of a dead letter.

    Args:
        headers: those of the message.
        error: the JSON-RPC error object that says why; the end of a long traceback is kept.
        attempts: how often its function was tried.
        first_published, died: milliseconds since 1970.
        host: where it was given up.
        came_from: the queue that it was consumed from.
    """
    history = History(attempts, first_published).headers()
    own = {ERROR: _fitting(error), DIED: died, HOST: host, CAME_FROM: came_from}
    return {**kept_headers(headers), ATTEMPTS: attempts, **history, **own}


def _fitting(error: Mapping[str, Any]) -> str:
    text = orjson.dumps(error, default=str)
    if len(text) <= MOST_ERROR:
        return text.decode()
    data = error.get("data")
    traceback = data.get("traceback") if isinstance(data, Mapping) else None
    short = {"code": error.get("code"), "message": _CUT.join((str(error.get("message"))[:_MOST_SENTENCE], ""))}
    if isinstance(traceback, str):
        short["data"] = {"traceback": _CUT + traceback[-_MOST_SENTENCE:]}
    return orjson.dumps(short).decode()


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        letter_id: what it is known by: its message_id, or a digest of it where it has none.
        message_id: the cast's id, None where its publisher gave none.
        method: what it calls; None where its body is no request.
        body: the message's.
        error: the error's sentence.
        error_type: the type of the function's exception, or the name of the error, "WorkerLost" for instance.
        traceback: the function's, or empty.
        attempts: how often its function was tried.
        first_published, died: milliseconds since 1970; None where that is not known.
        host: of the server that gave it up; empty for the broker's own letters.
        came_from: the queue that it was consumed from, or died in; None where that is not known.
        headers: its publisher's.
    """

    letter_id: str
    message_id: str | None
    method: str | None
    body: bytes
    error: str
    error_type: str
    traceback: str
    attempts: int
    first_published: int | None
    died: int | None
    host: str
    came_from: str | None
    headers: Mapping[str, Any]

    @classmethod
    def read(cls, body: bytes, headers: Mapping[str, Any], message_id: str | None) -> Letter:
        """From a message of a queue of dead letters, whoever wrote it. Never raises."""
        history = History.read(headers)
        death = _first(headers.get("x-death"))
        error = _object(headers.get(ERROR))
        data = _object(error.get("data"))
        if error:
            sentence, kind = str(error.get("message", "")), str(data.get("type") or _named(error.get("code", "")))
        else:
            sentence, kind = _brokers_reason(death), str(death.get("reason", ""))
        came_from = headers.get(CAME_FROM, death.get("queue"))
        died = headers.get(DIED)
        return cls(
            letter_id=message_id or _digest(body, headers),
            message_id=message_id,
            method=_method(body),
            body=body,
            error=sentence,
            error_type=kind,
            traceback=str(data.get("traceback", "")),
            attempts=history.attempts,
            first_published=history.first_published,
            died=died if type(died) is int else None,
            host=str(headers.get(HOST, "")),
            came_from=came_from if isinstance(came_from, str) else None,
            headers=kept_headers(headers),
        )


def _named(code: object) -> str:
    """The name of the error with that code, such as "OutcomeUnknown"; the code, where there is none."""
    kind = type(jsonrpc.remote_error(code, "")) if isinstance(code, int) else RemoteError
    return str(code) if kind is RemoteError else kind.__name__


def _digest(body: bytes, headers: Mapping[str, Any]) -> str:
    told = orjson.dumps([repr(headers.get(name)) for name in (DIED, ATTEMPTS, CAME_FROM, "x-death")])
    return hashlib.blake2b(body + told, digest_size=8).hexdigest()


def _first(deaths: object) -> Mapping[str, Any]:
    """RabbitMQ lists deaths by queue and reason, the latest first."""
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, Mapping) else {}


_REASONS = {
    "delivery_limit": "it was delivered too often without being answered: it may have taken servers down",
    "expired": "it waited longer than it was to wait",
    "maxlen": "its queue was full",
    "rejected": "a consumer refused it",
}


def _brokers_reason(death: Mapping[str, Any]) -> str:
    reason = str(death.get("reason", ""))
    return _REASONS.get(reason, reason) or "nobody has said why"


def _method(body: bytes) -> str | None:
    request = None
    if body[:1] == b"{":
        try:
            request = orjson.loads(body.partition(b"\n")[0])
        except orjson.JSONDecodeError:
            return None
    method = request.get("method") if isinstance(request, dict) else None
    return method if isinstance(method, str) else None
