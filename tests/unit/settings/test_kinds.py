"""What an option may be, by its kind: checked in a constructor, read from a command line."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rpcsvc import ConfigurationError
from rpcsvc.settings.kinds import REGISTRY, Kind, MessageSize, Number, Patterns, Seconds, Size, Truth, Whole
from rpcsvc.wire.sizes import MAX_BODY


@pytest.mark.parametrize(
    ("kind", "word", "value"),
    [
        (Truth(), "yes", True),
        (Truth(), "no", False),
        (Truth(), "perhaps", "perhaps"),
        (Patterns(), "a.*", ("a.*",)),
        (Seconds(), "inf", math.inf),
        (Seconds(), "soon", "soon"),
        (Number("R", least=0.1, most=9), "2", 2.0),
        (Whole(), "12", 12),
        (Whole(), "1" * 5000, "1" * 5000),
        (Size(), "2k", 2048),
        (Size(), "1" * 5000, "1" * 5000),
        (REGISTRY, "shop:registry", "shop:registry"),
        (Kind(), "what", "what"),
    ],
)
def test_a_word_of_a_command_line_is_read_as_what_it_stands_for(kind: Kind, word: str, value: Any) -> None:
    assert kind.read(word) == value


@pytest.mark.parametrize("value", ["auto", 1024, 2**20, MAX_BODY])
def test_the_size_of_a_message_is_auto_or_bytes(value: Any) -> None:
    assert MessageSize().check("max_result", value) == value


@pytest.mark.parametrize("value", [0, 1023, MAX_BODY + 1, 2000.0, True, "16M", None])
def test_any_other_size_of_a_message_is_refused_by_its_name_and_value(value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MessageSize().check("max_result", value)
    assert (
        str(caught.value)
        == f'max_result must be "auto" or a whole number of bytes from 1024 to 67108864, not {value!r}'
    )


def test_a_number_outside_of_its_bounds_is_refused() -> None:
    for wrong in (0, True, "1", math.nan):
        with pytest.raises(ConfigurationError, match=r"rate must be a number from 0\.1 to 9, not"):
            Number("R", least=0.1, most=9).check("rate", wrong)
    assert Kind().check("url", "what") == "what"
