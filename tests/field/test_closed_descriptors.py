"""Standard streams that are closed under a program that uses the library: its sockets must not take their places."""

from __future__ import annotations

import itertools

import pytest
from support.processes import ServerProcess, wait_until
from support.programs import run_program

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker

CLOSINGS = [" ".join(each) for count in (1, 2, 3) for each in itertools.combinations(("<&-", ">&-", "2>&-"), count)]


@pytest.mark.parametrize("closed", CLOSINGS)
def test_a_program_whose_standard_streams_are_closed_calls_and_ends_as_it_likes(
    broker: PrivateBroker, server: ServerProcess, closed: str
) -> None:
    program = """
        import asyncio, os, sys
        from rpcsvc import AsyncRpcClient, RpcClient
        with RpcClient(queue=os.environ["QUEUE"]) as client:
            assert client.call("fib", 30) == 832040
        async def main():
            async with AsyncRpcClient(queue=os.environ["QUEUE"]) as client:
                assert await client.call("fib", 30) == 832040
        asyncio.run(main())
        sys.exit(17)
    """
    assert run_program(broker, server.queue, program, closed=closed).returncode == 17


def test_a_stream_that_is_closed_later_is_not_taken_by_the_next_connection(
    broker: PrivateBroker, server: ServerProcess
) -> None:
    program = """
        import os, socket, stat
        from rpcsvc import RpcClient
        with RpcClient(queue=os.environ["QUEUE"]) as client:
            os.close(0)
            client._thread.link._connector.current.connection.abort()
            assert client.call("fib", 30) == 832040
            assert not stat.S_ISSOCK(os.fstat(0).st_mode)
        print("done")
    """
    done = run_program(broker, server.queue, program)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_a_server_in_a_program_of_ones_own_serves_with_closed_streams(
    broker: PrivateBroker, queue: str, closed: str
) -> None:
    program = """
        import os, threading
        from rpcsvc import RpcClient, RpcServer
        def call():
            with RpcClient(queue=os.environ["QUEUE"], wait_for_server=30) as client:
                client.call("fib", 30)
                os._exit(17 if client.call("fib", 30) == 832040 else 1)
        threading.Thread(target=call, daemon=True).start()
        RpcServer(queue=os.environ["QUEUE"], workers=1).run()
    """
    assert run_program(broker, queue, program, closed=closed).returncode == 17
    with RpcClient(broker.url, queue=queue) as client:  # what was killed in the middle left nobody behind
        wait_until(lambda: client.pending == 0)
