"""What is said to all servers at once, through the fanout exchange `rpcsvc.control`: so far, that calls are given up.

    {"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"reply_to": "amq.gen-…", "ids": ["7", "8"], "remaining": 2.5}}

A notification: nobody answers it. `ids` are the correlation_ids of calls whose replies were to go to `reply_to`;
`remaining` is for how many seconds one of them might still reach a server. Anybody who may publish to the exchange may
send anything, so what is read here is looked at with care.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..deadline import MAX_TIMEOUT
from ..errors import DecodingError
from .names import CANCEL

MAX_IDS = 1000
"""Ids in one message."""
MAX_BYTES = 64 * 1024
"""Of one message."""
_SHORT_STRING = 255


@dataclass(frozen=True, slots=True)
class Cancel:
    """Calls that nobody waits for any more.

    Attributes:
        reply_to: the callback queue of their replies.
        ids: their correlation_ids.
        remaining: for how many seconds one that is under way to a server is to be remembered.
    """

    reply_to: str
    ids: list[str]
    remaining: float


def cancels(reply_to: str, remaining: Mapping[str, float]) -> Iterator[bytes]:
    """The messages that give up calls.

    Args:
        reply_to: the callback queue of their replies.
        remaining: for each call, by its id, the seconds that its caller would have waited. What is longer than any
            message may wait in a queue is said to be that long.
    """
    left = iter(remaining)
    while ids := list(itertools.islice(left, MAX_IDS)):
        params = {"reply_to": reply_to, "ids": ids, "remaining": _seconds(remaining[each] for each in ids)}
        yield orjson.dumps({"jsonrpc": "2.0", "method": CANCEL, "params": params})


def _seconds(durations: Iterable[float]) -> float:
    return round(min(max(durations), MAX_TIMEOUT), 3)


def read(body: bytes) -> Cancel | None:
    """A message of the control exchange; None for one of a kind that is not known here.

    Raises:
        DecodingError: it is none.
    """
    if len(body) > MAX_BYTES:
        raise DecodingError(f"a control message has at most {MAX_BYTES} bytes, not {len(body)}")
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DecodingError("a control message is JSON") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise DecodingError("a control message is a JSON-RPC 2.0 notification")
    return _cancel(message.get("params")) if message["method"] == CANCEL else None


def _cancel(params: Any) -> Cancel:
    if not isinstance(params, dict):
        raise DecodingError(f"{CANCEL} has named params")
    reply_to, ids, remaining = params.get("reply_to"), params.get("ids"), params.get("remaining", 0)
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(map(_is_short, (reply_to, *ids))):
        raise DecodingError(f"{CANCEL} takes reply_to, and up to {MAX_IDS} ids as strings")
    if type(remaining) not in (int, float) or not 0 <= remaining <= MAX_TIMEOUT:
        raise DecodingError(f"{CANCEL} takes remaining in seconds")
    return Cancel(str(reply_to), ids, float(remaining))


def _is_short(text: object) -> bool:
    """Whether this can be a property of a message at all."""
    return isinstance(text, str) and len(text) <= _SHORT_STRING
