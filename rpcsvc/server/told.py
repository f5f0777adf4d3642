"""What a worker is told of a delivery besides its body. Pure.

Of most calls there is nothing to tell. Headers are decoded here, so somebody could send large ones for no purpose but
that: those of a call are bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..amqp.messages import Delivery
from ..errors import DecodingError
from ..wire.casts import kept_headers
from ..workers.job import Context

log = logging.getLogger(__name__)

MOST_PROPERTIES = 16 * 1024
"""Bytes that the properties of a call may take for its function to be told of its headers."""


def headers_of(delivery: Delivery) -> Mapping[str, Any]:
    """The headers of a delivery; none, if they cannot be read."""
    if not delivery.has_headers:
        return {}
    try:
        return delivery.headers
    except DecodingError as error:
        log.warning("a message is taken without its headers: %s", error)
        return {}


def context_of_call(delivery: Delivery, attempt: int) -> bytes | None:
    """What is told of a call; None if that is nothing.

    Args:
        delivery: what brought it.
        attempt: the number of this attempt, from 1.
    """
    is_small = len(delivery.content_bytes) <= MOST_PROPERTIES
    headers = kept_headers(headers_of(delivery)) if is_small else {}
    if not headers and attempt == 1:
        return None
    return Context(kind="call", message_id=delivery.message_id, attempt=attempt, headers=headers).encode()
