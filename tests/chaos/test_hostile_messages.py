"""Hostile messages beside good calls: no worker dies, no connection is lost, the good calls notice nothing."""

from __future__ import annotations

import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext

import hostile
import pika
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import ConnectionLost, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.errors import RpcError

MESSAGES = 2000


@pytest.fixture
def queue() -> str:
    return f"hostile-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[pika.channel.Channel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    yield connection.channel()
    connection.close()


class GoodCalls:
    """One caller that goes on until told to stop, and what became of its calls."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self.outcomes: Counter[str] = Counter()

    def _call(self) -> None:
        while not self._stop.is_set():
            sent = [uuid.uuid4().hex, 2**70, (1.5, None)]
            try:
                back = self._client.call("echo", sent)
                self.outcomes["right" if back == sent else f"wrong: {back!r}"] += 1
            except RpcError as error:
                self.outcomes[repr(error)] += 1

    def __enter__(self) -> GoodCalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_the_same_seed_gives_the_same_messages() -> None:
    assert hostile.first(300, seed=1) == hostile.first(300, seed=1)
    assert hostile.first(300, seed=1) != hostile.first(300, seed=2)


@pytest.mark.parametrize("prefetch", [1, 20])
def test_hostile_messages_harm_nobody(
    broker: PrivateBroker, queue: str, channel: pika.channel.Channel, prefetch: int
) -> None:
    callback_queue = channel.queue_declare("", exclusive=True).method.queue
    options = ("--workers", "2", "--queue", queue, "--prefetch", str(prefetch))
    with ServerProcess(broker.url, *options) as server, RpcClient(broker.url, queue=queue, timeout=30) as client:
        client.call("fib", 30)
        family = {process.pid for process in server.family()}
        replies_to = client.callback_queue
        with GoodCalls(client) as good:
            sent = hostile.publish_all(broker.url, queue, hostile.first(MESSAGES, prefetch, callback_queue))
            wait_until(lambda: channel.queue_declare(queue, passive=True).method.message_count == 0, within=60)
        assert [client.call("fib", number) for number in range(10)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]

        assert sent == MESSAGES
        assert set(good.outcomes) == {"right"}, good.outcomes
        assert {process.pid for process in server.family()} == family, "a worker died"
        assert client.callback_queue == replies_to, "the client's connection was lost"
        assert "reconnecting" not in server.output, server.output
        assert "Traceback" not in server.output, server.output
        assert client.dropped_replies.unknown == 0
    answers = channel.queue_declare(callback_queue, passive=True).method.message_count
    assert answers > MESSAGES / 3, "who asks for an answer gets one, if only an error"


@pytest.mark.parametrize(
    "reply_to",
    [
        hostile.direct(hostile.process_id(b"reply@1", 1)),  # formed as the broker forms it, of a node that there is not
        hostile.direct(b"\x83a\x05"),
        b"amq.rabbitmq.reply-to.\xff.\xff",
    ],
)
def test_a_reply_to_a_made_up_caller_does_not_cost_the_server_its_connection(
    broker: PrivateBroker, queue: str, channel: pika.channel.Channel, reply_to: bytes
) -> None:
    pseudo, replies = "amq.rabbitmq.reply-to", []
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        made_up = hostile.Hostile("made up", hostile.request(), {"reply_to": reply_to})
        hostile.publish_all(broker.url, queue, [made_up] * 3)
        channel.basic_consume(pseudo, lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
        for _ in range(2):
            channel.basic_publish("", queue, b"30", pika.BasicProperties(reply_to=pseudo, correlation_id="1"))
        wait_until(lambda: channel.connection.process_data_events(0.1) or len(replies) == 2)

        assert replies == [b"832040"] * 2
        assert "reconnecting" not in server.output
        assert server.output.count("a request was refused") == 1, "each name is told once"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "refused=3" in server.output


@pytest.mark.parametrize("refused", hostile.REFUSED, ids=lambda message: message.kind)
def test_some_messages_are_refused_by_the_broker_itself(
    broker: PrivateBroker, queue: str, channel: pika.channel.Channel, refused: hostile.Hostile
) -> None:
    channel.queue_declare(queue, auto_delete=True)
    with pytest.raises(ConnectionLost):
        hostile.publish_all(broker.url, queue, [refused])
    assert channel.queue_declare(queue, passive=True).method.message_count == 0
    channel.queue_delete(queue)


def test_what_only_an_older_broker_refuses_harms_no_server(
    broker: PrivateBroker, queue: str, channel: pika.channel.Channel
) -> None:
    refuses = RabbitCtl(broker).version < (4, 0)
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        with pytest.raises(ConnectionLost) if refuses else nullcontext():
            hostile.publish_all(broker.url, queue, [hostile.REFUSED_BEFORE_4])
        with RpcClient(broker.url, queue=queue, timeout=30) as client:
            assert client.call("fib", 30) == 832040
        assert channel.queue_declare(queue, passive=True).method.message_count == 0
        assert "reconnecting" not in server.output
