"""One call of a client, made ready in the caller's thread; and what a client may be told about calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..deadline import check_timeout
from ..errors import RequestTooLarge
from ..settings.client import ClientOptions
from ..settings.names import check_method
from ..wire import jsonrpc
from ..wire.sizes import BodyLimit
from .messages import Call, Outcome

now = time.monotonic
"""The clock of calls. Not the loop's own: uvloop's stands still within an iteration and counts whole milliseconds."""
_AROUND = 2048
"""Bytes that suffice for what is around the arguments of a request; a method's name is the largest part of it."""
_SURELY_SHORT = 255
"""Characters of ASCII; what goes beyond is looked at more closely."""


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
    ) -> Call:
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
            return Call(call_id, method, params, not kwargs, seconds, now(), outcome(call_id), self._options.queue)
        # Its parts are the caller's own memory, who may change it as soon as the call is under way: joined here.
        body = jsonrpc.encode_request(call_id, method, params)
        return Call(call_id, method, b"", not kwargs, seconds, now(), outcome(call_id), self._options.queue, body)

    def _check_size(self, size: int) -> None:
        if size > self.limit.most:
            raise RequestTooLarge(size, self.limit.most)

    def number(self) -> str:
        """A fresh call id."""
        return str(next(self._numbers))
