"""Packing: tiny calls of one method that wait to be sent at the same time travel as one message.

A message costs the broker more than a tiny call costs a worker. So calls that come in one tick of the event loop go out
as one `rpc.map`, as long as they are measured to be quick and their function is idempotent. Each call keeps its own
time-out, error and outcome. The calls of a tick are spread over the workers, as far as each share is worth a message.

Of a method that is not known yet a burst goes out in waves: the first one is a call or two for each worker, and what is
measured of it makes the next one larger. So ten thousand tiny calls of a fresh client are no ten thousand messages. If
no answer comes for a moment the next wave goes all the same, twice as wide: slow calls keep every worker busy.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import DecodingError, MethodNotFound, RequestTooLarge, ResultNotEncodable, RpcTimeout
from ..wire.many.answer import Understanding, read_answer
from ..wire.many.request import params as map_params
from .sizing import ChunkSizer

PACK_TARGET = 0.002
"""Seconds of work in one message, at most."""
_WORTH_A_MESSAGE = 0.0001
"""Seconds of work: about what broker, server and client do for one message. To spread less costs more than it gains."""
_PROBE_EVERY = 256
_SAME_TIME = 0.05
"""Calls made within so many seconds of each other may share a deadline: a call that waited for room is older."""
_REMEMBERED_METHODS = 1000
_MOST_BYTES = 1024 * 1024
"""Of arguments in one message, whatever the calls before them had."""
WAVE_LASTS = 0.01
"""Seconds that the calls of a method that is not known yet wait for what the wave before them tells."""


class Packable(Protocol):
    """What is packed: a call that is pending already, with its positional arguments encoded."""

    @property
    def call_id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def params(self) -> bytes: ...
    @property
    def timeout(self) -> float: ...
    @property
    def started(self) -> float: ...


class Timer(Protocol):
    """Something that is to be done later."""

    def cancel(self) -> None:
        """Do not do it."""
        ...


class Carrier(Protocol):
    """Who sends, and ends calls."""

    def workers(self) -> int:
        """How many workers there are to spread calls over, as far as is known."""
        ...

    def awaits(self, call: Any) -> bool:
        """Whether the call still waits for its outcome."""
        ...

    def later(self, seconds: float, then: Callable[[], None]) -> Timer:
        """Have something done in some seconds."""
        ...

    def send_alone(self, call: Any) -> None:
        """Send one call as a message of its own."""
        ...

    def send_pack(self, params: bytes, timeout: float, started: float, outcome: Pack) -> None:
        """Send an `rpc.map`, whose result or error goes to `outcome`."""
        ...

    def pack_ended(self) -> None:
        """What `send_pack` sent has its outcome."""
        ...

    def resolve(self, call: Any, result: Any) -> None:
        """A call has its result."""
        ...

    def fail(self, call: Any, error: BaseException) -> None:
        """A call has its error."""
        ...


class Packer:
    """Collects the calls of a tick, and sends them in as few messages as is right.

    Attributes:
        understanding: whether the servers know `rpc.map`; where they do not, all calls go alone.
    """

    def __init__(self, carrier: Carrier, understanding: Understanding | None = None) -> None:
        self._carrier = carrier
        self.understanding = Understanding() if understanding is None else understanding
        self._waiting: dict[tuple[str, float, int], list[Packable]] = {}
        self._sizers: dict[str, _MethodSizer] = {}

    @property
    def is_understood(self) -> bool:
        """False once a server did not know `rpc.map`: somebody else's, who speaks plain JSON-RPC."""
        return self.understanding.is_given

    def add(self, call: Packable) -> bool:
        """Take a call; whether it is the first of this tick, so that a `flush` has to be planned."""
        first = not self._waiting
        # Calls of one time-out made at one time share a deadline, so a message may expire with any of them.
        made = int(call.started / _SAME_TIME)
        self._waiting.setdefault((call.method, call.timeout, made), []).append(call)
        return first

    def forget(self) -> None:
        """Leave what was taken and is not sent yet to whoever sends it instead."""
        self._waiting.clear()
        for sizer in self._sizers.values():
            sizer.forget()

    def flush(self) -> None:
        """Send what was taken in this tick, or as much of it as goes in the first wave."""
        waiting, self._waiting = self._waiting, {}
        for (method, _, _), taken in waiting.items():
            sizer = self._sizer(method)
            if sizer.knows_enough_for(len(taken)) or not self.is_understood:
                self._send_all(taken, sizer)
            else:
                sizer.held.append(deque(taken))
                if sizer.timer is None:
                    self._send_wave(sizer)

    def _send_all(self, taken: list[Packable], sizer: _MethodSizer) -> None:
        calls = [call for call in taken if self._carrier.awaits(call)]
        if not calls:
            return  # given up already
        if not self.is_understood:
            self._send_alone(calls)
            return
        worth = int(len(calls) / sizer.size * PACK_TARGET / _WORTH_A_MESSAGE)
        spread = max(1, min(self._carrier.workers(), worth))
        size = min(sizer.size, math.ceil(len(calls) / spread))
        start = 0
        if size == 1 and sizer.wants_probe(len(calls)):
            self._send(calls[:1], sizer)
            start = 1
        for place in range(start, len(calls), size):
            if size == 1:
                self._carrier.send_alone(calls[place])
            else:
                self._send(calls[place : place + size], sizer)

    def _send_alone(self, calls: list[Packable]) -> None:
        for call in calls:
            self._carrier.send_alone(call)

    # ---- a method that is not known yet

    def _send_wave(self, sizer: _MethodSizer) -> None:
        """Send some of what is held, and wait for what is learned of it."""
        sizer.stop_waiting()
        sizer.wave += 1
        messages = 2 * max(1, self._carrier.workers()) << sizer.unanswered
        for number in range(messages):
            calls = sizer.take(sizer.size, self._carrier.awaits)
            if not calls:
                return
            if number == 0 or sizer.size > 1:
                self._send(calls, sizer)
            else:
                self._carrier.send_alone(calls[0])
        if sizer.held:
            sizer.timer = self._carrier.later(WAVE_LASTS, lambda: self._unanswered(sizer))

    def _unanswered(self, sizer: _MethodSizer) -> None:
        sizer.unanswered += 1
        self._send_wave(sizer)

    def answered(self, sizer: _MethodSizer, wave: int) -> None:
        """A message of a wave has its outcome; its calls are measured, if they could be."""
        if not sizer.held:
            return
        if sizer.is_settled or not self.is_understood:
            held = list(sizer.held)
            sizer.forget()
            for taken in held:
                self._send_all(list(taken), sizer)
        elif wave == sizer.wave:  # the first answer to it
            sizer.unanswered = 0
            self._send_wave(sizer)

    # ---- one message

    def _send(self, calls: list[Packable], sizer: _MethodSizer) -> None:
        params = map_params(calls[0].method, [call.params for call in calls], [call.call_id for call in calls])
        if len(params) > _MOST_BYTES and len(calls) > 1:  # those before them had smaller arguments
            middle = len(calls) // 2
            self._send(calls[:middle], sizer)
            self._send(calls[middle:], sizer)
            return
        started = min(call.started for call in calls)
        self._carrier.send_pack(params, calls[0].timeout, started, Pack(self, self._carrier, calls, sizer, len(params)))

    def _sizer(self, method: str) -> _MethodSizer:
        sizer = self._sizers.get(method)
        if sizer is None:
            if len(self._sizers) >= _REMEMBERED_METHODS:
                self._sizers = {name: each for name, each in self._sizers.items() if each.held}
            sizer = self._sizers[method] = _MethodSizer()
        return sizer


