"""Every name on the wire, once: queues, exchanges, methods, and what stands in the properties of messages.

docs/wire.md is what they mean. This module imports nothing, so that the settings may take their defaults from it; a
test keeps the same text from being written a second time anywhere in the package.
"""

from __future__ import annotations

# ---- queues

DEFAULT_QUEUE = "rpc_queue"
"""The queue that is served, unless another is named: that of RabbitMQ's tutorial six."""
BROKERS_OWN = "amq."
"""Names of queues that begin so are the broker's own; none may be declared (AMQP 0-9-1, queue.declare)."""
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
"""What a client consumes and names as its callback queue to be replied to without one (RabbitMQ's direct reply-to)."""

CASTS = ".casts"
"""Behind the name of a served queue: that of the queue of its casts."""
DEAD_SUFFIX = ".dead"
"""Likewise: of the queue of its dead letters."""
ON = ".on."
"""Between the name of a served queue and that of a handler of events, in the name of that handler's queue."""
SUBSCRIPTION = "rpcsvc.sub."
"""Before the name of a durable subscription, in the name of its queue."""

# ---- exchanges, and the events

DELAY = "rpcsvc.delay."
"""Before the number of a delay level: the name of its exchange, and of its queue."""
DUE = "rpcsvc.due"
"""The topic exchange to which messages come whose delay is over."""
DEAD = "rpcsvc.dead"
"""The direct exchange for dead letters; the routing key is the name of the served queue."""
LOST = "rpcsvc.lost"
"""The fanout exchange, and its queue, for what none of the two before knows a queue for."""
TOPICS = "rpcsvc.topics"
"""The topic exchange of users' events."""

CONTROL = "rpcsvc.control"
"""The fanout exchange by which every server is told something, whatever queue it serves."""
EVENTS = "rpcsvc.events"
"""The topic exchange on which servers tell of their own life. Only they may write to it."""
LIFE = "rpcsvc."
"""Topics that begin so are of that exchange."""
QUEUE_DELETED = "rpcsvc.queue-deleted"
"""The `type` of the event that says: the queue was deleted, and the calls that lay in it went with it. Its routing key
is a topic, or, for clients and of servers before 0.3, the name of the queue."""

# ---- methods

RESERVED_PREFIX = "rpc."
"""Names of methods that begin so are for the protocol's own use (JSON-RPC 2.0, section 4.3)."""
MAP = "rpc.map"
"""Many calls of one method in one message. A request for it says so in its `type` too."""
PING = "rpc.ping"
"""Answered with "pong" by a worker."""
DISCOVER = "rpc.discover"
"""Answered with what is served, as an OpenRPC document."""
CANCEL = "rpc.cancel"
"""Says on the control exchange that calls are given up; a notification."""

# ---- headers of casts and dead letters

AGAIN = "rpcsvc-again"
"""True: the message was published before on a connection that was lost, and may be there twice."""
ATTEMPTS = "rpcsvc-attempts"
"""How often the function was tried before this message was published."""
FIRST_PUBLISHED = "rpcsvc-first-published"
"""When the cast was published first, in milliseconds since 1970."""
ERROR = "rpcsvc-error"
"""Of a dead letter: the JSON-RPC 2.0 error object (section 5.1) that says why, as JSON."""
DIED = "rpcsvc-died"
"""Of a dead letter: when, in milliseconds since 1970."""
HOST = "rpcsvc-host"
"""Of a dead letter: the host of the server that gave it up."""
TOPIC = "rpcsvc-topic"
"""Of an event that is tried again, and of its dead letter: its topic, which its routing key is no longer."""
CAME_FROM = "rpcsvc-queue"
"""Of a dead letter: the queue that it was consumed from."""

# ---- properties of messages

SENT_AGAIN = "again"
"""The `message_id` of a call that was sent before, on a connection or to a queue that was lost: it may have run."""
CONTENT_TYPE = "application/json"
"""The `content_type` of requests and replies."""
