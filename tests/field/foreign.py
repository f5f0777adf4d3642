"""A server of somebody else's making: it consumes a queue and answers as it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

import orjson
import pika

Answer = Callable[[Any], Any]
"""From a request's document to the reply: bytes as they are, anything else as JSON; None says nothing."""


class ForeignServer:
    """Answers the requests of a queue, one after the other, in a thread with a connection of its own.

    Attributes:
        received: the documents of the requests that came.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        answer: Answer,
        *,
        arguments: Mapping[str, Any] = MappingProxyType({}),
        **flags: bool,
    ) -> None:
        self.received: list[Any] = []
        self._answer = answer
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.queue_declare(queue, arguments=dict(arguments), **flags)
        self._channel.basic_qos(prefetch_count=1)
        self._channel.basic_consume(queue, self._serve)
        self._over = False
        self._thread = threading.Thread(target=self._live, name="foreign server")
        self._thread.start()

    def _serve(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        document = orjson.loads(body)
        self.received.append(document)
        reply = self._answer(document)
        if reply is not None:
            text = reply if isinstance(reply, bytes) else orjson.dumps(reply)
            sent = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, text, sent)
        channel.basic_ack(method.delivery_tag)

    def _live(self) -> None:
        while not self._over:
            self._connection.process_data_events(time_limit=0.05)
        self._connection.close()

    def stop(self) -> None:
        """End it; what it holds goes back to the queue."""
        self._over = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def squares(unknown: Callable[[Any], Any]) -> Answer:
    """A server with one function, "square"; `unknown` makes the reply to a request for any other."""

    def answer(request: Any) -> Any:
        if not isinstance(request, dict) or request.get("method") != "square":
            return unknown(request)
        (n,) = request["params"]
        if n < 0:
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32050, "message": f"no negative: {n}"}}
        return {"jsonrpc": "2.0", "id": request["id"], "result": n * n}

    return answer
