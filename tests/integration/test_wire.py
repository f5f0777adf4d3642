"""What other programs may send: the tutorials' clients, plain JSON-RPC from anywhere, and rubbish."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pika
import pika.spec
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import DecodingError, RpcClient
from rpcsvc.broker import PrivateBroker


class TutorialClient:
    """Speaks as RabbitMQ's sixth tutorial does: a bare body out, a bare body back."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.callback_queue = self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.replies: list[tuple[pika.BasicProperties, bytes]] = []
        self.channel.basic_consume(
            self.callback_queue, lambda _c, _m, properties, body: self.replies.append((properties, body)), auto_ack=True
        )

    def send(self, body: bytes, **properties: Any) -> str:
        correlation_id = str(uuid.uuid4())
        defaults = {"reply_to": self.callback_queue, "correlation_id": correlation_id}
        self.channel.basic_publish("", "rpc_queue", body, pika.BasicProperties(**{**defaults, **properties}))
        return correlation_id

    def reply(self, within: float = 5.0) -> tuple[pika.BasicProperties, bytes]:
        if not self.replies:
            self.connection.process_data_events(time_limit=within)
        assert self.replies, f"no reply within {within} s"
        return self.replies.pop(0)

    def ask(self, body: bytes, **properties: Any) -> bytes:
        correlation_id = self.send(body, **properties)
        answer, reply = self.reply()
        assert answer.correlation_id == correlation_id
        return reply


@pytest.fixture
def tutorial(broker: PrivateBroker, server: ServerProcess) -> Iterator[TutorialClient]:
    client = TutorialClient(broker.url)
    yield client
    client.connection.close()


