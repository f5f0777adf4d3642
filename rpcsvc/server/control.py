"""A server's ear on the control exchange. Whatever comes through it, the calls go on; and they do without it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from ..amqp import Connection, Delivery
from ..errors import AccessRefused, DecodingError, QueueMismatch, RpcError
from ..wire.control import read
from ..wire.names import CONTROL
from .callback_queues import queue_of
from .service import Service

log = logging.getLogger(__name__)

_AGAIN = 5.0
"""Seconds after which a queue that was taken away is made anew."""


async def listen(connection: Connection, service: Service, listening: asyncio.Event) -> None:
    """Hear what is said to all servers, as long as the connection lasts. Never raises.

    Args:
        connection: the server's.
        service: what to do it to.
        listening: set when the first attempt has ended, either way.
    """
    while not connection.lost.done():
        ended = None
        try:
            ended = await _consume(connection, service)
        except (AccessRefused, QueueMismatch) as error:
            log.warning("calls cannot be cancelled on this server: %s", error)
            return
        except RpcError as error:
            log.debug("the control exchange is not heard: %s", error)
        finally:
            listening.set()
        if ended is not None:
            await ended
        await asyncio.wait((connection.lost,), timeout=_AGAIN)


async def _consume(connection: Connection, service: Service) -> asyncio.Future[None]:
    """Make the exchange and a queue of our own, and consume that; a future that is done when that has ended."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    channel = await connection.channel()
    channel.lost.add_done_callback(lambda _: end())
    await channel.declare_exchange(CONTROL, "fanout", durable=True)
    queue = await channel.declare_queue(exclusive=True, auto_delete=True)
    await channel.bind(queue.name, CONTROL)
    await channel.consume(queue.name, lambda delivery: _heard(service, delivery), cancelled=end, no_ack=True)
    return ended


def _heard(service: Service, delivery: Delivery) -> None:
    try:
        given_up = read(delivery.body)
    except DecodingError as error:
        service.counts.malformed = count = service.counts.malformed + 1
        if str(count).rstrip("0") == "1":  # the 1st, the 10th, the 100th …: nobody can fill the log
            log.warning("%d control messages were none; the last: %s", count, error)
        return
    queue = None if given_up is None else queue_of(given_up.reply_to)  # calls are known by the queue's name
    if given_up is not None and queue is not None:
        service.engine.cancelled(replace(given_up, reply_to=queue))
