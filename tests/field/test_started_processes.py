"""What functions start ends with their worker, however that ends and however it is detached, and not before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from starters import WAYS
from support.pools import Pool, pool_of, until
from support.processes import ServerProcess, is_running, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.workers import supervisor
from rpcsvc.workers.care import Care
from rpcsvc.workers.work import Lost

STARTERS = "starters:registry"
HERE = str(Path(__file__).parent)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to an ancestor")


def started(folder: Path) -> dict[int, str]:
    """What runs of what was started, by pid: how it was started."""
    found = {int(pid): path.name for path in folder.iterdir() for pid in path.read_text().split()}
    return {pid: how for pid, how in found.items() if runs(pid)}


def runs(pid: int) -> bool:
    try:
        return is_running(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """Where it is noted what was started; none of it outlives the test."""
    folder = tmp_path / "started"
    folder.mkdir()
    yield folder
    kill(list(started(folder)))


async def all_started(folder: Path) -> None:
    await until((folder / "started").exists, within=20)
    assert len(started(folder)) == sum(WAYS.values())


async def by_its_limit(pool: Pool, folder: Path) -> None:
    await pool.call("start_and_return", str(folder)).result(20)
    outcome = await pool.call("wait_within_a_limit").outcome(20)
    assert isinstance(outcome, Lost)
    assert outcome.over_time


async def by_a_cancel(pool: Pool, folder: Path) -> None:
    call = pool.call("start_and_wait", str(folder))
    await all_started(folder)
    pool.call_off(call)
    await call.outcome()


async def by_a_crash(pool: Pool, folder: Path) -> None:
    assert isinstance(await pool.call("start_and_crash", str(folder)).outcome(20), Lost)


async def by_a_signal(pool: Pool, folder: Path) -> None:
    os.kill(await pool.call("start_and_return", str(folder)).result(20), signal.SIGKILL)


async def by_renewal(pool: Pool, folder: Path) -> None:
    """The pool replaces workers after two calls."""
    for call in (pool.call("start_and_return", str(folder)), pool.call("pid"), pool.call("pid")):
        await call.result(20)


async def by_a_reload(pool: Pool, folder: Path) -> None:
    await pool.call("start_and_return", str(folder)).result(20)
    await all_started(folder)
    pool.reload()


async def by_the_pools_end(pool: Pool, folder: Path) -> None:
    await pool.call("start_and_return", str(folder)).result(20)
    await all_started(folder)
    await pool.stop(grace=1.0)


@pytest.fixture
def ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is told to end, and waits for its children, is killed in a second."""
    monkeypatch.setattr(supervisor, "ENDS_WITHIN", 1.0)


@pytest.mark.parametrize(
    "end", [by_its_limit, by_a_cancel, by_a_crash, by_a_signal, by_renewal, by_a_reload, by_the_pools_end]
)
@pytest.mark.usefixtures("ends_soon")
def test_all_that_a_function_has_started_ends_with_its_worker(
    folder: Path, end: Callable[[Pool, Path], Awaitable[None]]
) -> None:
    async def main() -> None:
        care = Care(cancel_grace=0.1, max_calls=2 if end is by_renewal else None)
        async with pool_of(target=STARTERS, care=care) as pool:
            await end(pool, folder)
            assert (folder / "started").exists()
            await until(lambda: not started(folder), within=15)
            if end is not by_the_pools_end:
                assert await pool.call("echo", 1).result() == 1
                await all_are_reaped(pool)

    asyncio.run(main())


async def all_are_reaped(pool: Pool) -> None:
    """No zombie is left, when all have had the time to be reaped."""
    fork_server = psutil.Process(pool.pids[0]).parent()
    assert fork_server is not None

    def is_zombie(process: psutil.Process) -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # it was reaped in this moment
            return False

    await until(lambda: not any(map(is_zombie, fork_server.children())))


def test_all_that_a_function_has_started_ends_when_its_fork_server_is_killed(folder: Path) -> None:
    """But what has detached itself and has given up its environment: nothing tells any more whose it was."""

    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            worker = psutil.Process(await pool.call("start_and_return", str(folder)).result(20))
            fork_server = worker.parent()
            assert fork_server is not None
            fork_server.kill()
            await until(lambda: set(started(folder).values()) <= {"a daemon"}, within=15)
            assert await pool.call("echo", 1).result() == 1

    asyncio.run(main())


@pytest.fixture
def server(broker: PrivateBroker, queue: str) -> AsyncIterator[ServerProcess]:
    environ = {"PYTHONPATH": HERE}
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry=STARTERS, environ=environ) as server:
        yield server


@pytest.mark.parametrize("how", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.long)])
def test_all_that_a_function_has_started_ends_when_the_server_does(
    broker: PrivateBroker, server: ServerProcess, folder: Path, how: str
) -> None:
    with RpcClient(broker.url, queue=server.queue, timeout=20) as client:
        client.call("start_and_return", str(folder))
    family = server.family()
    server.signal(getattr(signal, how))
    server.wait()
    wait_until(lambda: not started(folder) and not any(is_running(each) for each in family), within=15)