class TestBareBodies:
    def test_the_tutorials_client_gets_832040(self, tutorial: TutorialClient) -> None:
        assert int(tutorial.ask(b"30")) == 832040
        assert tutorial.ask(b"30") == b"832040"

    def test_a_result_of_any_size_is_plain_digits(self, tutorial: TutorialClient) -> None:
        digits = tutorial.ask(b"20578")
        assert len(digits) == 4301
        assert digits.isdigit()

    def test_an_error_is_a_json_rpc_error(self, tutorial: TutorialClient) -> None:
        answer = json.loads(tutorial.ask(b"-1"))
        assert answer["error"]["data"]["type"] == "ValueError"
        assert answer["id"] is None

    def test_direct_reply_to_works_too(self, broker: PrivateBroker, server: ServerProcess) -> None:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            replies: list[bytes] = []
            pseudo = "amq.rabbitmq.reply-to"
            channel.basic_consume(pseudo, lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
            channel.basic_publish("", "rpc_queue", b"30", pika.BasicProperties(reply_to=pseudo, correlation_id="1"))
            connection.process_data_events(time_limit=5)
            assert replies == [b"832040"]


class TestJsonRpc:
    def test_a_plain_request_gets_a_plain_response(self, tutorial: TutorialClient) -> None:
        answer = tutorial.ask(b'{"jsonrpc": "2.0", "id": 1, "method": "fib", "params": {"n": 30}}')
        assert json.loads(answer) == {"jsonrpc": "2.0", "id": 1, "result": 832040}

    def test_a_batch_is_answered_as_a_batch(self, tutorial: TutorialClient) -> None:
        batch = [
            {"jsonrpc": "2.0", "id": "a", "method": "fib", "params": [10]},
            {"jsonrpc": "2.0", "method": "fib", "params": [11]},
            {"jsonrpc": "2.0", "id": "b", "method": "no such"},
            7,
        ]
        answers = json.loads(tutorial.ask(json.dumps(batch).encode()))
        assert [answer.get("result", answer.get("error", {}).get("code")) for answer in answers] == [55, -32601, -32600]

    def test_a_batch_whose_worker_dies_has_every_request_answered(self, tutorial: TutorialClient) -> None:
        batch = [
            {"jsonrpc": "2.0", "id": 1, "method": "fib", "params": [10]},
            {"jsonrpc": "2.0", "id": 2, "method": "exit_hard", "params": [3]},
        ]
        answers = json.loads(tutorial.ask(json.dumps(batch).encode()))
        assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [(1, -32002), (2, -32002)]

    def test_a_notification_is_done_and_not_answered(self, tutorial: TutorialClient) -> None:
        tutorial.send(b'{"jsonrpc": "2.0", "method": "fib", "params": [30]}')
        assert tutorial.ask(b"10") == b"55"
        assert tutorial.replies == []

    def test_the_server_describes_what_it_serves(self, tutorial: TutorialClient) -> None:
        answer = json.loads(tutorial.ask(b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}'))
        methods = {method["name"]: method for method in answer["result"]["methods"]}
        assert methods["fib"]["params"] == [{"name": "n", "required": True, "schema": {"type": "integer"}}]


MALFORMED = [
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"nul",
    b"[]",
    b"{}",
    b"[1, 2]",
    b"true",
    b"NaN",
    b"hello world",
    b'{"jsonrpc": "1.0", "id": 1, "method": "fib", "params": [30]}',
    b'{"jsonrpc": "2.0", "id": {}, "method": "fib"}',
    b'{"jsonrpc": "2.0", "id": 1, "method": 5}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "fib", "params": 5}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "fib", "params": [{"$nothing": 1}]}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "fib", "params": ' + b"[" * 500 + b"]" * 500 + b"}",
    b"[" * 100_000,
    b"9" * 10_000,
]


class TestRubbish:
    @pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:40]))
    def test_a_malformed_request_gets_a_json_rpc_error(self, tutorial: TutorialClient, body: bytes) -> None:
        answer = json.loads(tutorial.ask(body))
        for each in answer if isinstance(answer, list) else [answer]:
            assert each["jsonrpc"] == "2.0"
            assert each["error"]["code"] in (-32700, -32600, -32602)
            assert each["error"]["message"]

    def test_rubbish_without_a_callback_queue_disturbs_nobody(
        self, tutorial: TutorialClient, client: RpcClient, server: ServerProcess
    ) -> None:
        family = {process.pid for process in server.family()}
        for body in MALFORMED * 20:
            tutorial.send(body, reply_to=None, correlation_id=None)
        futures = [client.submit("fib", n) for n in range(50)]
        assert [future.result() for future in futures][30] == 832040
        wait_until(lambda: tutorial.channel.queue_declare("rpc_queue", passive=True).method.message_count == 0)
        assert {process.pid for process in server.family()} == family

    def test_a_body_of_a_hundred_megabytes_is_refused_unread_and_disturbs_nobody(
        self, tutorial: TutorialClient, client: RpcClient, server: ServerProcess, message_limit: int
    ) -> None:
        """Or as much as the broker takes, which is a little more than the server does."""
        family = {process.pid for process in server.family()}
        size = 100_000_000 if message_limit > 2**24 else 2**24 - 1000
        body = b'{"jsonrpc":"2.0","id":"7","method":"echo","params":["' + b"x" * size + b'"]}'
        answer = json.loads(tutorial.ask(body))
        assert answer["error"]["code"] == -32600
        assert f"takes {len(body)} bytes; this server takes at most {message_limit}" in answer["error"]["message"]
        assert client.call("fib", 30) == 832040
        assert {process.pid for process in server.family()} == family
        assert "reconnecting" not in server.output

    def test_strange_properties_disturb_nobody(self, tutorial: TutorialClient) -> None:
        strange = {"content_type": "text/x-ü", "type": "ü" * 100, "expiration": "60000", "priority": 255}
        assert tutorial.ask(b"30", **strange) == b"832040"
        assert tutorial.ask(b"30", headers={"a": [1, {"b": None}], "c": "x" * 10_000}) == b"832040"
        assert tutorial.ask(b"30", content_encoding="gzip", message_id="", app_id="x" * 255, user_id=None) == b"832040"

    def test_a_reply_is_not_written_to_a_queue_that_others_may_read(
        self, tutorial: TutorialClient, broker: PrivateBroker, queue: str
    ) -> None:
        tutorial.channel.queue_declare(queue, auto_delete=True)
        tutorial.send(b"30", reply_to=queue)
        assert tutorial.ask(b"30") == b"832040"
        assert tutorial.channel.queue_declare(queue, passive=True).method.message_count == 0

    def test_unless_the_server_was_told_to(self, tutorial: TutorialClient, broker: PrivateBroker, queue: str) -> None:
        named = f"replies.{queue}"
        tutorial.channel.queue_declare(named, auto_delete=True)
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue, "--callback-queue", "replies.*"):
            tutorial.channel.basic_publish("", queue, b"30", pika.BasicProperties(reply_to=named))
            replies: list[bytes] = []
            tutorial.channel.basic_consume(named, lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
            tutorial.connection.process_data_events(time_limit=5)
            assert replies == [b"832040"]

    def test_a_reply_that_is_rubbish_ends_its_call_and_no_other(self, broker: PrivateBroker, queue: str) -> None:
        """A server of somebody else's making may answer anything."""
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, auto_delete=True)
            answers = iter([b"\xff", b"{}", b'{"jsonrpc":"2.0","id":"9","result":1}', None])

            def serve(channel: Any, method: Any, properties: Any, body: bytes) -> None:
                answer = next(answers)
                for _ in range(2):
                    id_ = properties.correlation_id if answer is not None else "who?"
                    text = answer if answer is not None else orjson.dumps({})
                    channel.basic_publish("", properties.reply_to, text, pika.BasicProperties(correlation_id=id_))

            channel.basic_consume(queue, serve, auto_ack=True)
            with RpcClient(broker.url, queue=queue, timeout=3, pack=False) as client:  # each call is a message
                futures = [client.submit("fib", 30) for _ in range(3)]
                stranger = client.submit("fib", 30, timeout=1)
                while not stranger.done():
                    connection.process_data_events(time_limit=0.05)
                with pytest.raises(DecodingError):
                    futures[0].result()
                with pytest.raises(DecodingError):
                    futures[1].result()
                assert futures[2].result() == 1
                assert client.dropped_replies.duplicate == 3
                assert client.dropped_replies.unknown == 2
