"""The programs of RabbitMQ's tutorials for Python, in plain pika: the other ends that our programs must understand.

    python originals.py [--older] PROGRAM [ARGUMENT...]

Written anew from what the tutorials describe (https://www.rabbitmq.com/tutorials, August 2026). Queues, exchanges,
arguments, bodies, properties, acks and what is printed are theirs; the broker is that of RPCSVC_URL. The tutorials of
today declare durable quorum queues; `--older` declares as they did before: `hello` and `rpc_queue` not durable,
`task_queue` durable, all classic.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import pika

OLDER = "--older" in sys.argv[1:2]
QUORUM = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
DURABLE: dict[str, Any] = {"durable": True}
PASSING: dict[str, Any] = {}

Arguments = list[str]


def connect() -> Any:
    """A channel on a connection of its own."""
    return pika.BlockingConnection(pika.URLParameters(os.environ["RPCSVC_URL"])).channel()


def declare(channel: Any, queue: str, older: dict[str, Any] = PASSING) -> None:
    """A tutorial's named queue; `older` is how it was declared before quorum queues."""
    channel.queue_declare(queue=queue, **(older if OLDER else QUORUM))


def listen(channel: Any, queue: str, callback: Callable[..., None], waiting: str, *, auto_ack: bool) -> None:
    """Consume a queue until the program is ended; Ctrl-C ends it without a traceback."""
    channel.basic_consume(queue=queue, on_message_callback=callback, auto_ack=auto_ack)
    print(waiting)
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        print("Interrupted")


# ---- one: "Hello World!"


def send(_: Arguments) -> None:
    channel = connect()
    declare(channel, "hello")
    channel.basic_publish(exchange="", routing_key="hello", body="Hello World!")
    print(" [x] Sent 'Hello World!'")
    channel.connection.close()


