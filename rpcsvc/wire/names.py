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

# ---- exchanges, and the events

CONTROL = "rpcsvc.control"
"""The fanout exchange by which every server is told something, whatever queue it serves."""
EVENTS = "rpcsvc.events"
"""The topic exchange on which servers say what clients should know. The routing key is the name of the queue."""
QUEUE_DELETED = "rpcsvc.queue-deleted"
"""The `type` of the event that says: the queue was deleted, and the calls that lay in it went with it."""

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

# ---- properties of messages

SENT_AGAIN = "again"
"""The `message_id` of a call that was sent before, on a connection or to a queue that was lost: it may have run."""
CONTENT_TYPE = "application/json"
"""The `content_type` of requests and replies."""
