"""The functions of the pools that publisher_confirms.py starts: `count` by casts, `counted` by calls."""

from rpcsvc import Registry

registry = Registry()
_numbers: set[int] = set()


@registry.function
def count(number: int) -> None:
    _numbers.add(number)


@registry.function
def counted() -> int:
    return len(_numbers)
