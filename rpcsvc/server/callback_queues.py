"""Which queues a server answers to: those that only one connection can read.

    reply_to --AMQP 1.0's address?--> name --by its name?--> answered
                                       |
                                 look (passive): 405 RESOURCE_LOCKED --> exclusive to its caller: answered
                                                 found --> others may read it: refused
                                                 404 --> nobody there: refused
                                                 403 --> by the names that libraries give

Nobody can make a server write into a queue of their choice that somebody else reads, and libraries may name callback
queues as they like. Names that a broker gives ("amq.gen-…") and those that the server was told of need no look. What a
look found is remembered, so a client costs one, however many calls it makes.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from ..amqp import Connection
from ..deadline import Clock
from ..errors import AccessRefused, QueueLocked
from .direct_reply import PREFIX, DirectReplies
from .queue import is_there
from .remembered import Remembered

log = logging.getLogger(__name__)

BROKER_NAMED = ("amq.gen-*",)
"""Names that only a broker can give."""
LIBRARY_NAMED = ("amq_*", "rpc.reply.*")
"""Names that libraries give to exclusive queues: aio-pika's robust connections, RabbitMQ's C++ tutorial. Anybody could
give them too, so they count only where the broker forbids a look (403)."""
ADDRESSES = ("/queues/", "/queue/", "/amq/queue/")
"""What AMQP 1.0 puts before the percent-encoded name of a queue: RabbitMQ 4's address format, and the older one."""
ANSWERED = 10_000
"""How many callback queues are remembered as answered."""
REFUSED, REFUSED_FOR = 1000, 10.0
"""How many are remembered as refused, and seconds for which: a client may come back under the same name."""
NAMED_IN_LOG, NAMED_AGAIN_AFTER = 100, 3600.0
"""How many refused names the log tells, each once, before that many seconds have passed: nobody can fill it."""
_LOOK_AGAIN_AFTER = 0.2
"""Seconds after which a queue that is missing is looked for again: a node of a cluster may learn of it late."""
_LOOKS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a callback queue is not answered to."""

    reason: str


_ALLOW = "or allow its name with --callback-queue"
NOT_EXCLUSIVE = Refused(f"it is not exclusive, so others may read it; declare it exclusive, {_ALLOW}")
NOBODY = Refused("there is none of that name")
NO_QUEUE = Refused("that is not the address of a queue")
NOT_MADE_HERE = Refused("the broker did not make that name")
NO_LOOK = Refused(f"the broker does not let this user look whether it is exclusive; let the user write to it, {_ALLOW}")


def queue_of(reply_to: str) -> str | None:
    """The name of the callback queue that a `reply_to` means; None if it is an address of something else.

    AMQP 1.0 clients give addresses: RabbitMQ 4, "AMQP 1.0 addresses": `/queues/:queue`, percent-encoded.
    """
    if not reply_to.startswith("/"):
        return reply_to
    for prefix in ADDRESSES:
        if reply_to.startswith(prefix):
            encoded = reply_to[len(prefix) :]
            if not encoded or "/" in encoded:
                return None
            try:
                return unquote(encoded, errors="strict")
            except UnicodeDecodeError:
                return None
    return None


def by_name(queue: str, patterns: Sequence[str]) -> bool:
    """Whether a name alone says that a queue is answered to: it matches one of the patterns (as of fnmatch)."""
    return any(fnmatch.fnmatchcase(queue, pattern) for pattern in patterns)


def is_nameable(queue: str) -> bool:
    """Whether a queue can have that name at all, and the broker be asked for it by that."""
    try:
        return 0 < len(queue.encode()) <= 255 and not queue.startswith("amq.rabbitmq.")
    except UnicodeEncodeError:
        return False


class RefusalLog:
    """The refused names that the log tells: each once, and so many at most.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._named: set[str] = set()
        self._since = clock()

    def tell(self, reply_to: str, refused: Refused) -> None:
        """Say why nobody is answered there, unless that was said."""
        if self._clock() - self._since >= NAMED_AGAIN_AFTER:
            self._named.clear()
            self._since = self._clock()
        if reply_to in self._named or len(self._named) > NAMED_IN_LOG:
            return
        self._named.add(reply_to)
        if len(self._named) > NAMED_IN_LOG:
            log.warning("more requests were refused; their callback queues are not named here any more")
            return
        log.warning("a request was refused: no reply may go to the queue %.100r: %s", reply_to, refused.reason)


class CallbackQueues:
    """What one session knows of its callers' callback queues.

    Args:
        connection: the session's; a look takes a channel of its own.
        patterns: of names that are answered to without a look.

    Attributes:
        answered: the queue that a reply goes to, by the `reply_to` that means it, for those that are answered to.
    """

    def __init__(self, connection: Connection, patterns: Sequence[str]) -> None:
        self._connection = connection
        self._patterns = (*BROKER_NAMED, *patterns)
        self._direct = DirectReplies(connection.url)
        self._refused: Remembered[str, Refused] = Remembered(time.monotonic, most=REFUSED)
        self._under_way: dict[str, asyncio.Future[str | Refused]] = {}
        self._turn = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self.answered: dict[str, str] = {}

    def decide(self, reply_to: str) -> str | Refused | None:
        """The queue to answer to, or why nobody is answered; None if `look` has to tell."""
        queue = queue_of(reply_to)
        if queue is None:
            return NO_QUEUE
        if queue.startswith(PREFIX):
            if not (may_reply := self._direct.may_reply(queue)):
                return None if may_reply is None else NOT_MADE_HERE
        elif not is_nameable(queue):
            return NOBODY
        elif not by_name(queue, self._patterns):
            return self._refused.get(reply_to)
        self._answer(reply_to, queue)
        return queue

    async def look(self, reply_to: str) -> str | Refused:
        """Ask the broker: the queue to answer to, or why nobody is answered. Waits while the broker is not reached.

        Raises:
            RpcError: the session's connection was lost.
        """
        known = self.answered.get(reply_to)
        if known is not None:
            return known
        look = self._under_way.get(reply_to)
        if look is None:
            look = self._under_way[reply_to] = asyncio.ensure_future(self._look(reply_to))
            look.add_done_callback(lambda _: self._under_way.pop(reply_to, None))
        return await asyncio.shield(look)  # others may wait for it too

    def close(self) -> None:
        """End the looks that are under way."""
        for look in list(self._under_way.values()):
            look.cancel()

    async def _look(self, reply_to: str) -> str | Refused:
        queue = queue_of(reply_to)
        assert queue is not None
        if queue.startswith(PREFIX):
            refused = None if await self._direct.look(queue) else NOT_MADE_HERE
        else:
            refused = await self._why_not(queue)
        if refused is None:
            self._answer(reply_to, queue)
            return queue
        self._refused.put(reply_to, refused, REFUSED_FOR)
        return refused

    async def _why_not(self, queue: str) -> Refused | None:
        for pause in (0.0, _LOOK_AGAIN_AFTER):
            await asyncio.sleep(pause)
            try:
                async with self._turn:
                    if await is_there(self._connection, queue):
                        return NOT_EXCLUSIVE
            except QueueLocked:
                return None
            except AccessRefused:
                return None if by_name(queue, LIBRARY_NAMED) else NO_LOOK
        return NOBODY

    def _answer(self, reply_to: str, queue: str) -> None:
        while len(self.answered) >= ANSWERED:
            del self.answered[next(iter(self.answered))]
        self.answered[reply_to] = queue

    def __repr__(self) -> str:
        return f"<CallbackQueues: {len(self.answered)} answered, {len(self._refused)} refused, {self._direct!r}>"
