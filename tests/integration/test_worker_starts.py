"""Workers and fork servers that hang are noticed, and replaced as long as there is hope."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import psutil
import pytest
from support.pools import Pool, lines, pool_of, until

from rpcsvc.workers.care import Care
from rpcsvc.workers.work import Lost

QUICK = Care(start_timeout=0.5)


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says what new workers do."""
    monkeypatch.setenv("LATE", str(tmp_path / "late"))
    return tmp_path / "late"


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fork_server_of(pool: Pool) -> psutil.Process:
    parent = psutil.Process(pool.pids[0]).parent()
    assert parent is not None
    return parent


@pytest.mark.parametrize("how", ["the child hangs", "the child is stopped"])
def test_a_worker_that_hangs_while_it_starts_is_killed_and_another_one_started(late: Path, how: str) -> None:
    async def main() -> None:
        async with pool_of(2, target="late:registry", care=QUICK) as pool:
            fork_server, before = fork_server_of(pool).pid, pool.pids
            late.write_text(how)
            assert isinstance(await pool.call("die").outcome(), Lost)
            (hanging,) = await until(lambda: [pid for pid in pool.pids if pid not in before])
            await until(late.with_suffix(".hangs").exists)  # it has read what it is to do
            late.write_text("")
            await until(lambda: pool.ready == 2 and hanging not in pool.pids)
            assert fork_server_of(pool).pid == fork_server
            assert pool.reasons == []

    asyncio.run(main())


def test_workers_that_hang_one_after_the_other_end_the_pool(late: Path) -> None:
    async def main() -> None:
        async with pool_of(1, target="late:registry", care=Care(start_timeout=0.2)) as pool:
            late.write_text("the child hangs")
            pool.call("die")
            await until(lambda: pool.reasons)
            assert pool.reasons[0].startswith("5 workers in a row ended before they were ready")

    asyncio.run(main())


def test_a_fork_server_that_hangs_is_replaced(late: Path) -> None:
    async def main() -> None:
        async with pool_of(2, target="late:registry", care=QUICK) as pool:
            old = fork_server_of(pool).pid
            late.write_text("the parent hangs")
            pool.call("die")
            await until(late.with_suffix(".hangs").exists)
            late.write_text("")
            await until(lambda: pool.ready == 2 and old != fork_server_of(pool).pid)
            assert await pool.call("pid").result() in pool.pids
            assert not psutil.pid_exists(old)

    asyncio.run(main())


def test_so_is_one_that_is_stopped_and_its_workers_are_lost_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(2, care=QUICK) as pool:
            fork_server = fork_server_of(pool)
            before = [psutil.Process(pid) for pid in pool.pids]
            running = pool.call("work_on", str(tmp_path / "notes"), 1, 30)
            await until(lambda: lines(tmp_path / "notes"))
            fork_server.send_signal(signal.SIGSTOP)
            before[0].kill()
            before[1].kill()
            assert isinstance(await running.outcome(), Lost)
            await until(lambda: pool.ready == 2)
            assert await pool.call("echo", 1).result() == 1
            await until(lambda: not any(map(is_alive, [fork_server, *before])))

    asyncio.run(main())


def test_nothing_is_left_of_a_worker_that_hangs_in_its_fork_when_its_fork_server_goes(late: Path) -> None:
    async def main() -> None:
        async with pool_of(2, target="late:registry", care=Care(start_timeout=60)) as pool:
            fork_server = fork_server_of(pool)
            late.write_text("the child hangs")
            pool.call("die")
            hanging = await until(lambda: [p for p in fork_server.children() if pool.ready == 1 and p.pid in pool.pids])
            late.write_text("")
            fork_server.kill()
            await until(lambda: not any(map(is_alive, hanging)))
            await until(lambda: pool.ready == 2)

    asyncio.run(main())


def test_fork_servers_that_hang_one_after_the_other_end_the_pool(late: Path) -> None:
    async def main() -> None:
        async with pool_of(1, target="late:registry", care=Care(start_timeout=0.2)) as pool:
            late.write_text("the parent hangs")
            pool.call("die")
            await until(lambda: pool.reasons, within=20)
            assert "3 fork servers in a row" in pool.reasons[0]

    asyncio.run(main())