def test_a_program_that_a_function_waits_for_ends_with_the_time_limit() -> None:
    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            call = pool.call("run", 3000)
            (worker,) = pool.pids
            (program,) = await until(psutil.Process(worker).children)
            outcome = await call.outcome()
            assert isinstance(outcome, Lost)
            assert outcome.over_time
            await until(lambda: not is_running(program))

    asyncio.run(main())


# ---- what a call leaves alone ---------------------------------------------------------------------------------------


def test_what_a_function_has_started_lives_as_long_as_its_worker_and_is_left_alone(folder: Path) -> None:
    async def main() -> None:
        async with pool_of(2, target=STARTERS) as pool:
            worker = await pool.call("start_and_return", str(folder)).result(20)
            (other,) = set(pool.pids) - {worker}
            os.kill(other, signal.SIGKILL)  # its tree is ended, and no other
            await until(lambda: pool.ready == 2 and other not in pool.pids)
            for number in range(200):
                assert await pool.call("echo", number).result() == number
            assert len(started(folder)) == sum(WAYS.values())

    asyncio.run(main())


def test_a_helper_that_is_started_by_the_first_call_serves_all_that_come(folder: Path) -> None:
    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            helpers = {await pool.call("helper").result() for _ in range(100)}
            assert len(helpers) == 1

    asyncio.run(main())


@pytest.mark.parametrize("how", ["a program", "a process"])
def test_a_child_may_be_waited_for_by_a_later_call(how: str) -> None:
    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            await pool.call("start_short", how).result()
            await until_zombies(pool, 1)
            for number in range(100):
                await pool.call("echo", number).result()
            assert await pool.call("status_of_short").result() == 3

    asyncio.run(main())


async def until_zombies(pool: Pool, count: int) -> None:
    async with asyncio.timeout(10):
        while await pool.call("zombies").result() != count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("how", "left"), [("daemons", 0), ("programs", 64)])
def test_the_zombies_that_a_worker_is_left_with_are_few(how: str, left: int) -> None:
    """None of those that are certainly not the functions' own, and the last of those that may be."""

    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            await pool.call("leave_zombies", 80, how).result(30)
            await until_zombies(pool, left)
            assert await pool.call("echo", 1).result() == 1

    asyncio.run(main())


def test_shared_memory_that_a_killed_worker_has_left_is_freed() -> None:
    async def main() -> None:
        async with pool_of(target=STARTERS) as pool:
            name = await pool.call("share", 4096).result()
            assert Path("/dev/shm", name).exists()
            os.kill(pool.pids[0], signal.SIGKILL)
            await until(lambda: not Path("/dev/shm", name).exists())

    asyncio.run(main())


def test_a_pool_that_is_process_1_leaves_no_zombies_of_what_functions_have_started(
    broker: PrivateBroker, queue: str, folder: Path
) -> None:
    """Those below a fork server that was killed become the server's own children there."""
    program = "from rpcsvc.workers.orphans import adopt; adopt(); from rpcsvc.cli import main; main()"
    arguments = [sys.executable, "-c", program, "serve", STARTERS, "--workers", "1", "--queue", queue]
    environ = {**os.environ, "RPCSVC_URL": broker.url, "PYTHONPATH": HERE}
    with subprocess.Popen(arguments, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            with RpcClient(broker.url, queue=queue, wait_for_server=20) as client:
                client.call("start_and_return", str(folder))
                family = psutil.Process(process.pid).children(recursive=True)
                client.call("echo", 1)
                psutil.Process(process.pid).children()[0].kill()
                clean = {"a daemon"}  # not to be found any more
                wait_until(lambda: set(started(folder).values()) <= clean, within=15)
                kill(list(started(folder)))
                known = [each for each in family if each.pid not in pids_of(folder, "a daemon")]
                wait_until(lambda: not any(each.is_running() for each in known), within=15)
                assert client.call("echo", 1) == 1
        finally:
            process.terminate()


def test_a_zombie_whose_parent_ends_later_is_reaped_too() -> None:
    """The kernel gives it to process 1 with its parent's end, which on a busy machine may be after the first look."""
    program = """
        import os, signal, sys
        from rpcsvc.workers.orphans import adopt
        from rpcsvc.workers.spawner import is_to_be_reaped

        adopt()
        from_parent, to_us = os.pipe()
        parent = os.fork()
        if parent == 0:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            os.write(to_us, str(child).encode())
            signal.pause()
        child = int(os.read(from_parent, 100))
        assert is_to_be_reaped(child), "it is its parent's still"
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert not is_to_be_reaped(child)
        assert not os.path.exists(f"/proc/{child}")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def pids_of(folder: Path, how: str) -> set[int]:
    return set(map(int, (folder / how).read_text().split()))
