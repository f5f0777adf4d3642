"""A client beside forks, exits and other clients."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading

from support.processes import ServerProcess, wait_until

from rpcsvc import AsyncRpcClient, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.host.loops import new_event_loop


def run_program(broker: PrivateBroker, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        env={**os.environ, "RPCSVC_URL": broker.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_forked_child_opens_its_own_connection_and_leaves_the_parents_alone(
    broker: PrivateBroker, server: ServerProcess
) -> None:
    program = """
        import os, threading
        from rpcsvc import RpcClient
        client = RpcClient()
        assert client.call("fib", 30) == 832040
        queue = client.callback_queue
        running = client.submit("sleep", 0.3)
        child = os.fork()
        if child == 0:
            assert client.call("fib", 20) == 6765
            assert client.callback_queue != queue
            raise SystemExit(0)     # with all of the interpreter's finalisation
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert running.result() == 0.3
        assert [client.call("fib", 30) for _ in range(100)] == [832040] * 100
        assert client.callback_queue == queue
        client.close()
        print("done")
    """
    result = run_program(broker, program)
    assert (result.stdout, result.stderr, result.returncode) == ("done\n", "", 0)


def test_a_program_that_forgets_to_close_ends_cleanly(broker: PrivateBroker, server: ServerProcess) -> None:
    result = run_program(
        broker,
        """
        from rpcsvc import RpcClient
        client = RpcClient()
        future = client.submit("sleep", 5)
        print(client.call("fib", 30))
        """,
    )
    assert (result.stdout, result.stderr, result.returncode) == ("832040\n", "", 0)


def test_nothing_is_left_of_a_closed_client(broker: PrivateBroker, server: ServerProcess) -> None:
    with RpcClient(broker.url) as client:
        client.call("fib", 30)
    gc.collect()  # what other tests have left
    threads = threading.active_count()
    fds = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for _ in range(5):
        with RpcClient(broker.url) as client:
            client.call("fib", 30)
        client.close()
    assert threading.active_count() == threads
    if fds:
        assert len(os.listdir("/proc/self/fd")) == fds


def test_a_call_from_a_done_callback_works(client: RpcClient) -> None:
    """Done callbacks run in the client's own thread; `submit` from there must not wait for itself."""
    chained: list[object] = []
    done = threading.Event()

    def then(future: object) -> None:
        chained.append(client.submit("fib", 20))
        done.set()

    client.submit("fib", 10).add_done_callback(then)
    assert done.wait(5)
    assert chained[0].result(timeout=5) == 6765  # type: ignore[attr-defined]


def test_the_client_shows_its_state_and_no_password(client: RpcClient, broker: PrivateBroker) -> None:
    future = client.submit("sleep", 0.2)
    assert "connected" in repr(client)
    assert client.pending == 1
    wait_until(lambda: "1 pending" in repr(client))
    assert "rpc_queue" in repr(client)
    assert broker.url not in repr(client)
    assert "pending of 'sleep'" in repr(future)
    future.result()


def test_the_asyncio_client_calls_too(broker: PrivateBroker, server: ServerProcess) -> None:
    async def main() -> None:
        async with AsyncRpcClient(broker.url) as client:
            assert await client.call("fib", 30) == 832040
            assert await asyncio.gather(*(client.call("echo", n) for n in range(100))) == list(range(100))
            gone = client.submit("sleep", 5)
            gone.cancel()
            await asyncio.sleep(0)
            assert "0 pending" in repr(client)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
