"""A function that takes too much memory ends before the machine suffers, and its caller is told."""

from __future__ import annotations

import asyncio
import resource

import psutil
import pytest
from support.pools import Pool, pool_of, until
from support.processes import ServerProcess

from rpcsvc import MemoryLimitExceeded, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.work import Lost

MIB = 2**20
LIMIT = 64 * MIB


async def most_memory(pool: Pool, pid: int) -> int:
    """The largest resident set of a process until it ends, as far as one can see."""
    most = 0
    while pid in pool.pids:
        try:
            most = max(most, psutil.Process(pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
        await asyncio.sleep(0.002)
    return most


@pytest.mark.parametrize("how", ["slowly", "a loop in C", "a stopped process"])
def test_a_worker_that_takes_too_much_is_killed_whatever_it_does_and_the_pool_goes_on(how: str) -> None:
    async def main() -> None:
        async with pool_of(2) as pool:
            beside = pool.call("work_on", "/dev/null", 1, 0.5)
            outcome = await pool.call("grow", 10 if how == "slowly" else 100, how).outcome()
            assert isinstance(outcome, Lost)
            assert outcome.over_memory is not None
            assert outcome.over_memory.limit == LIMIT < outcome.over_memory.used < 4 * LIMIT
            assert await beside.result() == 1
            assert await pool.call("echo", 1).result() == 1
            await until(lambda: pool.ready == 2)
            assert (pool.lost, pool.reasons) == (0, [])

    asyncio.run(main())


@pytest.mark.parametrize("how", ["as fast as it can", "hiding every exception"])
def test_one_that_takes_memory_faster_than_anybody_looks_does_not_get_far(how: str) -> None:
    async def main() -> None:
        async with pool_of() as pool:
            watching = asyncio.ensure_future(most_memory(pool, pool.pids[0]))
            call = pool.call("grow", 0, how)
            outcome = await call.outcome()
            if not isinstance(outcome, Lost):  # then it met the kernel's limit first
                with pytest.raises(MemoryLimitExceeded, match="grow: asked for more memory"):
                    await call.result()
                watching.cancel()
                return
            assert outcome.over_memory is not None
            assert await watching < LIMIT + 700 * MIB

    asyncio.run(main())


def test_what_is_refused_by_the_kernel_is_told_as_the_limit_too_and_costs_no_worker() -> None:
    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            with pytest.raises(MemoryLimitExceeded, match="ask_for: asked for more memory than its limit") as caught:
                await pool.call("ask_for", 10_000).result()
            assert caught.value.limit == LIMIT
            assert caught.value.used is not None
            assert caught.value.used < LIMIT
            assert pool.pids == pids
            assert await pool.call("allowed").result() == resource.getrlimit(resource.RLIMIT_DATA)

    asyncio.run(main())


def test_a_function_that_takes_less_notices_nothing_however_often() -> None:
    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            assert [await pool.call("grow", 40).result() for _ in range(30)] == [40] * 30
            assert await pool.call("ask_for", 200).result() == 200 * MIB, "addresses that are not used do not count"
            assert await pool.call("allowed").result() == resource.getrlimit(resource.RLIMIT_DATA)
            assert pool.pids == pids

    asyncio.run(main())


def test_what_a_worker_keeps_counts_in_the_next_call_that_has_a_limit_and_not_before() -> None:
    async def main() -> None:
        async with pool_of() as pool:
            pid = await pool.call("keep", 100).result()
            await asyncio.sleep(0.2)
            assert await pool.call("keep", 1).result() == pid
            assert isinstance(await pool.call("grow", 0, "slowly").outcome(), Lost)
            assert await pool.call("grow", 40).result() == 40

    asyncio.run(main())


def test_the_limit_of_the_pool_holds_for_functions_without_their_own() -> None:
    async def main() -> None:
        async with pool_of(rules=Rules(memory_limit=30 * MIB)) as pool:
            with pytest.raises(MemoryLimitExceeded):
                await pool.call("keep", 10_000).result()
            assert await pool.call("grow", 40).result() == 40

    asyncio.run(main())


def test_the_caller_is_told_and_in_a_map_only_the_call_that_takes_too_much_fails(
    broker: PrivateBroker, queue: str
) -> None:
    options = ("--workers", "2", "--queue", queue, "--memory-limit", "100M")
    with (
        ServerProcess(broker.url, *options, registry="unruly:registry") as server,
        RpcClient(broker.url, queue=queue) as client,
    ):
        with pytest.raises(MemoryLimitExceeded, match="its worker was killed") as caught:
            client.call("grow", 100, "a stopped process")
        assert caught.value.limit == LIMIT
        assert caught.value.used is not None
        assert caught.value.used > LIMIT
        with pytest.raises(MemoryLimitExceeded):
            client.call("keep", 10_000)
        sizes = [1, 2, 10_000, 3]
        results = list(client.map("ask_for", sizes, return_exceptions=True))
        assert isinstance(results.pop(2), MemoryLimitExceeded)
        assert results == [1 * MIB, 2 * MIB, 3 * MIB]
        assert "took more memory" in server.output
