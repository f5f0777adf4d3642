"""JSON-RPC 2.0 messages: requests, notifications, batches and responses, to bytes and back (https://www.jsonrpc.org/specification).

Three additions:

- Positional and named arguments together, which the specification lacks, are an object whose member "*" is the array
  of the positional ones: {"*": [1, 2], "name": 3}.
- `"raw": true` in a request says that its sender reads a raw section (`values.section`) in the response. Whoever does
  not know the member ignores it. A request itself may always have one.
- A body that is one bare JSON number or string is `Bare`: the official RabbitMQ tutorials send those.

Nothing here raises for what a peer sent: a malformed request parses to `Malformed`, which carries its error.
Values inside travel as `rpcsvc.wire.values` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import Any, TypeAlias

import orjson

from ..errors import DecodingError, EncodingError, InvalidRequest, ParseError, RemoteError
from . import values
from .names import MAP

POSITIONAL = "*"
"""The member that holds positional arguments beside named ones."""
MAX_BATCH = 10_000
"""The most requests in one batch."""

_SHOWN = 80
"""Bytes of a reply that is no response, in the error for it."""
MAX_ERROR_TEXT = 32 * 1024
"""Characters of an error's message, and of each text in its data, that travel."""

# A value may be nested as deeply as `values` lets it; the document around it adds levels of its own.
_RESPONSE_NESTING = values.MAX_NESTING + 3  # in the result of an rpc.map
_REQUEST_NESTING = values.MAX_NESTING + 3  # in the rows of an rpc.map

RequestId: TypeAlias = str | int | float | None
Params: TypeAlias = bytes | values.Encoded
"""The arguments of a call, encoded; `Encoded` where they hold large binary data."""


@dataclass(slots=True)  # not frozen, which would triple what making one costs
class Request:
    """A request, or a notification (a request that wants no response, section 4.1)."""

    method: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    id: RequestId
    is_notification: bool
    raw: bool = False
    """Whether its sender reads a raw section in the response."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A body, or a member of a batch, that is no request; `id` where one could be read."""

    error: RemoteError
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class Bare:
    """A body that is one bare JSON number or string."""

    value: int | float | str


@dataclass(frozen=True, slots=True)
class Batch:
    """An array of requests (section 6)."""

    members: tuple[Request | Malformed, ...]


Message: TypeAlias = Request | Malformed | Bare | Batch


# ---- requests ---------------------------------------------------------------------------------------------------


