"""One call of a client, made ready in the caller's thread; and what a client may be told about calls."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..deadline import check_timeout
from ..errors import RequestTooLarge
from ..settings.client import ClientOptions
from ..settings.names import check_method
from ..wire import jsonrpc
from ..wire.names import RESERVED_PREFIX
from ..wire.sizes import BodyLimit

now = time.monotonic
"""The clock of calls. Not the loop's own: uvloop's stands still within an iteration and counts whole milliseconds."""
_AROUND = 2048
"""Bytes that suffice for what is around the arguments of a request; a method's name is the largest part of it."""
_LARGE_ARGUMENTS = 32 * 1024
"""Bytes of arguments from which a call travels alone."""
_SURELY_SHORT = 255
"""Characters of ASCII; what goes beyond is looked at more closely."""


class Outcome(Protocol):
    """Where the outcome of a call goes: an asyncio or a concurrent.futures Future."""

    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...
    def done(self) -> bool: ...


@dataclass(slots=True)
class PendingCall:
    """A call on its way.

    Attributes:
        call_id: its JSON-RPC id and correlation_id.
        method: the method's name.
        params: its arguments, encoded; empty where `body` holds them.
        is_positional: whether they are positional only.
        timeout: seconds; infinite where it waits for as long as it takes.
        started: when it was made, in seconds on the monotonic clock.
        outcome: where its result or error goes.
        body: the whole request, where that has a raw section; None where it is made when the call is sent.
        sent: how many times it was sent.
        pack: the message that it travels in with others; None where it has one of its own.
        probe: where its reply goes while it travels as an `rpc.map` of one, so that it is measured; else None.
        reply_to: the callback queue under which it was sent last; None while it was not, by itself.
    """

    call_id: str
    method: str
    params: bytes
    is_positional: bool
    timeout: float
    started: float
    outcome: Outcome
    body: bytes | None = None
    sent: int = 0
    pack: PendingCall | None = None
    probe: Outcome | None = None
    reply_to: str | None = None

    @property
    def size(self) -> int:
        """Bytes of its arguments; with what little is around them, where the whole request is made already."""
        return len(self.params if self.body is None else self.body)

    @property
    def is_packable(self) -> bool:
        """Whether it may travel with others: positional arguments, none of them large; no method of the protocol."""
        return (
            self.is_positional
            and self.body is None
            and len(self.params) <= _LARGE_ARGUMENTS
            and not self.method.startswith(RESERVED_PREFIX)
        )

    @property
    def deadline(self) -> float:
        """When it times out, in seconds on the monotonic clock."""
        return self.started + self.timeout

    def resolve(self, result: Any) -> None:
        """Give it its result, unless somebody has given it up."""
        if not self.outcome.done():
            try:  # noqa: SIM105 a context manager costs more than the rest, and each result comes through here
                self.outcome.set_result(result)
            except concurrent.futures.InvalidStateError:  # another thread cancelled it just now
                pass

    def fail(self, error: BaseException) -> None:
        """Give it its error, likewise."""
        if not self.outcome.done():
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self.outcome.set_exception(error)


class CallFactory:
    """Makes calls ready to send: numbered, checked and encoded. Any thread may use it.

    Attributes:
        limit: how large a request may be, as far as is known of the broker.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self.limit = BodyLimit(options.max_request)
        self._numbers = itertools.count(1)

    def make(
        self,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        timeout: float | None,
        outcome: Callable[[str], Outcome],
    ) -> PendingCall:
        """One call.

        Raises:
            ConfigurationError: the time-out is no time-out.
            EncodingError: the method's name or an argument cannot be carried; RequestTooLarge is a kind of it.
        """
        seconds = self._options.timeout if timeout is None else check_timeout(timeout, endless=True)
        if type(method) is not str or not 0 < len(method) <= _SURELY_SHORT or not method.isascii():
            check_method(method)
        call_id = self.number()
        params = jsonrpc.encode_params(args, kwargs)
        size = len(params) if isinstance(params, bytes) else params.size
        if size > self.limit.most - _AROUND:
            self._check_size(size + len(jsonrpc.encode_request(call_id, method, b"")))
        if isinstance(params, bytes):
            return PendingCall(call_id, method, params, not kwargs, seconds, now(), outcome(call_id))
        # Its parts are the caller's own memory, who may change it as soon as the call is under way: joined here.
        body = jsonrpc.encode_request(call_id, method, params)
        return PendingCall(call_id, method, b"", not kwargs, seconds, now(), outcome(call_id), body)

    def _check_size(self, size: int) -> None:
        if size > self.limit.most:
            raise RequestTooLarge(size, self.limit.most)

    def number(self) -> str:
        """A fresh call id."""
        return str(next(self._numbers))
