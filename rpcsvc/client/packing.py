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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..deadline import Clock
from ..errors import DecodingError, MethodNotFound, RequestTooLarge, ResultNotEncodable
from ..wire.many.answer import Understanding, read_answer
from ..wire.many.request import params as map_params
from .messages import Call, Message
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


class Carrier(Protocol):
    """Who sends, and ends calls."""

    def awaits(self, call: Call) -> bool:
        """Whether the call still waits for its outcome."""
        ...

    def send_alone(self, call: Call) -> None:
        """Send one call as a message of its own."""
        ...

    def send_shared(self, calls: Sequence[Call], params: bytes, kind: Packer, share: Share) -> None:
        """Send an `rpc.map` of calls; its outcome goes to `kind`, which has kept `share` of it."""
        ...

    def resolve(self, call: Call, result: Any) -> None:
        """Give a call its result."""
        ...

    def fail(self, call: Call, error: BaseException) -> None:
        """Give a call its error."""
        ...

    def wake_at(self, moment: float) -> None:
        """Call `tick` at that moment on the clock, or before."""
        ...


@dataclass(frozen=True, slots=True)
class Share:
    """What is kept of a message of several calls, or of one that is measured.

    Attributes:
        sizer: of the calls' method.
        wave: in which of its waves the message went.
        request_bytes: the size of the arguments.
    """

    sizer: _MethodSizer
    wave: int
    request_bytes: int


class Packer:
    """Collects the calls of a tick, and sends them in as few messages as is right; the kind of those messages.

    Args:
        carrier: who sends.
        clock: seconds.
        workers: how many workers there are to spread calls over, as far as is known.
        understanding: whether the servers know `rpc.map`; where they do not, all calls go alone.
    """

    def __init__(
        self, carrier: Carrier, clock: Clock, workers: Callable[[], int], understanding: Understanding
    ) -> None:
        self._carrier = carrier
        self._clock = clock
        self._workers = workers
        self.understanding = understanding
        self._gathered: dict[tuple[str, float, int], list[Call]] = {}
        self._sizers: dict[str, _MethodSizer] = {}
        self._waves: set[_MethodSizer] = set()  # those that wait for an answer to one

    def add(self, call: Call) -> bool:
        """Take a call; whether it is the first of this tick, so that a `flush` has to be planned."""
        first = not self._gathered
        # Calls of one time-out made at one time share a deadline, so a message may expire with any of them.
        made = int(call.started / _SAME_TIME)
        self._gathered.setdefault((call.method, call.timeout, made), []).append(call)
        return first

    def forget(self) -> None:
        """Leave what was taken and is not sent yet to whoever sends it instead."""
        self._gathered.clear()
        self._waves.clear()
        for sizer in self._sizers.values():
            sizer.forget()

    def flush(self) -> None:
        """Send what was taken in this tick, or as much of it as goes in the first wave."""
        gathered, self._gathered = self._gathered, {}
        for (method, _, _), taken in gathered.items():
            sizer = self._sizer(method)
            if sizer.knows_enough_for(len(taken)) or not self.understanding.is_given:
                self._send_all(taken, sizer)
            else:
                sizer.held.append(deque(taken))
                if sizer not in self._waves:
                    self._send_wave(sizer)

    def _send_all(self, taken: list[Call], sizer: _MethodSizer) -> None:
        calls = [call for call in taken if self._carrier.awaits(call)]
        if not calls:
            return  # given up already
        if not self.understanding.is_given:
            self._send_alone(calls)
            return
        worth = int(len(calls) / sizer.size * PACK_TARGET / _WORTH_A_MESSAGE)
        spread = max(1, min(self._workers(), worth))
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

    def _send_alone(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self._carrier.send_alone(call)

    # ---- a method that is not known yet

    def _send_wave(self, sizer: _MethodSizer) -> None:
        """Send some of what is held, and wait for what is learned of it."""
        self._waves.discard(sizer)
        sizer.wave += 1
        messages = 2 * max(1, self._workers()) << sizer.unanswered
        for number in range(messages):
            calls = sizer.take(sizer.size, self._carrier.awaits)
            if not calls:
                return
            if number == 0 or sizer.size > 1:
                self._send(calls, sizer)
            else:
                self._carrier.send_alone(calls[0])
        if sizer.held:
            sizer.wave_ends = self._clock() + WAVE_LASTS
            self._waves.add(sizer)
            self._carrier.wake_at(sizer.wave_ends)

    @property
    def next_wave(self) -> float:
        """When `tick` has something to do; infinite while no wave is waited for."""
        return min((sizer.wave_ends for sizer in self._waves), default=math.inf)

    def tick(self, now: float) -> None:
        """Send the next waves of those methods whose last one has found no answer in time."""
        for sizer in [sizer for sizer in self._waves if sizer.wave_ends <= now]:
            sizer.unanswered += 1
            self._send_wave(sizer)

    def _learned(self, share: Share) -> None:
        """A message has its outcome; its calls are measured, if they could be: what waited for that goes on."""
        sizer = share.sizer
        if not sizer.held:
            return
        if sizer.is_settled or not self.understanding.is_given:
            held = list(sizer.held)
            sizer.forget()
            self._waves.discard(sizer)
            for taken in held:
                self._send_all(list(taken), sizer)
        elif share.wave == sizer.wave:  # the first answer to it
            sizer.unanswered = 0
            self._send_wave(sizer)

    # ---- one message

    def _send(self, calls: list[Call], sizer: _MethodSizer) -> None:
        params = map_params(calls[0].method, [call.params for call in calls], [call.call_id for call in calls])
        if len(params) > _MOST_BYTES and len(calls) > 1:  # those before them had smaller arguments
            middle = len(calls) // 2
            self._send(calls[:middle], sizer)
            self._send(calls[middle:], sizer)
            return
        self._carrier.send_shared(calls, params, self, Share(sizer, sizer.wave, len(params)))

    # ---- what comes back

    def answered(self, message: Message, result: Any) -> None:
        """Give the results of a message to its calls."""
        calls, share = message.calls, message.share
        try:
            answer = read_answer(result, len(calls))
        except DecodingError as error:
            self.failed(message, error)
            return
        self.understanding.confirm()
        share.sizer.learn(answer, share.request_bytes)
        self._learned(share)
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

    def failed(self, message: Message, error: BaseException) -> None:
        """Give the error of a message to its calls, or send them alone, if that may help."""
        calls = message.calls
        if self.understanding.is_missing(error) or isinstance(error, MethodNotFound):
            for call in calls:
                call.may_have_run = message.is_again  # nothing has run now
            self._send_alone(calls)  # where it is the calls' own method that is missing, each is told
        elif isinstance(error, ResultNotEncodable | RequestTooLarge) and len(calls) > 1:
            self._send_alone(calls)  # together too large; alone they may not be, and they may run again
        else:
            for call in calls:
                self._carrier.fail(call, error)
        self._learned(message.share)

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
        wave_ends: when the last one has been waited for long enough, in seconds on the clock.
    """

    def __init__(self) -> None:
        super().__init__(target=PACK_TARGET)
        self._unprobed = 0  # the first one that is sent is measured anyway
        self.held: deque[deque[Call]] = deque()
        self.wave = 0
        self.unanswered = 0
        self.wave_ends = math.inf

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

    def take(self, most: int, awaits: Callable[[Call], bool]) -> list[Call]:
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
