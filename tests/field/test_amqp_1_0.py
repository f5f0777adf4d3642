"""Requesters that speak AMQP 1.0, by a real client where the broker does (from 4.0 on), and as they look over 0-9-1.

They name a request by its message-id, set no correlation-id, and want the first back as the second.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pika
import proton
import pytest
from proton.reactor import ReceiverOption
from proton.utils import BlockingConnection
from support.processes import ServerProcess, wait_until
from support.traces import Trace

from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl


class CallbackQueue:
    """An exclusive queue of another program, and the replies in it."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.name = self.channel.queue_declare("", exclusive=True).method.queue
        self._replies: list[tuple[pika.BasicProperties, bytes]] = []
        self.channel.basic_consume(
            self.name, lambda _c, _m, properties, body: self._replies.append((properties, body)), auto_ack=True
        )

    def __enter__(self) -> CallbackQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def publish(self, queue: str, body: bytes, **properties: Any) -> None:
        self.channel.basic_publish("", queue, body, pika.BasicProperties(reply_to=self.name, **properties))

    def reply(self, within: float = 15.0) -> tuple[str | None, bytes]:
        """The next reply: its correlation_id and its body."""
        if not self._replies:
            self._connection.process_data_events(time_limit=within)
        assert self._replies, f"no reply within {within} s"
        properties, body = self._replies.pop(0)
        return properties.correlation_id, body


@pytest.fixture
def trace(tmp_path: Any) -> Trace:
    return Trace(tmp_path)


def test_the_message_id_comes_back_as_correlation_id(broker: PrivateBroker, server: ServerProcess) -> None:
    with CallbackQueue(broker.url) as queue:
        queue.publish(server.queue, b"30", message_id="urn:uuid:7")
        assert queue.reply() == ("urn:uuid:7", b"832040")
        queue.publish(server.queue, b"30", message_id="one", correlation_id="two")
        assert queue.reply() == ("two", b"832040")
        queue.publish(server.queue, b"30")
        assert queue.reply() == (None, b"832040")


def test_it_names_the_call_that_is_given_up(broker: PrivateBroker, server: ServerProcess, trace: Trace) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "trace", "params": [str(trace), 1, -1, 1]}  # slow: a minute
    with CallbackQueue(broker.url) as queue:
        queue.publish(server.queue, json.dumps(request).encode(), message_id="mine")
        trace.wait_for(1)
        worker = trace.worker_of(1)
        cancel = {"method": "rpc.cancel", "params": {"reply_to": queue.name, "ids": ["mine"], "remaining": 1}}
        queue.channel.basic_publish("rpcsvc.control", "", json.dumps({"jsonrpc": "2.0", **cancel}).encode())
        look = {"jsonrpc": "2.0", "id": 2, "method": "pid"}

        def is_free() -> bool:
            queue.publish(server.queue, json.dumps(look).encode(), message_id=uuid.uuid4().hex)
            return bool(json.loads(queue.reply()[1])["result"] == worker)

        wait_until(is_free, within=15)


def test_a_message_id_that_reads_again_is_no_mark_without_a_correlation_id(
    broker: PrivateBroker, server: ServerProcess, trace: Trace
) -> None:
    """With one it says that the call may have run before, and this function must not run twice."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "trace_once", "params": [str(trace), 1]}
    with CallbackQueue(broker.url) as queue:
        queue.publish(server.queue, json.dumps(request).encode(), message_id="again")
        correlation_id, body = queue.reply()
        assert (correlation_id, json.loads(body)["result"]) == ("again", 1)
        queue.publish(server.queue, json.dumps(request).encode(), message_id="again", correlation_id="2")
        assert json.loads(queue.reply()[1])["error"]["code"] == -32003
    assert trace.starts() == {1: 1}


@pytest.mark.parametrize("body", [b"", b"\0Sw\xa1\x0230"])
def test_a_body_that_is_no_data_section_is_answered_with_what_to_send(
    broker: PrivateBroker, server: ServerProcess, body: bytes
) -> None:
    with CallbackQueue(broker.url) as queue:
        queue.publish(server.queue, body, message_id="1", type="amqp-1.0")
        correlation_id, reply = queue.reply()
    error = json.loads(reply)["error"]
    assert correlation_id == "1"
    assert error["code"] == -32700
    assert "data section" in error["message"]


# ---- a real client ----------------------------------------------------------------------------------------------


def test_a_real_client_is_answered_under_its_message_id(
    broker: PrivateBroker, server: ServerProcess, broker_version: tuple[int, ...]
) -> None:
    url = BrokerUrl.parse(broker.url)
    with CallbackQueue(broker.url) as queue:
        if broker_version < (4,):
            with pytest.raises(Exception, match=r"."):  # by plugin only, which a private node has not
                BlockingConnection(f"amqp://{url.host}:{url.port}", timeout=5, user=url.user, password=url.password)
            return
        connection = BlockingConnection(
            f"amqp://{url.host}:{url.port}", timeout=20, user=url.user, password=url.password, allowed_mechs="PLAIN"
        )
        try:
            sender = connection.create_sender(f"/queues/{server.queue}")
            for message_id, comes_back in (
                ("a-name", "a-name"),
                (uuid.UUID(int=7), f"urn:uuid:{uuid.UUID(int=7)}"),
                (proton.ulong(7), "7"),
            ):
                sender.send(proton.Message(b"30", id=message_id, reply_to=queue.name, inferred=True))
                assert queue.reply() == (comes_back, b"832040")
            for value in ("30", 30, {"jsonrpc": "2.0"}):
                sender.send(proton.Message(value, id="value", reply_to=queue.name))
                correlation_id, reply = queue.reply()
                assert correlation_id == "value"
                assert "amqp-value section of AMQP 1.0" in json.loads(reply)["error"]["message"]
        finally:
            connection.close()


class DirectReplyTo(ReceiverOption):  # type: ignore[misc]  # proton is untyped
    """A callback queue in name only, as RabbitMQ has it for AMQP 1.0 from 4.2 on."""

    def apply(self, receiver: Any) -> None:
        capabilities = receiver.source.capabilities
        capabilities.put_array(False, proton.Data.SYMBOL)
        capabilities.enter()
        capabilities.put_symbol(proton.symbol("rabbitmq:volatile-queue"))
        capabilities.exit()
        receiver.source.expiry_policy = proton.Terminus.EXPIRE_WITH_LINK
        receiver.snd_settle_mode = proton.Link.SND_SETTLED


def test_a_real_client_is_answered_at_the_address_that_the_broker_gave_it(
    broker: PrivateBroker, server: ServerProcess, broker_version: tuple[int, ...]
) -> None:
    """The address is percent-encoded: `/queues/amq.rabbitmq.reply-to.g1h2…%3D%3D.uvkj…`."""
    url = BrokerUrl.parse(broker.url)
    if broker_version < (4, 2):
        return  # such a broker gives none
    connection = BlockingConnection(
        f"amqp://{url.host}:{url.port}", timeout=20, user=url.user, password=url.password, allowed_mechs="PLAIN"
    )
    try:
        receiver = connection.create_receiver(None, credit=10, dynamic=True, options=DirectReplyTo())
        address = receiver.link.remote_source.address
        assert address.startswith("/queues/amq.rabbitmq.reply-to.")
        sender = connection.create_sender(f"/queues/{server.queue}")
        for number in range(3):
            sender.send(proton.Message(b"30", id=f"m{number}", reply_to=address, inferred=True))
            reply = receiver.receive(timeout=20)
            assert (reply.correlation_id, bytes(reply.body)) == (f"m{number}", b"832040")
    finally:
        connection.close()
