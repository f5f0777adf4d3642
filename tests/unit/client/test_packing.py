"""Which calls travel together, and what becomes of each, with a carrier that only notes what it is asked to send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.client import messages
from rpcsvc.client.messages import Message
from rpcsvc.client.packing import PACK_TARGET, Packer, Share
from rpcsvc.errors import (
    DecodingError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    NoServer,
    RequestTooLarge,
    ResultNotEncodable,
    WorkerLost,
)
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.answer import Understanding
from rpcsvc.wire.many.request import read

BOUNDED = examples(40)


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
    for _ in range(40):
        tick(packer, 400)
        carrier.answer(each=each)
    return packer


# ---- what goes out ----------------------------------------------------------------------------------------------


def test_the_first_call_of_a_tick_asks_for_a_flush_and_the_others_do_not() -> None:
    packer = FakeCarrier().packer()

    assert [packer.add(make(n)) for n in range(3)] == [True, False, False]
    packer.flush()
    assert packer.add(make(3))


def test_a_few_calls_of_a_method_that_is_not_known_go_at_once_and_one_is_measured() -> None:
    carrier = FakeCarrier()
    calls = tick(carrier.packer(), 4)

    assert [message.arguments for message in carrier.packs] == [[0]]
    assert carrier.alone == calls[1:]


def test_calls_that_come_one_by_one_travel_alone_and_are_measured_now_and_then_only() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    probes = 0
    for _ in range(1000):
        tick(packer, 1)
        probes += len(carrier.packs)
        carrier.answer()

    assert 3 <= probes <= 5


def test_the_rest_of_a_burst_waits_for_what_the_first_one_took_and_grows_with_what_is_known() -> None:
    carrier = FakeCarrier(workers=2)
    packer = carrier.packer()
    calls = tick(packer, 10_000)
    assert carrier.sizes == [1, 1, 1, 1]

    alone = len(carrier.alone)
    carrier.answer()
    assert carrier.sizes == [16] * 4
    carrier.answer()
    assert carrier.sizes == [256] * 4
    carrier.answer()
    assert max(carrier.sizes) == 2000, "it is known how quick they are: all that is left goes"
    carrier.answer()
    assert sum(call.outcomes == [call.argument] for call in calls) == 10_000 - alone
    assert not carrier.waits_for_a_wave


def test_without_an_answer_the_next_wave_goes_all_the_same_and_each_is_wider() -> None:
    carrier = FakeCarrier(workers=2)
    packer = carrier.packer()
    calls = tick(packer, 100)
    sent = []
    while len(carrier.sizes) < 100:
        sent.append(len(carrier.sizes))
        carrier.let_time_pass()

    assert sent == [4, 4 + 8, 4 + 8 + 16, 4 + 8 + 16 + 32]
    assert [call.argument for call in carrier.alone] + [message.arguments[0] for message in carrier.packs]
    assert len(calls) == len(carrier.sizes)
    carrier.let_time_pass()
    assert len(carrier.sizes) == 100


def test_slow_calls_that_waited_go_alone_as_soon_as_that_is_known() -> None:
    carrier = FakeCarrier(workers=2)
    packer = carrier.packer()
    tick(packer, 100)
    carrier.answer(each=0.5)

    assert sum(carrier.sizes) == 96
    assert max(carrier.sizes) == 1


def test_the_answer_to_an_earlier_wave_starts_no_second_one() -> None:
    carrier = FakeCarrier(workers=2)
    packer = carrier.packer()
    tick(packer, 10_000)
    carrier.let_time_pass()
    sent = len(carrier.sizes)
    first, second = carrier.packs
    result = {"results": [0], "errors": [], "seconds": 1e-6, "bytes": 8, "alone": False}

    first.set_result(result)
    assert len(carrier.sizes) == sent
    second.set_result(result)
    assert len(carrier.sizes) == sent + 4


def test_calls_given_up_while_they_wait_are_not_sent() -> None:
    carrier = FakeCarrier(workers=1)
    packer = carrier.packer()
    calls = tick(packer, 20)
    for call in calls[1:19]:
        call.outcomes.append("given up")
    carrier.forget_what_was_sent()
    carrier.let_time_pass()

    assert [message.arguments for message in carrier.packs] == [[19]]


def test_what_waits_when_the_connection_is_lost_is_left_to_who_sends_it_again() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    tick(packer, 100)
    carrier.forget_what_was_sent()
    packer.forget()
    carrier.let_time_pass()

    assert carrier.sizes == []


@pytest.mark.parametrize(
    "result", [None, {"results": [7], "errors": [], "seconds": 1e-6, "bytes": 1, "alone": True}], ids=["none", "alone"]
)
def test_whatever_the_first_one_is_answered_the_others_are_sent(result: Any) -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    tick(packer, 100)
    (first,) = carrier.packs
    first.set_result(result)
    carrier.let_time_pass()
    while carrier.waits_for_a_wave:
        carrier.let_time_pass()

    again = 1 if result is None else 0  # what answers so knows no messages of many calls: the first goes by itself too
    assert sum(carrier.sizes) == 100 + again


@pytest.mark.parametrize(
    "error",
    [
        MethodNotFound("no", data={"method": "f"}),
        MethodNotFound("Method not found"),
        WorkerLost("gone"),
    ],
    ids=repr,
)
def test_whatever_becomes_of_the_first_one_the_others_are_sent(error: Exception) -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    calls = tick(packer, 100)
    (first,) = carrier.packs
    first.set_exception(error)
    while carrier.waits_for_a_wave:
        carrier.let_time_pass()

    sent = {id(call) for call in carrier.alone} | {id(calls[n]) for message in carrier.packs for n in message.arguments}
    assert len(sent) == 100


def test_quick_calls_travel_together_spread_over_the_workers() -> None:
    carrier = FakeCarrier(workers=4)
    packer = learned(carrier, each=1e-5)
    calls = tick(packer, 100)

    assert carrier.sizes == [25, 25, 25, 25]
    assert [n for message in carrier.packs for n in message.arguments] == [call.argument for call in calls]


@pytest.mark.parametrize("workers", [0, 1])
def test_without_a_worker_to_be_seen_one_is_counted_on(workers: int) -> None:
    carrier = FakeCarrier(workers=1)
    packer = learned(carrier)
    carrier.consumers = workers
    tick(packer, 50)

    assert carrier.sizes == [50]


@pytest.mark.parametrize(("each", "sizes"), [(1e-6, [100]), (2e-6, [50, 50]), (3e-6, [34, 34, 32])])
def test_calls_that_are_less_work_together_than_a_message_are_not_spread(each: float, sizes: list[int]) -> None:
    carrier = FakeCarrier(workers=4)
    packer = learned(carrier, each=each)
    tick(packer, 100)

    assert carrier.sizes == sizes


def test_fewer_calls_than_workers_travel_alone_if_each_is_worth_a_message() -> None:
    carrier = FakeCarrier(workers=4)
    packer = learned(carrier, each=1e-4)
    tick(packer, 4)

    assert carrier.packs == []
    assert len(carrier.alone) == 4


def test_no_message_holds_more_work_than_the_target() -> None:
    carrier = FakeCarrier(workers=1)
    packer = learned(carrier, each=1e-4)
    tick(packer, 400)

    assert sum(carrier.sizes) == 400
    assert 1 < max(carrier.sizes) <= PACK_TARGET / 1e-4


def test_calls_found_to_be_slow_are_not_packed_any_more_at_once() -> None:
    carrier = FakeCarrier()
    packer = learned(carrier)
    tick(packer, 100)
    carrier.answer(each=0.05)
    tick(packer, 100)

    assert max(carrier.sizes) == 1


def test_calls_of_a_function_that_must_not_run_twice_never_travel_together() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    for _ in range(20):
        tick(packer, 400)
        assert max(carrier.sizes) == 1
        carrier.answer(alone=True)


def test_while_calls_travel_alone_one_is_measured_every_so_often() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    probes = 0
    for _ in range(1000):
        tick(packer, 1)
        probes += len(carrier.packs)
        carrier.answer(each=0.05)

    assert 3 <= probes <= 5


def test_a_method_that_was_slow_once_is_packed_again_when_it_is_found_to_be_quick() -> None:
    carrier = FakeCarrier()
    packer = learned(carrier, each=0.05)
    for _ in range(200):
        tick(packer, 100)
        carrier.answer()
    tick(packer, 100)

    assert carrier.sizes == [100]


def test_methods_and_time_outs_are_not_mixed_in_a_message() -> None:
    carrier = FakeCarrier(workers=1)
    packer = learned(carrier)
    tick(packer, 60, lambda n: make(n, timeout=1.0 if n % 2 else 2.0, method="f" if n % 3 else "g"))

    assert {message.method for message in carrier.packs if len(message.arguments) > 1} == {"f"}
    for message in carrier.packs:
        assert {1.0 if n % 2 else 2.0 for n in message.arguments} == {message.timeout}
        assert {"f" if n % 3 else "g" for n in message.arguments} == {message.method}


def test_a_call_that_waited_long_before_it_was_sent_takes_no_time_from_those_made_later() -> None:
    carrier = FakeCarrier(workers=1)
    packer = learned(carrier)
    tick(packer, 100, lambda n: make(n, started=100.0 if n < 50 else 105.0))

    started = [(sent.message.calls[0].started, len(sent.arguments)) for sent in carrier.packs]
    assert started == [(100.0, 50), (105.0, 50)]


def test_calls_that_were_given_up_before_the_flush_are_not_sent() -> None:
    carrier = FakeCarrier(workers=1)
    packer = learned(carrier)
    tick(packer, 10, lambda n: make(n, outcomes=["given up"] if n % 2 else []))
    assert [message.arguments for message in carrier.packs] == [[0, 2, 4, 6, 8]]

    carrier.forget_what_was_sent()
    tick(packer, 3, lambda n: make(n, outcomes=["given up"]))
    assert carrier.sizes == []


def test_a_caller_that_invents_methods_does_not_fill_the_memory() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    for number in range(5000):
        tick(packer, 1, lambda n, name=f"m{number}": make(n, method=name))  # type: ignore[misc]

    assert len(packer._sizers) <= 1000


# ---- what comes back --------------------------------------------------------------------------------------------


def packed(count: int, carrier: FakeCarrier) -> list[Call]:
    """Calls that travel in one message."""
    carrier.consumers = 1
    packer = learned(carrier)
    calls = tick(packer, count)
    assert carrier.sizes == [count]
    return calls


def test_each_call_has_its_own_result() -> None:
    carrier = FakeCarrier()
    calls = packed(5, carrier)
    carrier.answer()

    assert [call.outcomes for call in calls] == [[0], [1], [2], [3], [4]]


def test_an_error_is_that_of_its_call_and_the_others_have_their_results() -> None:
    carrier = FakeCarrier()
    calls = packed(5, carrier)
    carrier.answer(errors=[1, 3])

    assert [type(call.outcomes[0]) for call in calls] == [int, WorkerLost, int, WorkerLost, int]
    assert {len(call.outcomes) for call in calls} == {1}


@pytest.mark.parametrize("error", [NoServer("q", "nobody"), WorkerLost("the worker died")], ids=repr)
def test_a_message_that_fails_as_a_whole_fails_each_call(error: Exception) -> None:
    carrier = FakeCarrier()
    calls = packed(3, carrier)
    carrier.packs[0].set_exception(error)

    assert [call.outcomes for call in calls] == [[error]] * 3


def test_results_too_large_together_are_asked_for_one_by_one() -> None:
    carrier = FakeCarrier()
    calls = packed(3, carrier)
    (message,) = carrier.packs
    message.set_exception(ResultNotEncodable("the result takes too many bytes"))

    assert carrier.alone == calls
    assert [call.outcomes for call in calls] == [[], [], []]


def test_arguments_too_large_together_are_sent_one_by_one() -> None:
    carrier = FakeCarrier()
    calls = packed(3, carrier)
    carrier.packs[0].set_exception(RequestTooLarge(3000, 2000))

    assert carrier.alone == calls
    assert [call.outcomes for call in calls] == [[], [], []]


def test_a_message_of_larger_calls_than_those_before_is_cut() -> None:
    carrier = FakeCarrier()
    carrier.consumers = 1
    packer = learned(carrier)
    carrier.packs.clear()
    calls = [make("x" * 30_000 + str(number)) for number in range(200)]
    for call in calls:
        packer.add(call)
    packer.flush()

    sent = [argument for message in carrier.packs for argument in message.arguments]
    assert sent + [call.argument for call in carrier.alone] == [call.argument for call in calls]
    assert len(carrier.packs) > 1
    assert max(sum(map(len, message.arguments)) for message in carrier.packs) <= 2**20


def test_a_single_result_that_is_too_large_is_not_asked_for_again() -> None:
    carrier = FakeCarrier()
    (call,) = tick(carrier.packer(), 1)
    error = ResultNotEncodable("the result takes too many bytes")
    carrier.packs[0].set_exception(error)

    assert call.outcomes == [error]
    assert carrier.alone == []


@pytest.mark.parametrize("result", [None, 7, {"results": [1]}, {"results": [1, 2, 3]}], ids=repr)
def test_an_answer_that_is_none_fails_each_call(result: Any) -> None:
    carrier = FakeCarrier()
    calls = packed(2, carrier)
    carrier.packs[0].set_result(result)

    assert [type(call.outcomes[0]) for call in calls] == [DecodingError, DecodingError]


@BOUNDED
@given(
    ticks=st.lists(st.tuples(st.integers(1, 300), st.floats(1e-7, 1e-2), st.booleans()), min_size=1, max_size=20),
    workers=st.integers(1, 8),
    failing=st.sets(st.integers(0, 300)),
)
def test_every_call_has_exactly_one_outcome_and_it_is_its_own(
    ticks: list[tuple[int, float, bool]], workers: int, failing: set[int]
) -> None:
    carrier = FakeCarrier(workers)
    packer = carrier.packer()
    for count, each, alone in ticks:
        calls = tick(packer, count)
        sent_alone = []
        while carrier.sizes:
            sent_alone += carrier.alone
            carrier.answer(each=each, alone=alone, errors=tuple(failing))
            if not carrier.sizes:
                carrier.let_time_pass()
        for call in calls:
            if call in sent_alone:
                assert call.outcomes == []
            elif call.argument in failing:
                assert [type(outcome) for outcome in call.outcomes] == [WorkerLost]
            else:
                assert call.outcomes == [call.argument]


def test_a_server_that_knows_no_shared_messages_gets_every_call_by_itself_from_then_on() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    first = [make(number) for number in range(3)]
    for call in first:
        packer.add(call)
    packer.flush()

    carrier.packs[0].set_exception(MethodNotFound("Method not found"))
    later = [make(number) for number in range(1000)]
    for call in later:
        packer.add(call)
    packer.flush()

    assert set(map(id, carrier.alone)) == set(map(id, first + later))
    assert len(carrier.packs) == 1
    assert not any(call.outcomes for call in first)


def test_a_method_that_the_server_misses_does_not_end_packing_for_the_others() -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    packer.add(make(1, method="fibb"))
    packer.flush()

    carrier.packs[0].set_exception(MethodNotFound("no", data={"method": "fibb"}))

    assert carrier.understanding.is_given
    assert [call.argument for call in carrier.alone] == [1]


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("Invalid Request"), InvalidParams("Invalid params"), DecodingError("no response")],
    ids=repr,
)
def test_calls_go_alone_however_a_server_of_another_make_says_that_it_knows_no_such_message(error: Exception) -> None:
    carrier = FakeCarrier()
    packer = carrier.packer()
    first = [make(number) for number in range(3)]
    for call in first:
        packer.add(call)
    packer.flush()
    for message in list(carrier.packs):
        message.set_exception(error)

    assert set(map(id, carrier.alone)) == set(map(id, first))
    assert not carrier.understanding.is_given


@pytest.mark.parametrize("error", [InvalidRequest("too large"), DecodingError("no response")], ids=repr)
def test_servers_that_have_understood_once_are_believed_what_they_say_later(error: Exception) -> None:
    carrier = FakeCarrier()
    calls = packed(3, carrier)
    carrier.packs[0].set_exception(error)

    assert [call.outcomes for call in calls] == [[error]] * 3
