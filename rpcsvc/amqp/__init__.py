"""AMQP 0-9-1 on asyncio: pika's protocol state machine, an asyncio transport under it, awaitable operations above it.

This is the only package that knows pika. What leaves it are our own types and errors.

- `fastpath`: publish, ack and deliver, built and parsed directly.
- `properties`: the properties of messages, out and in.
- `transport`: the adapter that joins pika's `Connection` to an asyncio transport.
- `heartbeats`: when a silent broker is given up.
- `connection`: `Connection`, how it is opened and what becomes of it.
- `channel`: `Channel`, the operations that the rest of the code uses.
- `acks`: which deliveries are dealt with, said in few acks.
- `arguments`: what queues are declared with.
- `getting`: `Getter`, messages asked for one by one.
- `confirms`: what becomes of a channel's messages.
- `expendable`: `Expendable`, for messages that the broker may refuse.
- `messages`: what is published and delivered.
- `tls`: from what a URL says of TLS to the context of a connection.
- `turns`: whose turn it is among the nodes of a cluster.
- `reconnect`: how a connection comes back: what is tried again, when, and for how long.
- `faults`: pika's exceptions, as ours.
"""

from __future__ import annotations

from .acks import Acks
from .arguments import QueueArguments
from .channel import Channel
from .connection import Connection
from .expendable import Expendable
from .getting import Getter
from .messages import Delivery, QueueState, Returned
from .properties import Properties
from .turns import Turns

__all__ = [
    "Acks",
    "Channel",
    "Connection",
    "Delivery",
    "Expendable",
    "Getter",
    "Properties",
    "QueueArguments",
    "QueueState",
    "Returned",
    "Turns",
]
