"""What a message asks for, for a server that has to answer in place of a worker. Pure.

    body --parsed once--> Asked --> its name for the log; what holds for its functions; the errors that answer it;
                                    its calls one by one, and their answers as one again

Rules: a server looks into a body only if it has to: its worker died, it may have run before, its calls hold each other
up. It parses it once then, whatever follows. What is kept of it has no arguments in it, but for the requests of its
calls once it was taken apart.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import (
    InvalidRequest,
    MemoryLimitExceeded,
    OutcomeUnknown,
    RemoteError,
    TimeLimitExceeded,
    WorkerLost,
)
from ..host.logs import one_line
from ..wire import jsonrpc
from ..wire.many.answer import ErrorObject, MapResult, encode_response
from ..wire.many.request import MapRequest, read_message
from ..workers.work import Lost, Served

_LARGE = 64 * 1024
_SUSPECT = 2
_UNKNOWN = Served(idempotent=True)
"""A function that does not exist here runs not even once."""


class Again(enum.Enum):
    """Whether what was lost with its worker is computed again."""

    NOT = enum.auto()
    BESIDE = enum.auto()  # as before
    ALONE = enum.auto()  # in a worker that computes no other meanwhile


class Tried(Protocol):
    """What was lost: a message, or a call of one.

    Attributes:
        attempts: over how many a worker died that was running it, and nothing else.
        suspicion: 0, or 1 if it was lost beside a call that its worker was killed for, or 2 for what runs alone.
    """

    attempts: int
    suspicion: int


@dataclass(slots=True, eq=False)
class Asked:
    """What one message asks for.

    Attributes:
        name: what it calls, in words for the log.
        served: what holds for every function that it calls; a time limit, if no two of them have different ones.
        method: that of each of its calls, where they are calls of one method; else empty.
        count: how many calls it is.
        comes_apart: whether they can be computed one by one.
        ids: the id of each of its calls, where those have callers of their own and only travel together; else empty.
        methods: what it calls; None is the default function.
    """

    name: str
    served: Served
    method: str
    count: int
    comes_apart: bool
    ids: Sequence[str]
    methods: Sequence[str] | None
    _bones: jsonrpc.Message
    _several: MapRequest | None
    _requests: list[bytes] | None = None

    @classmethod
    def read(cls, body: bytes, functions: Mapping[str, Served], *, bare: bool = False) -> Asked:
        """Parse a body. Never raises: what is no request has an error for its answer.

        Args:
            body: the message's.
            functions: what is served.
            bare: whether what is no request calls the default function.
        """
        message = jsonrpc.parse(body)
        several = read_message(message)
        count = several.count if several else len(message.members) if isinstance(message, jsonrpc.Batch) else 1
        ids = several.ids if several else ()
        methods = jsonrpc.methods(message)
        if bare and not isinstance(message, jsonrpc.Request):
            methods = None
        return cls(
            name=_name(message, several),
            served=_served(methods, functions),
            method=several.method if several else "",
            count=count,
            comes_apart=several is not None and count > 1,
            ids=ids,
            methods=methods,
            _bones=jsonrpc.without_arguments(message),
            _several=several,
        )

    @classmethod
    def of_event(cls, handler: str, served: Served) -> Asked:
        """An event for a handler, which its body does not name."""
        return cls(
            name=one_line(f"an event for {handler}"),
            served=served,
            method=handler,
            count=1,
            comes_apart=False,
            ids=(),
            methods=(handler,),
            _bones=jsonrpc.without_arguments(jsonrpc.parse(b"{}")),
            _several=None,
        )

    def id_of(self, index: int) -> str:
        """The id of one of its calls; its place, where it has none of its own."""
        return self.ids[index] if self.ids else str(index)

    def name_of(self, index: int) -> str:
        """What one of its calls is, in words for the log."""
        return one_line(f"call {self.id_of(index)} of {self.method}")

    @property
    def requests(self) -> Sequence[bytes]:
        """The request for each call of an `rpc.map`, with the call's own id if it has one."""
        if self._requests is None:
            assert self._several is not None
            asked, self._several = self._several, None
            self._requests = [
                jsonrpc.encode_request(self.id_of(index), asked.method, jsonrpc.encode_params(list(args), {}))
                for index, args in enumerate(asked.each())
            ]
        return self._requests

    def failure(self, error: RemoteError) -> bytes | None:
        """The response when `error` ended it outside of any function; None where no response is wanted."""
        return jsonrpc.failure(self._bones, error)

    def join(self, answers: Sequence[bytes]) -> bytes | None:
        """The response to a message that was taken apart, from the responses to its calls, in order.

        None where no response is wanted.
        """
        assert isinstance(self._bones, jsonrpc.Request)
        if self._bones.is_notification:
            return None
        results: list[Any] = []
        errors: list[tuple[int, ErrorObject]] = []
        for index, response in enumerate(answers):
            try:
                results.append(jsonrpc.decode_response(response))
            except RemoteError as error:
                results.append(None)
                errors.append((index, jsonrpc.error_object(error)))
        # What the calls took is not known; calls of this method had better come alone for now.
        return encode_response(self._bones.id, MapResult(results, errors, 0.0, True))

    def again(self, tried: Tried, lost: Lost) -> Again:
        """Whether a call is computed again that was lost with its worker, and how; that is noted in it.

        What was running beside others may have done it, and runs alone from then on; it has been tried once when it has
        taken a worker down alone. What ran beside a call that its worker was killed for has done nothing. It runs
        beside others again, but alone if that happens twice, or it might never come to its end.
        """
        if lost.beside and self.served.idempotent:
            tried.suspicion = _SUSPECT if lost.running else tried.suspicion + 1
        else:
            tried.attempts += lost.running
            if not self.may_try_again(lost, tried.attempts):
                return Again.NOT
        return Again.ALONE if tried.suspicion >= _SUSPECT else Again.BESIDE

    def may_try_again(self, lost: Lost, attempts: int) -> bool:
        """Whether a call is computed again, after so many attempts over which workers died.

        One that had been computed, and only its answer was lost, took no worker down. One whose time was up would take
        as long again.
        """
        if not lost.running:
            return self.served.idempotent
        return self.served.idempotent and attempts < self.served.max_attempts and not lost.over_time

    def lost_error(self, lost: Lost) -> RemoteError:
        """What the caller of a call gets whose worker ended.

        Args:
            lost: how that came.
        """
        if lost.over_time:
            limit = self.served.time_limit
            if limit is None:  # one of several functions, with different limits
                return TimeLimitExceeded("the call ran longer than its time limit, and its worker was killed")
            sentence = f"the call ran longer than its time limit of {limit:g} s, and its worker was killed"
            return TimeLimitExceeded(sentence, data={"seconds": limit, "soft": False})
        if lost.over_memory is not None:
            most, used = lost.over_memory.limit, lost.over_memory.used
            who = f"the worker of the call and {lost.beside} beside it" if lost.beside else "the call"
            sentence = f"{who} took {used} bytes of memory, more than its limit of {most}, and its worker was killed"
            return MemoryLimitExceeded(sentence, data={"limit": most, "used": used})
        data = {"exit_code": lost.exit.exit_code, "signal": lost.exit.signal_number}
        others = f" and {lost.beside} beside it" if lost.beside else ""
        return WorkerLost(f"{lost.exit} while it computed this call{others}", data=data)


