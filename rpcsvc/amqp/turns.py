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
from ..errors import AccessRefused, AuthenticationFailed, ConnectionFailed, ConnectionLost, RpcError, TlsFailed
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
            ConnectionFailed: none did (TlsFailed if that is what each of them ended with); with a single node, whatever
                it raised. What another node would not mend (AuthenticationFailed, AccessRefused, QueueMismatch,
                ConfigurationError) is raised at once.
        """
        deadline = Deadline.after(timeout)
        count = len(self._nodes)
        failures: list[RpcError] = []
        sentences: list[str] = []
        for tried in range(count):
            place = (self._next + tried) % count
            node = self._nodes[place]
            try:
                result = await attempt(node, max(0.001, deadline.remaining / (count - tried)))
            except (AuthenticationFailed, AccessRefused):
                raise
            except (ConnectionFailed, ConnectionLost) as error:
                if count == 1:
                    raise
                failures.append(error)
                sentences.append(f"({tried + 1}) {'' if isinstance(error, ConnectionFailed) else f'{node}: '}{error}")
            else:
                self._next = (place + 1) % count
                return result
        kind = TlsFailed if all(isinstance(error, TlsFailed) for error in failures) else ConnectionFailed
        raise kind(f"none of the {count} brokers can be used: {'; '.join(sentences)}")

    def __repr__(self) -> str:
        return f"<Turns of {len(self._nodes)} nodes, next {self._nodes[self._next]}>"
