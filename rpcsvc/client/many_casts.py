"""`cast_many`: casts that are sent ahead of their confirms, as many as the broker takes, and no more than fit.

    iterables -> a cast each -> the client's own thread -> the broker
        ^                                                     | confirms, many at once
        +--- read on while few enough are under way <---------+

What is under way is bounded in number and in bytes, so a broker that is slow, or in an alarm, slows down whoever reads
the iterables. After the first cast that failed no further one is made; when all that were made have their outcome, that
failure is raised, and says which others failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from _thread import LockType, allocate_lock
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from typing import Any

from ..errors import ConfigurationError, EncodingError, RpcError
from .outgoing import Outgoing

MOST_UNDER_WAY = 4096
"""Casts that wait for their confirm. A broker confirms many at once, and needs some hundreds before it to do so."""
MOST_BYTES = 16 * 2**20
"""Bytes of their bodies."""
PAUSE_EVERY = 100
"""Casts after which an event loop does something else."""


def cast_all(
    make: Callable[..., Outgoing],
    post: Callable[[Outgoing], None],
    wait_for: Callable[[ManyCasts, int], None],
    iterables: tuple[Iterable[Any], ...],
    name: str = "cast_many",
) -> list[str]:
    """Cast, or publish, for each item of the iterables, and wait until all is settled; their ids.

    Args:
        make: makes a cast of its `args`, and of who is `settled`.
        post: begins to send it.
        wait_for: waits until no more than so many are under way.
        iterables: the positional arguments.
        name: of the method that does it.

    Raises:
        RpcError: the first failure; see `ManyCasts.result`.
        Exception: what the iterables raise, when all that were made are settled.
    """
    casts = ManyCasts(name)
    made, settled = casts.made, casts.settled
    arguments = rows(iterables, name)
    try:
        for args in arguments:
            message = make(args=args, settled=settled)
            may_go_on = made(message)
            post(message)
            if not may_go_on:
                wait_for(casts, MOST_UNDER_WAY // 2)
            if casts.failures:
                break
    except EncodingError as error:
        casts.stopped(error)
    except Exception as error:
        wait_for(casts, 0)
        error.add_note(casts.summary())
        raise
    except BaseException as error:  # Ctrl-C: who wants to end is not kept waiting
        error.add_note(casts.summary())
        raise
    wait_for(casts, 0)
    return casts.result()


async def cast_all_awaited(
    make: Callable[..., Outgoing],
    post: Callable[[Outgoing], None],
    iterables: tuple[Iterable[Any] | AsyncIterable[Any], ...],
    name: str = "cast_many",
) -> list[str]:
    """Likewise, on the event loop that settles them too; a single iterable may be an asynchronous one."""
    casts = ManyCasts(name)
    try:
        try:
            async with contextlib.aclosing(_awaited_rows(iterables, name)) as arguments:
                async for args in arguments:
                    message = make(args=args, settled=casts.settled)
                    may_go_on = casts.made(message)
                    post(message)
                    if not may_go_on:
                        await casts.until(MOST_UNDER_WAY // 2)
                    if casts.failures:
                        break
        except EncodingError as error:
            casts.stopped(error)
        except Exception as error:
            await casts.until(0)
            error.add_note(casts.summary())
            raise
        await casts.until(0)
    except asyncio.CancelledError as error:
        error.add_note(casts.summary())
        raise
    return casts.result()


class ManyCasts:
    """The casts of one `cast_many`, or the events of one `publish_many`, on their way and settled.

    One thread casts; the client's own settles, or, when it has ended, whoever finds that. No lock is held between them:
    what is shared is changed in single steps of the interpreter.

    Attributes:
        ids: the message_ids of all casts that were made, in order.
        failures: the errors of those that failed, by their message_id.
    """

    def __init__(self, name: str = "cast_many") -> None:
        self._name = name
        self.ids: list[str] = []
        self.failures: dict[str, RpcError] = {}
        self._under_way: dict[Outgoing, None] = {}
        self._made_bytes = self._settled_bytes = 0
        self._sleepers: list[Callable[[], object]] = []
        self._enough = 0
        self._stopped: tuple[int, RpcError] | None = None

    # ---- who casts

    def made(self, message: Outgoing) -> bool:
        """Count a cast that is about to be sent; whether another may follow at once."""
        self.ids.append(message.message_id)
        self._under_way[message] = None
        self._made_bytes += len(message.body)
        return len(self._under_way) < MOST_UNDER_WAY and self._made_bytes - self._settled_bytes < MOST_BYTES

    def stopped(self, error: RpcError) -> None:
        """The next cast could not be made."""
        self._stopped = (len(self.ids), error)

    def notify(self, wake: Callable[[], object], *, under_way: int) -> bool:
        """Have `wake` called once when no more than so many are under way, or one has failed; false if that is so.

        Then it may be called all the same.
        """
        self._enough = under_way
        self._sleepers.append(wake)
        return not self._is_enough()

    def wait(self, under_way: int) -> None:
        """Block until no more than so many are under way, or one has failed."""
        lock: LockType = allocate_lock()
        lock.acquire()
        if self.notify(lock.release, under_way=under_way):
            lock.acquire()

    async def until(self, under_way: int) -> None:
        """Wait likewise, on the event loop that settles them."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():  # who waited may have been cancelled
                woken.set_result(None)

        if self.notify(wake, under_way=under_way):
            await woken

    # ---- who settles

    def settled(self, message: Outgoing, error: RpcError | None) -> None:
        """A cast has its outcome."""
        if error is not None:
            self.failures[message.message_id] = error  # first: who sees that none is under way looks at this
        self._settled_bytes += len(message.body)
        del self._under_way[message]
        if self._sleepers and self._is_enough():
            while self._sleepers:
                self._sleepers.pop()()

    def _is_enough(self) -> bool:
        return len(self._under_way) <= self._enough or (bool(self.failures) and self._enough > 0)

    # ---- the end

    def result(self) -> list[str]:
        """The ids, in order; or raise the first failure."""
        failed = {place: self.failures[each] for place, each in enumerate(self.ids) if each in self.failures}
        if self._stopped is not None:
            failed[self._stopped[0]] = self._stopped[1]
        if not failed:
            return self.ids
        error = copy.copy(next(iter(failed.values())))
        error.failed, error.message_ids = failed, self.ids
        error.add_note(f"{self.summary()} (see the attributes failed and message_ids of this error)")
        raise error

    def summary(self) -> str:
        """What has become of them, in a sentence."""
        made, failed, unknown = len(self.ids), len(self.failures), len(self._under_way)
        safe = made - failed - unknown
        return (
            f"{self._name}: of the first {made} items {safe} are safe, {failed} failed, and of {unknown} that is "
            "unknown; no further item was sent"
        )


def rows(iterables: tuple[Any, ...], name: str = "cast_many") -> Iterator[tuple[Any, ...]]:
    """The positional arguments of each cast: an item of each iterable; the shortest one ends it, as in `map`.

    Raises:
        ConfigurationError: there is no iterable, or one is none.
    """
    if not iterables:
        raise ConfigurationError(f"{name} needs at least one iterable of arguments")
    for each in iterables:
        if not isinstance(each, Iterable):
            raise ConfigurationError(f"{name} takes iterables of arguments, not {type(each).__name__}: {each!r}")
    return zip(*iterables, strict=False)


async def _awaited_rows(
    iterables: tuple[Iterable[Any] | AsyncIterable[Any], ...], name: str
) -> AsyncGenerator[tuple[Any, ...], None]:
    if len(iterables) == 1 and isinstance(iterables[0], AsyncIterable):
        async for item in iterables[0]:
            yield (item,)
        return
    for number, args in enumerate(rows(iterables, name), 1):
        yield args
        if not number % PAUSE_EVERY:
            await asyncio.sleep(0)  # others have their turn, and confirms are read
