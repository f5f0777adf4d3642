"""What becomes of the messages of a channel in confirm mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rpcsvc.amqp.confirms import Confirms, Outcome
from rpcsvc.amqp.messages import Returned
from rpcsvc.errors import ConnectionLost, MessageRefused


class Published:
    """So many messages, each with what became of it: "taken", the name of an error, why it came back, or ""."""

    def __init__(self, count: int = 4, **options: object) -> None:
        self.confirms = Confirms()
        self.outcomes = [""] * count
        self.sent: list[tuple[int, dict[str, object]]] = []
        publish = self.confirms.told(lambda number, **said: self.sent.append((number, said)))
        for number in range(count):
            publish(self.note(number), number, **options)

    def note(self, number: int) -> Callable[[Outcome], None]:
        def settled(outcome: Outcome) -> None:
            assert not self.outcomes[number], "each is told once"
            match outcome:
                case Returned():
                    self.outcomes[number] = outcome.reply_text
                case _:
                    self.outcomes[number] = "taken" if outcome is None else type(outcome).__name__

        return settled


def outcomes(settle: Callable[[Confirms], None], count: int = 4, **options: object) -> list[str]:
    published = Published(count, **options)
    settle(published.confirms)
    assert len(published.confirms) == published.outcomes.count("")
    return published.outcomes


def test_what_is_told_is_published_as_it_was_given() -> None:
    assert Published(2, mandatory=True).sent == [(0, {"mandatory": True}), (1, {"mandatory": True})]


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


def test_what_came_back_is_told_when_its_ack_comes() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.returned(Returned("7", "NO_ROUTE"))
        assert len(confirms) == 2
        confirms.confirmed(2, multiple=True)

    assert outcomes(settle, 2, mandatory=True, correlation_id="7") == ["NO_ROUTE", "taken"]


def test_messages_of_one_name_come_back_in_their_order() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.returned(Returned(None, "first", "m"))
        confirms.returned(Returned(None, "second", "m"))
        confirms.confirmed(1, multiple=False)
        confirms.returned(Returned(None, "third", "m"))
        confirms.returned(Returned(None, "one too many", "m"))
        confirms.confirmed(0, multiple=True)

    assert outcomes(settle, 3, mandatory=True, message_id="m") == ["first", "second", "third"]


def test_what_is_not_mandatory_or_not_ours_does_not_come_back() -> None:
    def settle(confirms: Confirms) -> None:
        confirms.returned(Returned("7", "NO_ROUTE"))
        confirms.confirmed(0, multiple=True)

    assert outcomes(settle, 1, correlation_id="7") == ["taken"]
    assert outcomes(settle, 1, mandatory=True, correlation_id="8") == ["taken"]


def test_a_message_that_could_not_be_published_is_not_counted() -> None:
    confirms = Confirms()

    def fails() -> None:
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        confirms.told(fails)(lambda _: None)
    assert repr(confirms) == "<Confirms: 0 messages are not settled>"


def test_messages_come_back_in_the_order_in_which_they_went_and_any_of_them_may() -> None:
    confirms, outcomes = Confirms(), ["", "", "", ""]
    for number, name in enumerate(("a", "b", "a", "c")):

        def settled(outcome: Outcome, number: int = number) -> None:
            outcomes[number] = outcome.reply_text if isinstance(outcome, Returned) else "taken"

        confirms.expect(settled, (name, None))

    for name, text in (("b", "second"), ("a", "third"), ("a", "nobody"), ("x", "nobody")):
        confirms.returned(Returned(None, text, name))
    confirms.confirmed(2, multiple=True)
    confirms.confirmed(3, multiple=False)
    confirms.confirmed(9, multiple=True)

    assert outcomes == ["taken", "second", "third", "taken"]
    assert repr(confirms) == "<Confirms: 0 messages are not settled>"


def test_what_was_published_after_all_were_settled_is_counted_on() -> None:
    confirms, settled = Confirms(), []
    for number in range(1, 7):
        confirms.expect(lambda _, number=number: settled.append(number), None)  # type: ignore[misc]
        if number % 2:
            confirms.confirmed(number, multiple=number != 3)
    confirms.confirmed(0, multiple=True)
    assert settled == [1, 3, 2, 4, 5, 6]
