"""Which messages of a channel the broker has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rpcsvc.amqp.confirms import Confirms
from rpcsvc.errors import ConnectionLost, MessageRefused


def outcomes(settle: Callable[[Confirms], None], count: int = 4) -> list[str]:
    """What becomes of so many messages: "taken", the name of an error, or "" while nothing is known."""

    def outcome(settled: asyncio.Future[None]) -> str:
        if not settled.done():
            return ""
        error = settled.exception()
        return "taken" if error is None else type(error).__name__

    async def main() -> list[str]:
        confirms = Confirms()
        messages = [confirms.expect() for _ in range(count)]
        settle(confirms)
        found = [outcome(each) for each in messages]
        assert len(confirms) == found.count("")
        return found

    return asyncio.run(main())


def test_the_broker_counts_from_one() -> None:
    assert outcomes(lambda confirms: confirms.confirmed(1, multiple=False)) == ["taken", "", "", ""]


def test_one_confirm_may_be_for_all_up_to_it() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.confirmed(2, multiple=False)
        confirms.confirmed(3, multiple=True)

    assert outcomes(settle) == ["taken", "taken", "taken", ""]


def test_zero_stands_for_all() -> None:
    assert outcomes(lambda confirms: confirms.refused(0, multiple=True)) == [MessageRefused.__name__] * 4


def test_what_was_refused_is_told_from_what_nobody_knows_of() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.refused(2, multiple=False)
        confirms.confirmed(1, multiple=False)
        confirms.end(ConnectionLost("gone"))

    assert outcomes(settle) == ["taken", "MessageRefused", "ConnectionLost", "ConnectionLost"]


def test_a_number_that_is_not_awaited_is_nothing() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.confirmed(9, multiple=False)
        confirms.confirmed(1, multiple=False)
        confirms.confirmed(1, multiple=False)

    assert outcomes(settle, 1) == ["taken"]


def test_whoever_waits_no_more_is_left_alone() -> None:
    async def main() -> None:
        confirms = Confirms()
        confirms.expect().cancel()
        kept = confirms.expect()
        confirms.confirmed(2, multiple=True)
        assert kept.done()
        assert repr(confirms) == "<Confirms: 0 messages are not settled>"

    asyncio.run(main())