def called(body: bytes) -> str:
    """What a request calls, in words for the log. A large one is not looked into for that."""
    if len(body) > _LARGE:
        return f"a call of {len(body)} bytes"
    message = jsonrpc.parse(body)
    return _name(message, read_message(message))


def _name(message: jsonrpc.Message, several: MapRequest | None) -> str:
    if isinstance(message, jsonrpc.Batch):
        return f"a batch of {len(message.members)} calls"
    if not isinstance(message, jsonrpc.Request):
        return "a call"
    if several is None:
        return one_line(f"call {message.id} of {message.method}")
    if several.count > 1:
        return one_line(f"call {message.id}, which is {several.count} calls of {several.method},")
    return one_line(f"call {several.ids[0] if several.ids else message.id} of {several.method}")


def _served(called: Sequence[str] | None, functions: Mapping[str, Served]) -> Served:
    if called is None:
        facts = [served for served in functions.values() if served.is_default]
    else:
        facts = [functions.get(method, _UNKNOWN) for method in called]
    time_limits = {fact.time_limit for fact in facts if fact.time_limit is not None}
    return Served(
        idempotent=all(fact.idempotent for fact in facts),
        max_attempts=min((fact.max_attempts for fact in facts), default=1),
        time_limit=time_limits.pop() if len(time_limits) == 1 else None,
        retry=facts[0].retry if len(facts) == 1 else None,
    )


def too_large(size: int, most: int) -> bytes:
    """The response to a request of more bytes than are taken. It has no id: that would have to be looked for."""
    error = InvalidRequest(f"the request takes {size} bytes; this server takes at most {most}")
    return jsonrpc.encode_error(None, error)


def outcome_unknown() -> OutcomeUnknown:
    """The error for a request that may have run before, and must not run twice."""
    return OutcomeUnknown(
        "the call may have run before, when a server or a connection was lost, and its function must not run twice"
    )
