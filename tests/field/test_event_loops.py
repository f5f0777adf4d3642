"""An `AsyncRpcClient` where it cannot work: an error at once, and never a wait."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from support.processes import ServerProcess
from support.programs import run_program

from rpcsvc import AsyncRpcClient, ClientClosed, OutOfPlace, RpcServer
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

USES: dict[str, Callable[[AsyncRpcClient], Coroutine[Any, Any, Any]]] = {
    "call": lambda client: client.call("fib", 10),
    "connect": lambda client: client.connect(),
    "with": lambda client: client.__aenter__(),
}


@pytest.fixture
def used(broker: PrivateBroker, server: ServerProcess) -> Iterator[list[AsyncRpcClient]]:
    """A client that was used in an `asyncio.run` that has ended."""
    clients = [AsyncRpcClient(broker.url, queue=server.queue)]
    assert asyncio.run(clients[0].call("fib", 30)) == 832040
    yield clients
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asyncio's of the connection, which its loop did not end
        clients.clear()
        gc.collect()


@pytest.mark.parametrize("use", USES)
def test_a_second_run_is_told_at_once(used: list[AsyncRpcClient], use: str) -> None:
    started = time.monotonic()
    with pytest.raises(OutOfPlace, match=r"has ended; make one inside each asyncio.run"):
        asyncio.run(USES[use](used[0]))
    assert time.monotonic() - started < scaled(2)
    asyncio.run(used[0].close())


@pytest.mark.parametrize("use", [*USES, "close"])
def test_another_thread_is_told_at_once_and_the_first_goes_on(
    broker: PrivateBroker, server: ServerProcess, use: str
) -> None:
    uses = {**USES, "close": lambda client: client.close()}

    async def main() -> None:
        async with AsyncRpcClient(broker.url, queue=server.queue) as client:
            errors: list[type[BaseException]] = []

            def elsewhere() -> None:
                try:
                    asyncio.run(uses[use](client))
                except OutOfPlace as error:
                    errors.append(type(error))

            await asyncio.to_thread(elsewhere)
            assert errors == [OutOfPlace]
            assert await client.call("fib", 30) == 832040

    asyncio.run(main())


def test_another_thread_may_hand_calls_to_its_loop(broker: PrivateBroker, server: ServerProcess) -> None:
    async def main() -> Any:
        async with AsyncRpcClient(broker.url, queue=server.queue) as client:
            loop = asyncio.get_running_loop()
            hand = lambda: asyncio.run_coroutine_threadsafe(client.call("fib", 30), loop).result(10)  # noqa: E731
            return await asyncio.to_thread(hand)

    assert asyncio.run(main()) == 832040


def test_without_a_loop_it_is_told_what_to_use(broker: PrivateBroker) -> None:
    with pytest.raises(OutOfPlace, match="use RpcClient"):
        AsyncRpcClient(broker.url).submit("fib", 10)


def test_one_that_is_made_outside_and_used_in_one_run_works(broker: PrivateBroker, server: ServerProcess) -> None:
    client = AsyncRpcClient(broker.url, queue=server.queue)

    async def main() -> Any:
        async with client:
            return await client.call("fib", 30)

    assert asyncio.run(main()) == 832040
    with pytest.raises(OutOfPlace):
        asyncio.run(client.call("fib", 30))


def test_after_close_it_is_told_at_once(broker: PrivateBroker, server: ServerProcess) -> None:
    async def main() -> None:
        client = AsyncRpcClient(broker.url, queue=server.queue)
        await client.call("fib", 30)
        await client.close()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.call("fib", 30)
        with pytest.raises(ClientClosed):
            await client.connect()

    asyncio.run(main())


def test_after_a_fork_it_is_told_at_once(broker: PrivateBroker, server: ServerProcess) -> None:
    program = """
        import asyncio, os
        from rpcsvc import AsyncRpcClient, OutOfPlace
        async def main():
            async with AsyncRpcClient(queue=os.environ["QUEUE"]) as client:
                await client.call("fib", 30)
                child = os.fork()
                if child == 0:
                    for ask in (lambda: client.submit("fib", 30), lambda: asyncio.run(client.call("fib", 30))):
                        try:
                            ask()
                        except OutOfPlace:
                            continue
                        os._exit(1)
                    os._exit(17)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
                print(await client.call("fib", 30))
        asyncio.run(main())
    """
    done = run_program(broker, server.queue, program)
    assert (done.stdout, done.returncode) == ("832040\n", 0), done.stderr


def test_the_threads_of_a_program_may_each_have_one(broker: PrivateBroker, server: ServerProcess) -> None:
    results: list[Any] = []

    async def main() -> None:
        async with AsyncRpcClient(broker.url, queue=server.queue) as client:
            results.append(await client.call("fib", 30))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [832040] * 4


def test_a_server_that_is_run_beside_the_main_thread_is_told_what_to_do(broker: PrivateBroker, queue: str) -> None:
    errors: list[str] = []

    def run() -> None:
        try:
            RpcServer(url=broker.url, queue=queue).run()
        except OutOfPlace as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert len(errors) == 1
    assert "asyncio.run(server.serve())" in errors[0]