def receive(_: Arguments) -> None:
    def callback(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        print(f" [x] Received {body.decode()}")

    channel = connect()
    declare(channel, "hello")
    listen(channel, "hello", callback, " [*] Waiting for messages. To exit press CTRL+C", auto_ack=True)


# ---- two: work queues


def new_task(arguments: Arguments) -> None:
    message = " ".join(arguments) or "Hello World!"
    channel = connect()
    declare(channel, "task_queue", older=DURABLE)
    persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish(exchange="", routing_key="task_queue", body=message, properties=persistent)
    print(f" [x] Sent {message}")
    channel.connection.close()


def worker(_: Arguments) -> None:
    def callback(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        print(f" [x] Received {body.decode()}")
        time.sleep(body.count(b"."))
        print(" [x] Done")
        channel.basic_ack(delivery_tag=method.delivery_tag)

    channel = connect()
    declare(channel, "task_queue", older=DURABLE)
    channel.basic_qos(prefetch_count=1)
    listen(channel, "task_queue", callback, " [*] Waiting for messages. To exit press CTRL+C", auto_ack=False)


# ---- three, four, five: logs, to everybody, by severity, by topic


def emit(exchange: str, kind: str, key: str, message: str, shown: str) -> None:
    channel = connect()
    channel.exchange_declare(exchange=exchange, exchange_type=kind)
    channel.basic_publish(exchange=exchange, routing_key=key, body=message)
    print(f" [x] Sent {shown}")
    channel.connection.close()


def receive_from(exchange: str, kind: str, keys: Arguments, shown: Callable[[str, str], str]) -> None:
    def callback(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        print(f" [x] {shown(method.routing_key, body.decode())}")

    channel = connect()
    channel.exchange_declare(exchange=exchange, exchange_type=kind)
    queue = channel.queue_declare(queue="", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)
    listen(channel, queue, callback, " [*] Waiting for logs. To exit press CTRL+C", auto_ack=True)


def emit_log(arguments: Arguments) -> None:
    message = " ".join(arguments) or "info: Hello World!"
    emit("logs", "fanout", "", message, message)


def receive_logs(_: Arguments) -> None:
    receive_from("logs", "fanout", [""], lambda _, body: body)


def key_and_message(arguments: Arguments, key: str) -> tuple[str, str]:
    return arguments[0] if len(arguments) > 1 else key, " ".join(arguments[1:]) or "Hello World!"


def keys_of(arguments: Arguments, usage: str) -> Arguments:
    if not arguments:
        sys.exit(f"Usage: {usage}")
    return arguments


def emit_log_direct(arguments: Arguments) -> None:
    severity, message = key_and_message(arguments, "info")
    emit("direct_logs", "direct", severity, message, f"{severity}:{message}")


def receive_logs_direct(arguments: Arguments) -> None:
    severities = keys_of(arguments, "receive_logs_direct [info] [warning] [error]")
    receive_from("direct_logs", "direct", severities, lambda key, body: f"{key}:{body}")


def emit_log_topic(arguments: Arguments) -> None:
    key, message = key_and_message(arguments, "anonymous.info")
    emit("topic_logs", "topic", key, message, f"{key}:{message}")


def receive_logs_topic(arguments: Arguments) -> None:
    keys = keys_of(arguments, "receive_logs_topic [binding_key]...")
    receive_from("topic_logs", "topic", keys, lambda key, body: f"{key}:{body}")


# ---- six: RPC


def rpc_server(_: Arguments) -> None:
    def fib(n: int) -> int:
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a

    def on_request(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        n = int(body)
        print(f" [.] fib({n})")
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish(exchange="", routing_key=properties.reply_to, properties=answer, body=str(fib(n)))
        channel.basic_ack(delivery_tag=method.delivery_tag)

    channel = connect()
    declare(channel, "rpc_queue")
    channel.basic_qos(prefetch_count=1)
    listen(channel, "rpc_queue", on_request, " [x] Awaiting RPC requests", auto_ack=False)


def rpc_client(_: Arguments) -> None:
    responses: list[bytes] = []

    def on_response(_channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        if properties.correlation_id == correlation_id:
            responses.append(body)

    channel = connect()
    callback_queue = channel.queue_declare(queue="", exclusive=True).method.queue
    channel.basic_consume(queue=callback_queue, on_message_callback=on_response, auto_ack=True)
    correlation_id = str(uuid.uuid4())
    print(" [x] Requesting fib(30)")
    asked = pika.BasicProperties(reply_to=callback_queue, correlation_id=correlation_id)
    channel.basic_publish(exchange="", routing_key="rpc_queue", properties=asked, body="30")
    while not responses:
        channel.connection.process_data_events(time_limit=None)
    print(f" [.] Got {int(responses[0])}")


# ---- seven: publisher confirms; after the tutorials for Java, PHP and Ruby, for Python has none


class Publishing:
    """Publishes so many messages, and counts each when it is confirmed, by its tag.

    `together` are published, then their confirms are awaited, then the next are.
    """

    def __init__(self, count: int, together: int) -> None:
        self._left, self._together = count, together
        self._tag = 0
        self._outstanding: dict[int, str] = {}
        self.seconds = 0.0
        self._connection = pika.SelectConnection(pika.URLParameters(os.environ["RPCSVC_URL"]), self._opened)
        self._connection.ioloop.start()

    def _opened(self, connection: Any) -> None:
        self._channel = connection.channel(on_open_callback=self._declare)

    def _declare(self, channel: Any) -> None:
        channel.queue_declare(queue="", exclusive=True, callback=self._begin)

    def _begin(self, declared: Any) -> None:
        self._queue = declared.method.queue
        self._channel.confirm_delivery(self._confirmed, callback=self._publish)
        self._began = time.perf_counter()

    def _publish(self, _: Any = None) -> None:
        for _ in range(min(self._left, self._together)):
            self._tag += 1
            self._left -= 1
            self._outstanding[self._tag] = str(self._tag)
            self._channel.basic_publish(exchange="", routing_key=self._queue, body=str(self._tag))

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._outstanding if tag <= method.delivery_tag]
        for tag in tags:
            body = self._outstanding.pop(tag)
            if isinstance(method, pika.spec.Basic.Nack):
                print(f" [!] Message {body} was nacked")
        if not self._outstanding and self._left:
            self._publish()
        elif not self._outstanding:
            self.seconds = time.perf_counter() - self._began
            self._connection.add_on_close_callback(lambda connection, _: connection.ioloop.stop())
            self._connection.close()


def publisher_confirms(arguments: Arguments) -> None:
    count = int(arguments[0]) if arguments else 50_000
    for how, together in (("individually", 1), ("in batch", 100), ("and handled confirms asynchronously", count)):
        taken = Publishing(count, together).seconds
        print(f" [x] Published {count:,} messages {how} in {taken * 1000:,.0f} ms")


PROGRAMS: tuple[Callable[[Arguments], None], ...] = (
    *(send, receive, new_task, worker, emit_log, receive_logs, emit_log_direct, receive_logs_direct),
    *(emit_log_topic, receive_logs_topic, rpc_server, rpc_client, publisher_confirms),
)


if __name__ == "__main__":
    name, *rest = sys.argv[2 if OLDER else 1 :]
    next(program for program in PROGRAMS if program.__name__ == name)(rest)
