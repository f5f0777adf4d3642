"""Our client before servers of other makes: what they do not know of ours is done without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from foreign import ForeignServer, squares

from rpcsvc import DecodingError, RemoteError, RpcClient
from rpcsvc.broker import PrivateBroker


def error(code: int, message: str) -> Callable[[Any], Any]:
    return lambda request: {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}


UNKNOWN = {
    "method not found": error(-32601, "Method not found"),
    "invalid request": error(-32600, "Invalid Request"),
    "invalid params": error(-32602, "Invalid params"),
    "no id": lambda _: {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}},
    "a string of JSON": lambda _: "unknown method",
    "plain text": lambda _: b"unknown method",
    "a result that is a string": lambda request: {"jsonrpc": "2.0", "id": request["id"], "result": "unknown method"},
    "an error that is a string": lambda request: {"jsonrpc": "2.0", "id": request["id"], "error": "unknown method"},
}


@pytest.fixture(params=UNKNOWN)
def foreign(request: pytest.FixtureRequest, broker: PrivateBroker, queue: str) -> Iterator[ForeignServer]:
    with ForeignServer(broker.url, queue, squares(UNKNOWN[request.param]), durable=True, auto_delete=True) as server:
        yield server


@pytest.mark.parametrize("chunksize", ["auto", 8])
def test_map_gives_the_results_that_call_gives(
    broker: PrivateBroker, queue: str, foreign: ForeignServer, chunksize: Any
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        results = client.map("square", range(-1, 40), chunksize=chunksize, return_exceptions=True)
        first, *others = results
        assert (type(first), first.code, str(first)) == (RemoteError, -32050, "no negative: -1")
        assert others == [n * n for n in range(40)]
        assert sorted(client.map("square", range(20), ordered=False)) == [n * n for n in range(20)]


def test_a_burst_of_calls_gives_the_results_that_call_gives(
    broker: PrivateBroker, queue: str, foreign: ForeignServer
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        assert client.call("square", 3) == 9
        futures = [client.submit("square", n) for n in range(100)]
        assert [future.result() for future in futures] == [n * n for n in range(100)]


def test_map_asks_a_server_that_knows_no_messages_of_many_calls_no_more_than_once(
    broker: PrivateBroker, queue: str
) -> None:
    with (
        ForeignServer(
            broker.url, queue, squares(UNKNOWN["method not found"]), durable=True, auto_delete=True
        ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        for _ in range(3):
            assert list(client.map("square", range(50))) == [n * n for n in range(50)]
        asked = [request["method"] for request in server.received]
        assert asked.count("square") == 150
        assert asked.count("rpc.map") <= 2 * client._thread.link.workers() + 2, "what was under way at first"


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (b"Traceback (most recent call last):\n  File", r"is 'Traceback (most recent call last):\n  File'"),
        (b"832040", "is '832040'"),
        (b"", "is empty"),
        (b"\x00\x1b[31m\xff" + b"x" * 10_000_000, r"begins with '\x00\x1b[31m\\xff" + "x" * 73 + "'"),
        (b'{"answer": 42}', """is '{"answer": 42}'"""),
    ],
    ids=["text", "a bare body", "nothing", "bytes", "an object"],
)
def test_a_reply_that_is_none_is_shown_as_it_began(broker: PrivateBroker, queue: str, reply: bytes, shown: str) -> None:
    with (
        ForeignServer(broker.url, queue, lambda _: reply, durable=True, auto_delete=True),
        RpcClient(broker.url, queue=queue, timeout=20, pack=False) as client,
        pytest.raises(DecodingError) as caught,
    ):
        client.call("fib", 30)
    assert str(caught.value).endswith(f"it {shown}")
    assert len(str(caught.value)) < 400
