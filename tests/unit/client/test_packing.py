"""Which calls travel together, with a carrier that only notes what it is asked to send."""

from __future__ import annotations

from typing import Any

import pytest
from carried import FakeCarrier, learned, make, tick

from rpcsvc.client.packing import PACK_TARGET
from rpcsvc.errors import MethodNotFound, WorkerLost


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
