"""The calls of one message, computed one by one. Pure.

    spread: one of them takes long, and the others need not wait for it: each is answered under its own id, at once
    take_apart: their worker died over one of them: all are computed again, and their answers joined to one

Rules: the message is what a worker would have made of it: it ends once, with the joined answer or with nothing. The
call that took a worker down is computed again only if it may be tried again. A call whose caller knows it by an id of
its own is answered by itself; what comes for it with the others later is a duplicate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..errors import CallCancelled, RemoteError
from ..wire import jsonrpc
from ..workers.work import Answer, Cancelled, Lost, Outcome
from .asked import Again, Asked
from .message import Call, Message, Workers
from .register import Register

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Parts:
    """The calls of one message that are computed one by one.

    Attributes:
        message: whose calls.
        asked: what it asks for: an `rpc.map` of an idempotent function.
        workers: who computes.
        register: where calls with ids of their own are found.
        ended: called once if the message was taken apart, with what a worker would have told of it.
    """

    message: Message
    asked: Asked
    workers: Workers
    register: Register
    ended: Callable[[Outcome], None]
    _calls: dict[int, Call] = field(default_factory=dict)
    _answers: dict[int, bytes] | None = None  # None until the message was taken apart
    _computed: int = 0
    _is_over: bool = False

    def spread(self, running: int) -> None:
        """Have every call but the one that runs computed by itself too."""
        assert self.message.key is not None
        reply_to = self.message.key[0]
        for index, call_id in enumerate(self.asked.ids):
            key = (reply_to, call_id)
            if index != running and not self.register.was_given_up(key):
                self._calls[index] = call = Call(self, index, key, self.message.deadline)
                self.register.calls[key] = call
                self._submit(call)

    def take_apart(self, lost: Lost) -> None:
        """Have every call computed by itself, the one that took the worker down if it may be tried again."""
        self._answers = {}
        for index in range(self.asked.count):
            call = self._calls.get(index)
            if call is not None and call.is_under_way:
                call.attempts += index == lost.item
                continue
            call = self._calls[index] = Call(self, index, None, self.message.deadline)
            if index == lost.item:
                self._lost(call, lost)
            else:
                self._submit(call)

    def cancel(self) -> None:
        """Stop what is not computed yet."""
        for call in list(self._calls.values()):
            self.stop(call)

    def stop(self, call: Call) -> None:
        """Stop one call, if it is not computed yet."""
        if call.work is not None:
            self.workers.cancel(call.work)

    def release(self) -> None:
        """The message is over, and its calls with it: what has not started need not start any more."""
        self._is_over = True
        for call in self._calls.values():
            if call.work is not None:
                call.work.is_wanted = False

    # ---- computing

    def _submit(self, call: Call, *, alone: bool = False) -> None:
        if self._is_over:
            self._remove(call)
        else:
            request = self.asked.requests[call.index]
            submit = self.workers.submit_alone if alone else self.workers.submit
            call.work = submit(request, partial(self._call_ended, call), call.deadline)

    def _call_ended(self, call: Call, outcome: Outcome) -> None:
        match outcome:
            case Answer(body):
                assert body is not None, "these requests are no notifications"
                self._computed += 1
                self._answered(call, body)
            case Lost():
                self._lost(call, outcome)
            case Cancelled() if call.is_given_up:
                self._answered(call, self._failure(call, CallCancelled("the call was given up")))
            case _:
                self._remove(call)
                self._end(outcome)

    def _lost(self, call: Call, lost: Lost) -> None:
        again = self.asked.again(call, lost)
        if again is not Again.NOT:
            self._submit(call, alone=again is Again.ALONE)
            return
        error = self.asked.lost_error(lost)
        log.warning("%s failed: %s (%s, after %.3g s)", self.asked.name_of(call.index), error, lost.exit, lost.seconds)
        self._answered(call, self._failure(call, error))

    def _failure(self, call: Call, error: RemoteError) -> bytes:
        return jsonrpc.encode_error(self.asked.id_of(call.index), error)

    def _answered(self, call: Call, response: bytes) -> None:
        self._remove(call)
        if self._is_over:
            return
        carrier = self.message.carrier
        if call.key is not None and not call.is_given_up and not carrier.is_lost:  # else it comes with the others
            carrier.publish_alone(call.key[0], response, self.asked.id_of(call.index))
        if self._answers is not None:
            self._answers[call.index] = response
            if len(self._answers) == self.asked.count:
                answers = [self._answers[index] for index in range(self.asked.count)]
                self._end(Answer(self.asked.join(answers), self._computed))

    def _remove(self, call: Call) -> None:
        if call.key is not None and self.register.calls.get(call.key) is call:
            del self.register.calls[call.key]

    def _end(self, outcome: Outcome) -> None:
        if self._answers is not None and not self._is_over:
            self._is_over = True
            self.ended(outcome)

    def __repr__(self) -> str:
        return f"<Parts: {len(self._calls)} calls of {self.asked.name}, {self._computed} computed>"
