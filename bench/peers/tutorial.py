"""RabbitMQ's own RPC tutorial for Python ("Tutorial six"): pika's BlockingConnection on both sides.

As the tutorial has it: a server with prefetch_count=1 that replies and then acks, "run a second server" for more of
them; a client with an exclusive callback queue, auto_ack, a uuid as correlation_id, and process_data_events to wait.
Only the function and the queue's name are parameters here.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import work
from .modes import Mode
from .peer import Client, Peer, Setup


class Tutorial(Peer):
    """The tutorial's client and server."""

    name = "pika tutorial"

    def unable(self, mode: Mode) -> str | None:
        return "its client makes one call at a time" if mode.in_flight > 1 else None

    def serve(self, setup: Setup) -> None:
        import pika

        function = work.FUNCTIONS[setup.function]

        def on_request(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            response = function(_from_body(setup.function, body))
            channel.basic_publish(
                exchange="",
                routing_key=properties.reply_to,
                properties=pika.BasicProperties(correlation_id=properties.correlation_id),
                body=response if setup.function == "echo" else str(response),
            )
            channel.basic_ack(delivery_tag=method.delivery_tag)

        connection = pika.BlockingConnection(pika.URLParameters(setup.url))
        channel = connection.channel()
        channel.queue_declare(queue=setup.queue)
        channel.basic_qos(prefetch_count=setup.prefetch)
        channel.basic_consume(queue=setup.queue, on_message_callback=on_request)
        channel.start_consuming()

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup)


def _from_body(function: str, body: bytes) -> Any:
    return body if function == "echo" else {"fib": int, "busy": float}[function](body)


@contextmanager
def _connected(setup: Setup) -> Iterator[Client]:
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(setup.url))
    try:
        yield _RpcClient(connection, setup)
    finally:
        connection.close()


class _RpcClient:
    """The tutorial's client class."""

    def __init__(self, connection: Any, setup: Setup) -> None:
        self._function = setup.function
        self._queue = setup.queue
        self.connection = connection
        self.channel = connection.channel()
        result = self.channel.queue_declare(queue="", exclusive=True)
        self.callback_queue = result.method.queue
        self.channel.basic_consume(queue=self.callback_queue, on_message_callback=self.on_response, auto_ack=True)
        self.response: bytes | None = None
        self.correlation_id: str | None = None

    def on_response(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        if self.correlation_id == properties.correlation_id:
            self.response = body

    def call(self, argument: Any) -> Any:
        import pika

        self.response = None
        self.correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key=self._queue,
            properties=pika.BasicProperties(reply_to=self.callback_queue, correlation_id=self.correlation_id),
            body=argument if self._function == "echo" else str(argument),
        )
        while self.response is None:
            self.connection.process_data_events(time_limit=None)
        return _from_body(self._function, self.response)

    def submit(self, argument: Any) -> Any:
        raise NotImplementedError

    def result(self, handle: Any) -> Any:
        raise NotImplementedError

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        raise NotImplementedError
