"""Whose turn it is among the nodes of a cluster.

    a ──refused──> b ──silent, for its share of the time──> c ──open──> in use ──lost──> a …

Rules: the first time the order is that of the list; after a loss the next node's turn has come, since the last one may
be what failed. One node that says nothing does not use up the time of the others. A node that refuses us speaks for
all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..deadline import Deadline
from ..errors import AccessRefused, AuthenticationFailed, ConnectionFailed, ConnectionLost, TlsFailed
from ..settings import BrokerUrl, BrokerUrls

T = TypeVar("T")


class Turns:
    """The nodes of a cluster, and which of them is asked next."""

    def __init__(self, urls: BrokerUrls) -> None:
        self._nodes = urls.nodes
        self._next = 0

    async def open(self, attempt: Callable[[BrokerUrl, float], Awaitable[T]], *, timeout: float) -> T:
        """Try each node once, until one of them works out.

        Args:
            attempt: given the node and seconds.
            timeout: seconds for all nodes together; each gets its share of what the ones before it have left.

        Raises:
            ConnectionFailed: none did; TlsFailed if that is what each of them ended with. What another node would not
                mend (AuthenticationFailed, AccessRefused, QueueMismatch, ConfigurationError) is raised at once.
        """
        deadline = Deadline.after(timeout)
        count = len(self._nodes)
        failures: list[ConnectionFailed] = []
        for tried in range(count):
            place = (self._next + tried) % count
            node = self._nodes[place]
            try:
                result = await attempt(node, max(0.001, deadline.remaining / (count - tried)))
            except (AuthenticationFailed, AccessRefused):
                raise
            except (ConnectionFailed, ConnectionLost) as error:
                failures.append(_failure(node, error))
            else:
                self._next = (place + 1) % count
                return result
        if count == 1:
            raise failures[0]
        kind = TlsFailed if all(isinstance(error, TlsFailed) for error in failures) else ConnectionFailed
        numbered = "; ".join(f"({number}) {error}" for number, error in enumerate(failures, 1))
        raise kind(f"none of the {count} brokers can be used: {numbered}")

    def __repr__(self) -> str:
        return f"<Turns of {len(self._nodes)} nodes, next {self._nodes[self._next]}>"


def _failure(node: BrokerUrl, error: ConnectionFailed | ConnectionLost) -> ConnectionFailed:
    # Open for a moment and lost before it could be used is not open.
    return error if isinstance(error, ConnectionFailed) else ConnectionFailed(f"{node}: {error}")
