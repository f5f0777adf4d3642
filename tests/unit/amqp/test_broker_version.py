"""What a broker says of its version in the handshake."""

from __future__ import annotations

import pytest

from rpcsvc.amqp.connection import version_numbers


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ("3.10.8", (3, 10, 8)),
        ("4.0.5", (4, 0, 5)),
        ("4.3.0-rc.1", (4, 3, 0)),
        ("4", (4,)),
        ("4.", (4,)),
        ("", None),
        ("v4.0", None),
        ("unknown", None),
        (None, None),
        (4, None),
    ],
)
def test_a_version_is_the_numbers_that_it_begins_with(named: object, numbers: tuple[int, ...] | None) -> None:
    assert version_numbers(named) == numbers
