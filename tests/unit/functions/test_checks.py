from __future__ import annotations

import pytest

from rpcsvc.functions.builtin._checks import few_bits, shown, whole_number


def test_a_number_in_range_comes_back_and_both_ends_belong_to_the_range() -> None:
    assert [whole_number("n", n, least=1, most=3) for n in (1, 2, 3)] == [1, 2, 3]
    assert whole_number("n", -(10**50)) == -(10**50)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "n must be at least 1, not 0"),
        (-(10**5000), "n must be at least 1, not a negative number of 16,610 bits"),
        (1001, "n must be at most 1,000, not 1,001"),
        (10**5000, "n must be at most 1,000, not a number of 16,610 bits"),
        (True, "n must be an int, not bool"),
        (2.0, "n must be an int, not float"),
        ("2", "n must be an int, not str"),
    ],
    ids=["low", "very low", "high", "very high", "bool", "float", "str"],
)
def test_a_refusal_names_the_parameter_and_what_is_wrong_and_never_prints_a_long_number(
    value: object, sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        whole_number("n", value, least=1, most=1000)


def test_a_number_of_too_many_bits_is_refused_on_either_side_of_zero() -> None:
    few_bits("n", 2**64 - 1, 64)
    few_bits("n", -(2**64) + 1, 64)
    for value in (2**64, -(2**64)):
        with pytest.raises(ValueError, match=r"^n must have at most 64 bits, not 65$"):
            few_bits("n", value, 64)


def test_floats_are_shown_as_they_are() -> None:
    assert [shown(1.5), shown(float("nan")), shown(float("-inf"))] == ["1.5", "nan", "-inf"]
