"""The refusals that the built-in functions share.

Rule: no refusal prints a long integer. `str` of one beyond 4,300 digits raises a ValueError of its own, which would
hide ours, and a shorter one can still fill a screen.
"""

from __future__ import annotations

_SHOWN_BITS = 128


def whole_number(name: str, value: object, *, least: int | None = None, most: int | None = None) -> int:
    """`value`, if it is an int (and not a bool) from `least` to `most`, both included.

    Raises:
        ValueError: it is not; the sentence begins with the parameter's `name`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be an int, not {type(value).__name__}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least:,}, not {shown(value)}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:,}, not {shown(value)}")
    return value


def few_bits(name: str, value: int, most: int) -> None:
    """Refuse an int whose magnitude needs more than `most` bits.

    Raises:
        ValueError: it does.
    """
    if value.bit_length() > most:
        raise ValueError(f"{name} must have at most {most:,} bits, not {value.bit_length():,}")


def shown(value: int | float) -> str:
    """A number for a refusal: itself if it is short, else its size in bits."""
    if isinstance(value, float):
        return repr(value)
    if value.bit_length() <= _SHOWN_BITS:
        return f"{value:,}"
    return f"{'a negative' if value < 0 else 'a'} number of {value.bit_length():,} bits"
