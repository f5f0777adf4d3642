"""Tutorial six, RPC: the Fibonacci client and server, and what the original's last section leaves open."""

from __future__ import annotations

import pytest
from support.terminal import Start

READY = "[x] Awaiting RPC requests"
BOTH = pytest.mark.parametrize("program", ["six/rpc_client.py", "six/rpc_client_async.py"], ids=["sync", "async"])


@pytest.fixture
def server(ours: Start) -> None:
    ours("six/rpc_server.py").wait_for(READY)


@pytest.mark.usefixtures("server")
def test_our_client_asks_our_server(ours: Start) -> None:
    client = ours("six/rpc_client.py")
    assert client.wait() == 0, client.output
    assert client.lines == ["[x] Requesting fib(30)", "[.] Got 832040"]


@pytest.mark.usefixtures("server")
def test_our_client_for_asyncio_asks_for_several_numbers_at_once(ours: Start) -> None:
    client = ours("six/rpc_client_async.py", "30", "-1", "100", "'thirty'")
    assert client.wait() == 0, client.output
    assert client.lines == [
        "[x] Requesting fib of [30, -1, 100, 'thirty']",
        "[.] Got 832040 for fib(30)",
        "[!] an exception: fib raised ValueError: n must be at least 0, not -1",
        "[.] Got 354224848179261915075 for fib(100)",
        "[!] invalid input: fib: argument 'n' must be int, not str",
    ]


@BOTH
def test_without_a_server_the_client_says_so(ours: Start, program: str) -> None:
    client = ours(program)
    client.wait()
    assert client.lines[1].startswith("[!] no server: ")


@pytest.mark.usefixtures("server")
@BOTH
def test_what_the_server_objects_to_comes_back_to_the_client(ours: Start, program: str) -> None:
    clients = [ours(program, number) for number in ("-1", "'thirty'", "30.0")]
    for client in clients:
        client.wait()
    assert [client.lines[1] for client in clients] == [
        "[!] an exception: fib raised ValueError: n must be at least 0, not -1",
        "[!] invalid input: fib: argument 'n' must be int, not str",
        "[!] invalid input: fib: argument 'n' must be int, not float",
    ]


@pytest.mark.usefixtures("server")
@BOTH
def test_a_client_does_not_wait_longer_than_its_time_out_and_the_server_serves_on(ours: Start, program: str) -> None:
    client = ours(program, "100_000_000_000")
    client.wait()
    assert client.lines[1].startswith("[!] no reply in time: no reply to 'fib' within 5 s")
    ours(program).wait_for("[.] Got 832040")


# ---- the original's other ends


@pytest.mark.usefixtures("server")
def test_the_originals_client_is_served(original: Start) -> None:
    client = original("rpc_client")
    assert client.wait() == 0, client.output
    assert client.lines == ["[x] Requesting fib(30)", "[.] Got 832040"]


@pytest.mark.parametrize("older", [False, True], ids=["quorum", "not durable"])
def test_our_server_takes_the_queue_that_the_originals_server_declared_and_shares_its_work(
    original: Start, ours: Start, older: bool
) -> None:
    theirs = original("rpc_server", older=older)
    theirs.wait_for(READY)
    server = ours("six/rpc_server.py")
    server.wait_for(READY)
    for _ in range(4):  # the broker gives to each in turn
        client = original("rpc_client")
        assert client.wait() == 0, client.output
        assert client.lines[-1] == "[.] Got 832040"
    for end in (theirs, server):
        assert "[.] fib(30)" in end.lines
    theirs.stop()
    ours("six/rpc_client.py").wait_for("[.] Got 832040")
