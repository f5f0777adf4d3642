"""The modes: what is measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to load a pool.

    Attributes:
        key: the letter it is chosen by.
        title: a line for the table.
        kind: "call"; or one-way work: "cast" (published and confirmed), "executed" (casts that wait already), "event".
        function: the function called, of `work.FUNCTIONS`.
        workers: processes that compute.
        prefetch: deliveries that each of them may hold.
        in_flight: calls under way, or casts and events unconfirmed, at a time; 1 is one after the other.
        maps: whether a fixed number of calls goes through the peer's own way to make many.
        seconds_of_work: what the function itself takes, where the cost over it is what counts.
        queue_type: "quorum" or "classic", of casts; both are durable.
        subscribers: queues that each event goes to.
    """

    key: str
    title: str
    kind: str = "call"
    function: str = "fib"
    workers: int = 1
    prefetch: int = 1
    in_flight: int = 1
    maps: bool = False
    seconds_of_work: float = 0.0
    queue_type: str = ""
    subscribers: int = 0

    @property
    def one_way(self) -> bool:
        """Whether nobody waits for a result."""
        return self.kind != "call"

    @property
    def unit(self) -> str:
        """What is counted, one of them."""
        return "cast" if self.kind == "executed" else self.kind


def _casts(
    keys: str, title: str, *, kind: str = "cast", workers: int = 0, prefetch: int = 0, in_flight: int = 1
) -> list[Mode]:
    """The same on both types of queue."""
    return [
        Mode(
            key=key,
            title=f"{title}, {queue_type} queue",
            kind=kind,
            workers=workers,
            prefetch=prefetch,
            in_flight=in_flight,
            queue_type=queue_type,
        )
        for key, queue_type in zip(keys, ("quorum", "classic"), strict=True)
    ]


def _events(key: str, subscribers: int) -> Mode:
    title = f"events to {subscribers} subscriber{'s' * (subscribers > 1)}"
    return Mode(key=key, title=title, kind="event", workers=0, in_flight=100, subscribers=subscribers)


MODES = {
    mode.key: mode
    for mode in (
        Mode(key="a", title="fib(30), one call at a time, 1 worker"),
        Mode(key="b", title="fib(30), 100 in flight, prefetch 1, 4 workers", workers=4, in_flight=100),
        Mode(key="c", title="fib(30), 100 in flight, prefetch 20, 2 workers", workers=2, prefetch=20, in_flight=100),
        Mode(key="d", title="map of fib(30), 2 workers", workers=2, in_flight=1000, maps=True),
        Mode(key="e", title="a function of 10 ms, one call at a time, 1 worker", function="busy", seconds_of_work=0.01),
        Mode(key="f", title="echo of 8 MiB of bytes, one call at a time, 1 worker", function="echo"),
        *_casts("gh", "confirmed persistent casts, pipelined", in_flight=1000),
        *_casts("ij", "confirmed persistent casts, one by one"),
        *_casts("kl", "casts executed, fib(30), 2 workers", kind="executed", workers=2, prefetch=20, in_flight=1000),
        _events("m", 1),
        _events("n", 10),
        _events("o", 100),
    )
}
