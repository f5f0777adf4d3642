"""What becomes of each call of a message that travelled together, by what comes back for it."""

from __future__ import annotations

from typing import Any

import pytest
from carried import Call, FakeCarrier, learned, make, tick
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

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


@examples(40)
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