class _MethodSizer(ChunkSizer):
    """How many calls of one method to a message, and the calls that wait until that is known.

    While it is one, it asks for a probe now and then, lest it stay so for ever.

    Attributes:
        held: calls that wait for what is learned of the wave before them, those of one time-out and time together.
        wave: how many waves there were.
        unanswered: how many of the last ones went out without an answer to the one before.
        timer: runs while a wave is waited for.
    """

    def __init__(self) -> None:
        super().__init__(target=PACK_TARGET)
        self._unprobed = 0  # the first one that is sent is measured anyway
        self.held: deque[deque[Packable]] = deque()
        self.wave = 0
        self.unanswered = 0
        self.timer: Timer | None = None

    def knows_enough_for(self, calls: int) -> bool:
        """Whether so many calls need no wave: one message may hold them all, as far as is known by now.

        Calls that come one by one teach nothing of larger messages, and are not to be measured each for that.
        """
        return self.is_settled or (self.wave > 0 and not self.held and calls <= self.size)

    def wants_probe(self, calls: int) -> bool:
        """Whether one of these calls should travel so that its time is measured."""
        self._unprobed += calls
        if self._unprobed < _PROBE_EVERY:
            return False
        self._unprobed = 0
        return True

    def take(self, most: int, awaits: Callable[[Packable], bool]) -> list[Packable]:
        """The oldest calls that are held and may share a message, without those that were given up; none if none is."""
        while self.held:
            oldest = self.held[0]
            taken = [oldest.popleft() for _ in range(min(most, len(oldest)))]
            if not oldest:
                self.held.popleft()
            if calls := [call for call in taken if awaits(call)]:
                return calls
        return []

    def forget(self) -> None:
        """Hold nothing any more."""
        self.held.clear()
        self.unanswered = 0
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Wait for no wave any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Pack:
    """The outcome of one message of several calls, given out to them. It is used like a future.

    Attributes:
        calls: the calls, while they wait. They know it, so it forgets them: cycles would be left to the collector.
    """

    def __init__(
        self, packer: Packer, carrier: Carrier, calls: list[Packable], sizer: _MethodSizer, request_bytes: int
    ) -> None:
        self._packer = packer
        self._carrier = carrier
        self.calls = calls
        self._sizer = sizer
        self._wave = sizer.wave
        self._request_bytes = request_bytes

    def done(self) -> bool:
        """Never: the pending table sees to it that an outcome comes once."""
        return False

    def set_result(self, result: Any, /) -> None:
        """The message was answered."""
        self._carrier.pack_ended()
        calls, self.calls = self.calls, []
        try:
            answer = read_answer(result, len(calls))
        except DecodingError as error:
            self._fail(calls, error)
            self._packer.answered(self._sizer, self._wave)
            return
        self._packer.understanding.confirm()
        self._sizer.learn(answer, self._request_bytes)
        self._packer.answered(self._sizer, self._wave)
        if not answer.errors:
            for call, value in zip(calls, answer.results, strict=True):
                self._carrier.resolve(call, value)
            return
        for index, (call, value) in enumerate(zip(calls, answer.results, strict=True)):
            failed = answer.errors.get(index)
            if failed is not None:
                self._carrier.fail(call, failed)
            else:
                self._carrier.resolve(call, value)

    def set_exception(self, exception: BaseException, /) -> None:
        """The message as a whole failed."""
        self._carrier.pack_ended()
        calls, self.calls = self.calls, []
        self._fail(calls, exception)
        self._packer.answered(self._sizer, self._wave)

    def _fail(self, calls: list[Packable], exception: BaseException) -> None:
        if isinstance(exception, RpcTimeout):
            return  # each call keeps its own time, and says so in its own name
        if self._packer.understanding.is_missing(exception) or isinstance(exception, MethodNotFound):
            self._send_alone(calls)  # nothing has run; where it is the calls' own method that is missing, each is told
            return
        if isinstance(exception, ResultNotEncodable | RequestTooLarge) and len(calls) > 1:
            self._send_alone(calls)  # together too large; alone they may not be, and they may run again
            return
        for call in calls:
            self._carrier.fail(call, exception)

    def _send_alone(self, calls: list[Packable]) -> None:
        for call in calls:
            self._carrier.send_alone(call)
