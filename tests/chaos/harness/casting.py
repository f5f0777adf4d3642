"""Casts and events of a run: given to the broker from a few threads, written down when it has confirmed them.

Rules: what is not confirmed is not owed, and not written down; it may be done all the same.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from rpcsvc import RpcClient
from rpcsvc.errors import RpcError

from . import functions
from .history import Buried, Event, Finished, Given, History, Started, now, read

CASTS: Mapping[str, float] = {"tiny": 8.0, "burn": 1.0, "once": 1.0, "wobble": 0.2}


class Caster:
    """Casts functions of a mix until it is stopped, or has cast so many.

    Args:
        url, queue: whose casts.
        folder: where the history is.
        most: how many; None is any number.
        threads: that many casts wait for their confirms at a time.
        delay: seconds that each is delayed, chosen between these.
        mix: functions and their weights.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        folder: Path,
        *,
        most: int | None = None,
        threads: int = 16,
        delay: tuple[int, int] = (0, 0),
        mix: Mapping[str, float] = CASTS,
        seed: int = 0,
    ) -> None:
        self._client = RpcClient(url, queue=queue, timeout=60.0, connect_timeout=60.0)
        self._folder = folder
        self._history = History(folder / "casts.jsonl")
        self._delay, self._mix, self._most = delay, mix, most
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self.given: list[str] = []
        self._buried: set[str] = set()
        self._threads = [
            threading.Thread(target=self._cast_on, args=(random.Random(f"{seed}-{each}"),), daemon=True)
            for each in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._stopping.set()
        self._client.close()
        for thread in self._threads:
            thread.join()
        self._history.close()

    def _cast_on(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            number = next(self._numbers)
            if self._most is not None and number > self._most:
                return
            function = chance.choices(list(self._mix), list(self._mix.values()))[0]
            token, delay = f"cast-{number}", chance.randint(*self._delay)
            due = now() + delay
            try:
                self._client.cast(function, token, *functions.arguments(function, chance), delay=delay or None)
            except RpcError:
                time.sleep(0.05)  # it is not owed
            else:
                idempotent = function not in functions.NON_IDEMPOTENT
                self._history.write(Given(now(), token, function, idempotent, due))
                self.given.append(token)

    def stop(self) -> None:
        """Cast no more; return when each that was under way is confirmed or has failed."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_until_given(self, count: int, *, patience: float) -> None:
        """Return when so many are confirmed.

        Raises:
            TimeoutError: they are not.
        """
        end = now() + patience
        while len(self.given) < count:
            if now() > end:
                raise TimeoutError(f"only {len(self.given)} of {count} casts were confirmed")
            time.sleep(0.1)

    def wait_until_done(self, *, patience: float) -> None:
        """Return when each that is owed is done or a dead letter, or after so many seconds; the checker tells which."""
        end = now() + patience
        while now() < end:
            self.bury()
            done = set(_over(read(self._folder.glob("*.jsonl"))))
            if done.issuperset(self.given):
                return
            time.sleep(1.0)

    def bury(self) -> None:
        """Write down which have become dead letters."""
        with contextlib.suppress(RpcError):
            for letter in self._client.dead_letters():
                if letter.letter_id not in self._buried:
                    self._buried.add(letter.letter_id)
                    self._history.write(Buried(now(), _token(letter.body), letter.error_type))


def _over(events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        if isinstance(event, Buried) or (isinstance(event, Finished) and not event.raised):
            yield event.call


def _token(body: bytes) -> str:
    params: Any = orjson.loads(body).get("params", [""])
    return str(params[0])


class Subscriber:
    """Hears events by a durable subscription, and writes each down as done."""

    def __init__(self, url: str, folder: Path, *patterns: str, name: str) -> None:
        self._client = RpcClient(url, connect_timeout=60.0)
        self._history = History(folder / "subscriber.jsonl")
        self._subscription = self._client.subscribe(*patterns, name=name)
        self.heard = 0
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        with contextlib.suppress(RpcError):
            for event in self._subscription:
                self._history.write(Started(now(), event.body, 0))
                self._history.write(Finished(now(), event.body, 0))
                self.heard += 1

    def close(self) -> None:
        """Hear no more."""
        self._subscription.close()
        self._thread.join(10.0)
        self._client.close()
        self._history.close()
