"""Workers are replaced after some calls: nothing is lost or waits for it. Storms of deaths end the pool."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
from support.pools import Pool, pool_of, until
from support.processes import ServerProcess, wait_until

from rpcsvc import RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled
from rpcsvc.workers.care import Care
from rpcsvc.workers.work import Lost


@pytest.mark.parametrize("most", [1, 10])
def test_workers_are_replaced_after_so_many_calls_and_no_call_is_lost(most: int) -> None:
    async def main() -> None:
        async with pool_of(2, care=Care(max_calls=most)) as pool:
            first = set(pool.pids)
            calls = [pool.call("work_on", os.devnull, number, 0.002) for number in range(200)]
            assert [await call.result() for call in calls] == list(range(200))
            await until(lambda: len(pool.pids) == 2 and pool.ready == 2 and not first & set(pool.pids))
            assert (pool.lost, pool.reasons) == (0, [])

    asyncio.run(main())


def test_the_worker_goes_on_until_its_replacement_is_there() -> None:
    async def main() -> None:
        async with pool_of(1, care=Care(max_calls=1)) as pool:
            ready = []

            async def look() -> None:
                while True:
                    ready.append(pool.ready)
                    await asyncio.sleep(0)

            looking = asyncio.ensure_future(look())
            pids = set()
            async with asyncio.timeout(scaled(20)):
                while len(pids) <= 25:
                    pids.add(await pool.call("pid").result())
                    await asyncio.sleep(0.02)
            looking.cancel()
            assert min(ready) >= 1, "there was no moment without a worker"

    asyncio.run(main())


def test_a_message_of_many_calls_counts_as_many() -> None:
    async def main() -> None:
        async with pool_of(1, care=Care(max_calls=100)) as pool:
            before = pool.pids
            await pool.map("echo", [[n] for n in range(99)]).result()
            await asyncio.sleep(0.2)
            assert pool.pids == before
            await pool.call("echo", 1).result()
            await until(lambda: len(pool.pids) == 1 and pool.pids != before)

    asyncio.run(main())


def test_a_worn_worker_that_dies_before_its_replacement_is_there_is_replaced_once() -> None:
    async def main() -> None:
        async with pool_of(1, care=Care(max_calls=1)) as pool:
            for _ in range(20):
                pid = await pool.call("pid").result()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await until(lambda pid=pid: pool.ready == 1 and len(pool.pids) == 1 and pid not in pool.pids)
                await asyncio.sleep(0.01)
            assert pool.reasons == []

    asyncio.run(main())


async def kill(pool: Pool, times: int) -> None:
    for _ in range(times):
        await until(lambda: pool.pids or pool.reasons)
        if pool.reasons:
            return
        victim = pool.pids[0]
        psutil.Process(victim).kill()
        await until(lambda victim=victim: victim not in pool.pids)


def test_a_storm_of_deaths_ends_the_pool_but_not_one_among_answers() -> None:
    async def main() -> None:
        async with pool_of(1, care=Care(max_restarts=5, restart_window=60)) as pool:
            for _ in range(20):
                await until(lambda: pool.ready == 1)
                for number in range(3):
                    assert await pool.call("echo", number).result() == number
                await kill(pool, 1)
            assert pool.reasons == []
        async with pool_of(1, care=Care(max_restarts=5, restart_window=60)) as pool:
            await kill(pool, 5)
            assert pool.reasons == []
            await until(lambda: pool.ready == 1)
            await kill(pool, 1)
            await until(lambda: pool.reasons)
            assert pool.reasons[0].startswith("6 workers ended within 60 s, and fewer messages were answered")
            assert pool.pids == [], "none is started any more"

    asyncio.run(main())


def test_what_the_pool_itself_ends_does_not_count(tmp_path: Path) -> None:
    async def main() -> None:
        care = Care(max_restarts=0, cancel_grace=0, max_calls=3)
        async with pool_of(1, care=care) as pool:
            for _ in range(5):
                call = pool.call("hold_on", str(tmp_path / "notes"), "hides every exception")
                await until(lambda: pool.busy)
                pool.call_off(call)
                await call.outcome()
                assert isinstance(await pool.call("grow", 100, "a stopped process").outcome(), Lost)
                assert await pool.call("echo", 1).result() == 1
            assert (pool.lost, pool.reasons) == (0, [])

    asyncio.run(main())


def test_a_server_that_gives_up_says_why_and_hands_back_what_it_cannot_do(broker: PrivateBroker, queue: str) -> None:
    options = ("--workers", "2", "--queue", queue, "--prefetch", "10", "--max-restarts", "4")
    with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=30, pack=False) as client:
        with ServerProcess(broker.url, *options) as server:
            running = client.submit("sleep", 1.5)
            futures = [client.submit("exit_hard", 1) for _ in range(8)]
            last = [client.submit("echo", number) for number in range(5)]
            assert server.wait() == ExitCode.POOL_FAILED
            assert "workers ended within 10 s" in server.output
        assert running.result() == 1.5
        with ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--max-calls-per-worker", "2") as other:
            for future in futures:
                assert isinstance(future.exception(), WorkerLost)
            assert [future.result() for future in last] == [0, 1, 2, 3, 4]
            wait_until(lambda: len(other.family()) == 3)
