"""Casts on the wire: the names of their queues, how they wait, and what their headers say. Pure.

A cast is a JSON-RPC 2.0 notification in the queue `Q.casts` of the served queue Q. One that is to wait goes through
levels: level N is an exchange and a queue in which messages stay 2^N seconds. The routing key of one that waits is its
delay as twenty binary digits, the highest first, and the queue that it goes to then, each a word:

    rpcsvc.delay.2.  0.0. … .1.0.1.rpc_queue%2Ecasts      5 s: in the queues of level 2 and level 0
                  |           | ^ ^
                  |           | | level 0
                  |           level 2
                  the exchange of the highest level in which it waits; each level hands it to the one below

So any whole number of seconds is possible with twenty queues, a power of two waits in one of them alone, and messages
that wait as long as each other never wait behind longer ones (a queue's messages expire at its head alone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError
from .names import AGAIN, ATTEMPTS, CASTS, DEAD_SUFFIX, DELAY, DUE, FIRST_PUBLISHED, TOPIC

LEVELS = 20
MOST_DELAY = 2**LEVELS - 1
"""Seconds: 12 days."""
MOST_DESTINATION = 255 - 2 * LEVELS
"""Bytes that a queue's name may take, encoded, for messages to wait for it: routing keys have 255."""
_MOST_COUNT = 10**6
_BROKERS_OWN = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
OWN = f"{AGAIN.partition('-')[0]}-"
"""Headers that begin so are ours; callers may not set such."""
_ROUTES = ("CC", "BCC")
"""Headers by which RabbitMQ sends a message to further queues."""


def casts_queue(queue: str) -> str:
    """The queue of the casts of a served queue."""
    return queue + CASTS


def dead_queue(queue: str) -> str:
    """The queue of the dead letters of a served or foreign queue."""
    return queue + DEAD_SUFFIX


# ---- waiting


def whole_delay(seconds: float) -> int:
    """A delay in whole seconds, rounded up.

    Raises:
        ConfigurationError: it is no time, or longer than can be waited.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_DELAY:
        raise ConfigurationError(f"a delay is 0 to {MOST_DELAY} seconds (12 days), not {seconds!r}")
    return math.ceil(seconds)


def delayed(seconds: int, queue: str) -> tuple[str, str]:
    """Where a message goes that is to wait: exchange and routing key.

    Args:
        seconds: how long; 0 is not at all.
        queue: where it goes then.

    Raises:
        ConfigurationError: the queue's name is too long.
    """
    exchange = f"{DELAY}{seconds.bit_length() - 1}" if seconds else DUE
    return exchange, ".".join((*f"{seconds:0{LEVELS}b}", _word(queue)))


def due_pattern(queue: str) -> str:
    """The pattern by which a queue is bound to the exchange of what has waited.

    Raises:
        ConfigurationError: the queue's name is too long.
    """
    return "*." * LEVELS + _word(queue)


def level_pattern(level: int, digit: int) -> str:
    """The pattern of the messages that wait in a level (digit 1), or pass it by (0)."""
    return "*." * (LEVELS - 1 - level) + f"{digit}.#"


def as_word(name: str) -> str:
    """A name as one word of a routing key, in which neither dots nor wildcards are left."""
    return quote(name, safe="").replace(".", "%2E")


def _word(queue: str) -> str:
    word = as_word(queue)
    if len(word) > MOST_DESTINATION:
        raise ConfigurationError(
            f"nothing can wait for the queue {queue[:20]!r}…: its name takes {len(word)} bytes, and {MOST_DESTINATION} "
            "fit; use a shorter one"
        )
    return word


# ---- headers


@dataclass(frozen=True, slots=True)
class History:
    """What the headers of a cast tell of its past.

    Attributes:
        attempts: how often its function was tried before it was published.
        first_published: when it was published first, in milliseconds since 1970; None if its publisher did not say.
        again: whether it was published before on a connection that was lost.
    """

    attempts: int = 0
    first_published: int | None = None
    again: bool = False

    @classmethod
    def read(cls, headers: Mapping[str, Any]) -> History:
        """From the headers of a message; what cannot be is as if it was not there."""
        attempts, first = headers.get(ATTEMPTS), headers.get(FIRST_PUBLISHED)
        return cls(
            attempts if type(attempts) is int and 0 <= attempts <= _MOST_COUNT else 0,
            first if type(first) is int and first >= 0 else None,
            headers.get(AGAIN) is True,
        )

    def headers(self) -> dict[str, Any]:
        """The headers that say it."""
        given: dict[str, Any] = {}
        if self.attempts:
            given[ATTEMPTS] = self.attempts
        if self.first_published is not None:
            given[FIRST_PUBLISHED] = self.first_published
        if self.again:
            given[AGAIN] = True
        return given


def kept_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that a copy of a message keeps: its publisher's.

    And the topic of an event. Not the broker's: RabbitMQ before 4.0.1 believes the `x-death` that is published, takes
    the copy for a message that goes round in a circle, and drops it. Nor what would send it to further queues, nor
    ours, which change.
    """
    return {
        name: value
        for name, value in headers.items()
        # A name in bytes is no UTF-8, as AMQP has it that names are; RabbitMQ does not look.
        if isinstance(name, str)
        and (name == TOPIC or (not name.startswith((*_BROKERS_OWN, OWN)) and name not in _ROUTES))
    }