def encode_params(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Params:
    """The arguments of a call: an array, an object, or both.

    Raises:
        EncodingError: an argument cannot be carried exactly, or a keyword is "*".
    """
    if not kwargs:
        return values.encode_parts(list(args))
    if POSITIONAL in kwargs:
        raise EncodingError(f"a keyword argument cannot be named {POSITIONAL!r}: positional arguments travel under it")
    return values.encode_parts({POSITIONAL: list(args), **kwargs} if args else dict(kwargs))


def encode_request(call_id: str, method: str, params: Params) -> bytes:
    """The body of a request, around params that are encoded already; its sender reads raw sections.

    Raises:
        EncodingError: the method's name cannot be carried.
    """
    if isinstance(params, bytes):
        return b'{"jsonrpc":"2.0","id":"' + call_id.encode() + _method_part(method) + params + b"}"
    return params.joined(b'{"jsonrpc":"2.0","id":"' + call_id.encode() + _method_part(method), b"}")


def encode_notification(method: str, params: Params) -> bytes:
    """The body of a notification (section 4.1), around params that are encoded already.

    Raises:
        EncodingError: the method's name cannot be carried.
    """
    before = _notification_part(method)
    return before + params + b"}" if isinstance(params, bytes) else params.joined(before, b"}")


@lru_cache(maxsize=1024)
def _notification_part(method: str) -> bytes:
    return b'{"jsonrpc":"2.0","method":' + _name(method) + b',"params":'


@lru_cache(maxsize=1024)
def _method_part(method: str) -> bytes:
    return b'","method":' + _name(method) + b',"raw":true,"params":'


def _name(method: str) -> bytes:
    try:
        if isinstance(method, str):
            return orjson.dumps(method)
    except TypeError:
        pass
    raise EncodingError(f"a method's name must be text that UTF-8 can hold, not {method!r}")


def parse(body: bytes) -> Message:
    """What a server received. Never raises."""
    try:
        document = values.decode(body, max_nesting=_REQUEST_NESTING)
    except DecodingError as error:
        return Malformed(ParseError(f"the body is not valid: {_advice(body) or error}"))
    if type(document) is dict:
        return _request(document)
    if type(document) is list:
        return _batch(document)
    if isinstance(document, int | float | str) and not isinstance(document, bool):
        return Bare(document)
    return Malformed(InvalidRequest("a request is a JSON object, or an array of them"))


def _advice(body: bytes) -> str | None:
    """What to do about a body that clients of AMQP 1.0 send by mistake; None for any other.

    RabbitMQ hands on the content of a data section (AMQP 1.0, section 3.2.6) as it is. Of any other body it hands on
    the encoded section, which begins with a descriptor: 0, then 0x53 and the section's code in one byte.
    """
    section = {b"\0Sw": "amqp-value", b"\0Sv": "amqp-sequence"}.get(body[:3])
    if section is not None:
        return f"it is an {section} section of AMQP 1.0; send the JSON text as bytes, in a data section"
    return None if body else "it is empty; a client of AMQP 1.0 has to send the JSON text in a data section"


def methods(message: Message) -> list[str] | None:
    """The methods that a message calls; those of an `rpc.map` are the one that it is about.

    None for a bare value, which calls the default function of whoever gets it.
    """
    if isinstance(message, Bare):
        return None
    members = message.members if isinstance(message, Batch) else (message,)
    called = []
    for member in members:
        if isinstance(member, Request):
            inner = member.kwargs.get("method") if member.method == MAP else None
            called.append(inner if isinstance(inner, str) else member.method)
    return called


def without_arguments(message: Message) -> Message:
    """A message as it is, but for the arguments: enough to answer it."""
    if isinstance(message, Batch):
        return Batch(tuple(map(_bones, message.members)))
    return Bare(0) if isinstance(message, Bare) else _bones(message)


def _bones(member: Request | Malformed) -> Request | Malformed:
    return replace(member, args=(), kwargs={}) if isinstance(member, Request) else member


def failure(message: Message, error: RemoteError) -> bytes | None:
    """The response to a message that `error` ended outside of any function; None where no response is wanted."""
    if isinstance(message, Batch):
        responses = [
            encode_error(member.id, error)
            for member in message.members
            if not (isinstance(member, Request) and member.is_notification)
        ]
        return encode_batch(responses) if responses else None
    if isinstance(message, Bare):
        return encode_error(None, error)
    if isinstance(message, Request) and message.is_notification:
        return None
    return encode_error(message.id, error)


def _batch(members: list[Any]) -> Message:
    if not members:
        return Malformed(InvalidRequest("a batch must not be empty"))
    if len(members) > MAX_BATCH:
        return Malformed(InvalidRequest(f"a batch holds at most {MAX_BATCH} requests, not {len(members)}"))
    return Batch(
        tuple(
            _request(member)
            if type(member) is dict
            else Malformed(InvalidRequest("each member of a batch is a JSON object"))
            for member in members
        )
    )


def _request(document: dict[Any, Any]) -> Request | Malformed:
    call_id = document.get("id")
    if not _is_id(call_id):
        return Malformed(InvalidRequest('"id" must be a string, a number of 64 bits or null'))
    version = document.get("jsonrpc")
    if type(version) is not str or version != "2.0":  # the type first: an array compares item by item
        return Malformed(InvalidRequest('"jsonrpc" must be "2.0"'), call_id)
    method = document.get("method")
    if type(method) is not str:
        return Malformed(InvalidRequest('"method" must be a string'), call_id)
    params = document.get("params", [])
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    if type(params) is list:
        args, kwargs = params, {}
    elif type(params) is dict:
        kwargs = params
        args = kwargs.pop(POSITIONAL, ())
        if not isinstance(args, list | tuple):
            return Malformed(
                InvalidRequest(f'"params" may hold positional arguments under "{POSITIONAL}", as an array'), call_id
            )
        if not all(type(name) is str for name in kwargs):
            return Malformed(InvalidRequest('the names in "params" must be strings'), call_id)
    else:
        return Malformed(InvalidRequest('"params" must be an array or an object'), call_id)
    return Request(method, args, kwargs, call_id, "id" not in document, document.get("raw") is True)


def _is_id(value: Any) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**64  # beyond, it would not be written back as it came
    if type(value) is float:
        return isfinite(value)
    return value is None or type(value) is str


# ---- responses --------------------------------------------------------------------------------------------------


def encode_result(call_id: RequestId, result: Any, *, raw: bool = False) -> bytes:
    """The body of a response that carries a result; `raw`: whether it may have a raw section.

    Raises:
        EncodingError: the result cannot be carried exactly.
    """
    return wrap_result(call_id, values.encode_parts(result) if raw else values.encode(result))


def wrap_result(call_id: RequestId, encoded: bytes | values.Encoded) -> bytes:
    """The body of a response around a result that is encoded already."""
    before = b'{"jsonrpc":"2.0","id":' + orjson.dumps(call_id) + b',"result":'
    return before + encoded + b"}" if isinstance(encoded, bytes) else encoded.joined(before, b"}")


def encode_error(call_id: RequestId, error: RemoteError) -> bytes:
    """The body of a response that carries an error."""
    return b'{"jsonrpc":"2.0","id":' + orjson.dumps(call_id) + b',"error":' + values.encode(error_object(error)) + b"}"


def error_object(error: RemoteError) -> dict[str, Any]:
    """An error as a response carries it (section 5.1)."""
    document: dict[str, Any] = {"code": error.code, "message": _error_text(error.message)}
    if error.data:
        document["data"] = {
            name: _error_text(value) if isinstance(value, str) else value for name, value in error.data.items()
        }
    return document


def encode_batch(responses: Iterable[bytes]) -> bytes:
    """The body that answers a batch."""
    return b"[" + b",".join(responses) + b"]"


def _error_text(text: str) -> str:
    return printable(text if len(text) <= MAX_ERROR_TEXT else text[:MAX_ERROR_TEXT] + "[…]")


def printable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def decode_response(body: bytes) -> Any:
    """The result that a response carries.

    Raises:
        RemoteError: the typed error that it carries instead.
        DecodingError: it is no JSON-RPC 2.0 response.
    """
    try:
        document = values.decode(body, max_nesting=_RESPONSE_NESTING)
        if type(document) is not dict:
            raise not_a_response("it is not an object")
        if "result" in document:
            return document["result"]
        error = read_error(document.get("error"))
    except DecodingError as wrong:
        raise DecodingError(f"{wrong}; it {_beginning(body)}") from None
    raise error


def read_error(error: Any) -> RemoteError:
    """The typed error that an error object stands for.

    Raises:
        DecodingError: it is no error object.
    """
    if type(error) is not dict or type(error.get("code")) is not int or type(error.get("message")) is not str:
        raise not_a_response('it has neither "result" nor a proper "error"')
    return remote_error(error["code"], error["message"], error.get("data"))


# Read here, before anybody else can have derived an error of his own.
_BY_CODE = {cls.CODE: cls for cls in RemoteError.__subclasses__()}


def remote_error(code: int, message: str, data: Any = None) -> RemoteError:
    """The typed error for a JSON-RPC error object; an unknown code gives a plain RemoteError that keeps it."""
    members = data if isinstance(data, dict) else {} if data is None else {"data": data}
    return _BY_CODE.get(code, RemoteError)(message, code=code, data=members)


def _beginning(body: bytes) -> str:
    """How a reply begins, as text without line breaks or control characters; who sent it may be anybody."""
    if not body:
        return "is empty"
    shown = body[:_SHOWN].decode("utf-8", "backslashreplace")
    return f"begins with {shown!r}" if len(body) > _SHOWN else f"is {shown!r}"


def not_a_response(why: str) -> DecodingError:
    """The error for a reply that is none."""
    return DecodingError(f"the reply is not a proper response: {why}")
