"""The modes: what is measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to load a pool.

    Attributes:
        key: the letter it is chosen by.
        title: a line for the table.
        function: the function called, of `work.FUNCTIONS`.
        workers: processes that compute.
        prefetch: deliveries that each of them may hold.
        in_flight: calls under way at a time; 1 is one after the other.
        maps: whether a fixed number of calls goes through the peer's own way to make many.
        seconds_of_work: what the function itself takes, where the cost over it is what counts.
    """

    key: str
    title: str
    function: str = "fib"
    workers: int = 1
    prefetch: int = 1
    in_flight: int = 1
    maps: bool = False
    seconds_of_work: float = 0.0


MODES = {
    mode.key: mode
    for mode in (
        Mode(key="a", title="fib(30), one call at a time, 1 worker"),
        Mode(key="b", title="fib(30), 100 in flight, prefetch 1, 4 workers", workers=4, in_flight=100),
        Mode(key="c", title="fib(30), 100 in flight, prefetch 20, 2 workers", workers=2, prefetch=20, in_flight=100),
        Mode(key="d", title="map of fib(30), 2 workers", workers=2, in_flight=1000, maps=True),
        Mode(key="e", title="a function of 10 ms, one call at a time, 1 worker", function="busy", seconds_of_work=0.01),
        Mode(key="f", title="echo of 8 MiB of bytes, one call at a time, 1 worker", function="echo"),
    )
}
