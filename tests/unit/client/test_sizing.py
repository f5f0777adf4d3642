"""How many calls to a message: never none, never beyond the limits, and slow calls are believed at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.examples import examples

from rpcsvc.client.sizing import ChunkSizer
from rpcsvc.wire.many.answer import MapAnswer
from rpcsvc.wire.many.request import MAX_CALLS

BOUNDED = examples(30)


def answered(count: int, seconds: float, *, size_in_bytes: int = 10, alone: bool = False) -> MapAnswer:
    return MapAnswer([None] * count, {}, seconds, size_in_bytes, alone)


def learn_until_settled(sizer: ChunkSizer, each: float, rounds: int = 50) -> int:
    for _ in range(rounds):
        sizer.learn(answered(sizer.size, sizer.size * each), 10)
    return sizer.size


def test_it_begins_with_one_because_nothing_is_known() -> None:
    assert ChunkSizer().size == 1


def test_quick_calls_come_to_hold_the_target_of_work() -> None:
    assert learn_until_settled(ChunkSizer(target=0.003), each=1e-5) in (299, 300)


def test_calls_longer_than_the_target_stay_single() -> None:
    assert learn_until_settled(ChunkSizer(target=0.003), each=0.01) == 1


def test_it_grows_step_by_step_however_quick_the_first_was() -> None:
    sizer = ChunkSizer()
    sizes = []
    for _ in range(5):
        sizes.append(sizer.size)
        sizer.learn(answered(sizer.size, 0.0), 0)

    assert sizes == [1, 16, 256, 4096, MAX_CALLS]


def test_one_slow_message_is_believed_at_once_and_forgotten_by_and_by() -> None:
    sizer = ChunkSizer(target=0.003)
    learn_until_settled(sizer, each=1e-5)

    sizer.learn(answered(300, 3.0), 10)
    assert sizer.size == 1
    sizer.learn(answered(1, 1e-5), 10)
    assert sizer.size == 1
    assert learn_until_settled(sizer, each=1e-5) in (299, 300)


def test_large_arguments_and_large_results_make_small_messages() -> None:
    by_results, by_arguments = ChunkSizer(most_bytes=1000), ChunkSizer(most_bytes=1000)
    for _ in range(5):
        by_results.learn(answered(by_results.size, 0.0, size_in_bytes=100 * by_results.size), 0)
        by_arguments.learn(answered(by_arguments.size, 0.0, size_in_bytes=0), 100 * by_arguments.size)

    assert by_results.size == by_arguments.size == 10


def test_one_call_that_is_larger_than_the_limit_travels_all_the_same() -> None:
    sizer = ChunkSizer(most_bytes=1000)
    sizer.learn(answered(1, 0.0, size_in_bytes=10**9), 0)
    assert sizer.size == 1


def test_calls_that_had_better_travel_alone_do_at_once_and_what_was_known_is_forgotten() -> None:
    sizer = ChunkSizer()
    learn_until_settled(sizer, each=1e-5)
    sizer.learn(answered(sizer.size, 3.0), 10)

    sizer.learn(answered(sizer.size, 0.0, alone=True), 10)
    assert sizer.size == 1
    sizer.learn(answered(1, 0.0), 10)
    assert sizer.size == 16


def test_it_shows_what_it_knows() -> None:
    sizer = ChunkSizer()
    assert repr(sizer) == "<ChunkSizer: 1 calls of 0 s>"
    sizer.learn(answered(1, 0.5), 0)
    assert repr(sizer) == "<ChunkSizer: 1 calls of 0.5 s>"


class EveryHistory(RuleBasedStateMachine):
    """Any answers in any order, from a sizer with small limits so that they are met."""

    target, most, most_bytes = 0.003, 50, 2000

    def __init__(self) -> None:
        super().__init__()
        self.sizer = ChunkSizer(target=self.target, most=self.most, most_bytes=self.most_bytes)
        self.largest_sent = 1

    @rule(
        share=st.floats(0.01, 1.0),
        each=st.floats(0.0, 0.01) | st.floats(0.0, 1e6),
        size=st.integers(0, 10**6),
        request=st.integers(0, 10**6),
    )
    def answer(self, share: float, each: float, size: int, request: int) -> None:
        count = max(1, int(self.sizer.size * share))
        self.sizer.learn(answered(count, count * each, size_in_bytes=size), request)
        # The work and the bytes of the next message, if it is like this one.
        if self.sizer.size > 1:
            assert self.sizer.size * each <= self.target * 1.001
            assert self.sizer.size * max(size, request) <= self.most_bytes * count * 1.001

    @rule(count=st.integers(1, 50))
    def answer_that_asks_to_be_left_alone(self, count: int) -> None:
        self.sizer.learn(answered(count, 1e-6, alone=True), 1)
        assert self.sizer.size == 1

    @rule(count=st.integers(1, 10_000))
    def answer_to_more_than_it_said(self, count: int) -> None:
        """A share of the workers, or a size that the caller fixed, is not the sizer's own."""
        self.sizer.learn(answered(count, 0.0), 1)

    @invariant()
    def never_none_and_never_beyond_the_limit(self) -> None:
        assert 1 <= self.sizer.size <= self.most


TestEveryHistory = EveryHistory.TestCase
TestEveryHistory.settings = settings(BOUNDED, stateful_step_count=30)


@BOUNDED
@given(st.lists(st.floats(1e-7, 1e-4), min_size=1, max_size=30), st.floats(1e-4, 10.0))
def test_a_message_after_a_slow_one_holds_no_more_than_the_target_at_that_speed(
    quick: list[float], slow: float
) -> None:
    sizer = ChunkSizer(target=0.003)
    for each in quick:
        sizer.learn(answered(sizer.size, each * sizer.size), 1)

    sizer.learn(answered(sizer.size, slow * sizer.size), 1)

    assert sizer.size == 1 or sizer.size * slow <= 0.003 * 1.001
