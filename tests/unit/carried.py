"""Calls to pack, and a carrier that only notes what it is asked to send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from rpcsvc.client import messages
from rpcsvc.client.messages import Message
from rpcsvc.client.packing import Packer, Share
from rpcsvc.errors import WorkerLost
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.answer import Understanding
from rpcsvc.wire.many.request import read


@dataclass(slots=True, eq=False, kw_only=True)
class Call(messages.Call):
    """A call that waits, and its outcomes."""

    argument: Any
    outcomes: list[Any] = field(default_factory=list)


def make(argument: Any, method: str = "f", *, timeout: float = 10.0, started: float = 0.0, outcomes: Any = ()) -> Call:
    params = values.encode([argument])
    outcome = cast(Any, None)
    return Call(
        str(argument), method, params, True, timeout, started, outcome, "q", argument=argument, outcomes=list(outcomes)
    )


@dataclass(slots=True, eq=False)
class Sent:
    """An `rpc.map` that went out."""

    arguments: list[Any]
    method: str
    message: Message
    packer: Packer

    @property
    def timeout(self) -> float:
        return self.message.calls[0].timeout

    def set_result(self, result: Any) -> None:
        self.packer.answered(self.message, result)

    def set_exception(self, error: BaseException) -> None:
        self.packer.failed(self.message, error)


class FakeCarrier:
    """Sends nothing; answers as a server would."""

    def __init__(self, workers: int = 2) -> None:
        self.consumers = workers
        self.alone: list[messages.Call] = []
        self.packs: list[Sent] = []
        self.now = 100.0
        self.wakes: list[float] = []
        self.understanding = Understanding()

    def packer(self) -> Packer:
        self.waits = Packer(self, lambda: self.now, lambda: self.consumers, self.understanding)
        return self.waits

    def awaits(self, call: messages.Call) -> bool:
        assert isinstance(call, Call)
        return not call.outcomes

    def send_alone(self, call: messages.Call) -> None:
        self.alone.append(call)

    def send_shared(self, calls: Sequence[messages.Call], params: bytes, kind: Packer, share: Share) -> None:
        asked = read((), values.decode(params))
        message = Message("m", kind, "q", "rpc.map", params, calls[0].deadline, calls)
        message.share = share
        self.packs.append(Sent([args[0] for args in asked.each()], asked.method, message, kind))

    def wake_at(self, moment: float) -> None:
        assert moment >= self.now
        self.wakes.append(moment)

    @property
    def waits_for_a_wave(self) -> bool:
        return self.waits.next_wave < inf

    def let_time_pass(self) -> None:
        """What is waited for has not come in time."""
        if self.waits_for_a_wave:
            assert self.waits.next_wave == self.wakes[-1]
            self.now = self.waits.next_wave
            self.waits.tick(self.now)

    def resolve(self, call: messages.Call, result: Any) -> None:
        assert isinstance(call, Call)
        call.outcomes.append(result)

    def fail(self, call: messages.Call, error: BaseException) -> None:
        assert isinstance(call, Call)
        call.outcomes.append(error)

    @property
    def sizes(self) -> list[int]:
        """Of the messages, those of several calls first."""
        return [len(message.arguments) for message in self.packs] + [1] * len(self.alone)

    def answer(self, *, each: float = 1e-6, alone: bool = False, errors: Sequence[int] = ()) -> None:
        """Every message is answered; its calls echo their argument, and took `each` seconds."""
        failed = jsonrpc.error_object(WorkerLost("the worker died"))
        packs, self.packs, self.alone = self.packs, [], []
        for message in packs:
            at = [index for index, argument in enumerate(message.arguments) if argument in errors]
            message.set_result(
                {
                    "results": message.arguments,
                    "errors": [[index, failed] for index in at],
                    "seconds": each * len(message.arguments),
                    "bytes": 8 * len(message.arguments),
                    "alone": alone,
                }
            )

    def forget_what_was_sent(self) -> None:
        self.packs, self.alone = [], []


def tick(packer: Packer, count: int, make: Callable[[int], Call] = make) -> list[Call]:
    """`count` calls in one tick of the loop."""
    calls = [make(number) for number in range(count)]
    for call in calls:
        packer.add(call)
    packer.flush()
    return calls


def learned(carrier: FakeCarrier, *, each: float = 1e-6) -> Packer:
    """A packer that has seen how long the calls of `f` take."""
    packer = carrier.packer()
    for _ in range(20):
        tick(packer, 100)
        carrier.answer(each=each)
    return packer
