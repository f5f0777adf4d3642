"""SIGHUP and `reload`: new code takes over without a lost call, and broken code does not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.pools import Pool, lines, pool_of, until
from support.processes import ServerProcess, wait_until

import rpcsvc
from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.workers.care import Care
from rpcsvc.workers.work import Lost

CODE = """
from rpcsvc import Registry
import os, time

registry = Registry()


@registry.function
def version() -> int:
    return {version}


@registry.function
def pid() -> int:
    return os.getpid()


@registry.function
def slow(path: str, seconds: float) -> int:
    with open(path, "a") as file:
        file.write("begun\\n")
    time.sleep(seconds)
    return {version}


{more}
"""
NEW = "@registry.function(idempotent=False)\ndef added() -> str:\n    return 'here'\n"


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Write another version of the module `changing`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(rpcsvc.__file__).parents[1]}")

    def write(version: int, more: str = "") -> None:
        # Of a new length each time: Python takes a compiled module for current by its second and its length.
        (tmp_path / "changing.py").write_text(CODE.format(version=version, more=more + "#" * (version % 1000)))

    write(1)
    return write


async def versions(pool: Pool, count: int = 8) -> set[int]:
    return {await call.result() for call in [pool.call("version") for _ in range(count)]}


def test_new_code_takes_over_and_a_call_that_runs_ends_with_the_old(code: Callable[..., None], tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async def main() -> None:
        async with pool_of(2, target="changing:registry") as pool:
            old = pool.pids
            children = len(psutil.Process().children())
            running = pool.call("slow", str(notes), 1.5)
            await until(lambda: lines(notes))
            code(2, NEW)
            pool.reload()
            assert await versions(pool) == {1}
            assert list(pool.functions) == ["version", "pid", "slow"]
            await until(lambda: "added" in pool.functions)
            assert not pool.functions["added"].idempotent
            assert await versions(pool) == {2}
            assert await pool.call("added").result() == "here"
            assert not running.outcomes
            assert await running.result() == 1
            await until(lambda: len(pool.pids) == 2 and not set(old) & set(pool.pids))
            await until(lambda: len(psutil.Process().children()) == children)
            assert (pool.ready, pool.lost, pool.reasons) == (2, 0, [])

    asyncio.run(main())


def test_calls_under_load_all_end_and_there_is_always_somebody_to_take_them(code: Callable[..., None]) -> None:
    async def main() -> None:
        async with pool_of(2, target="changing:registry") as pool:
            answers = []
            ready = []

            async def load() -> None:
                while answers.count(4) < 100:
                    answers.append(await pool.call("version").result(within=1))
                    ready.append(pool.ready)

            loading = [asyncio.ensure_future(load()) for _ in range(4)]
            for version in (2, 3, 4):
                code(version)
                pool.reload()
                pool.reload()
            await asyncio.gather(*loading)
            assert set(answers) <= {1, 2, 3, 4}
            assert min(ready) >= 1
            await until(lambda: len(pool.pids) == 2)
            assert (pool.lost, pool.reasons) == (0, [])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("registry = None", "not a rpcsvc.Registry"),
        ("os._exit(3)", "ended before it was done"),
        ("os.register_at_fork(after_in_child=lambda: os._exit(4))", "5 workers in a row"),
        ("os.register_at_fork(after_in_parent=lambda: os._exit(4))", "the fork server has ended"),
    ],
)
def test_code_that_does_not_work_changes_nothing_and_the_log_says_why(
    code: Callable[..., None], caplog: pytest.LogCaptureFixture, more: str, why: str
) -> None:
    async def main() -> None:
        async with pool_of(2, target="changing:registry") as pool:
            pids = pool.pids
            code(2, more)
            pool.reload()
            await until(lambda: "not reloaded" in caplog.text)
            assert why in caplog.text
            assert any(record.levelname == "ERROR" and why in record.getMessage() for record in caplog.records)
            assert await versions(pool) == {1}
            await until(lambda: pool.pids == pids)
            assert pool.reasons == []
            code(30)
            pool.reload()
            await until(lambda: pids != pool.pids and len(pool.pids) == 2)
            assert await versions(pool) == {30}

    asyncio.run(main())


def test_a_pool_of_new_code_replaces_its_workers_and_its_fork_server_as_ever(
    code: Callable[..., None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with pool_of(1, target="changing:registry", care=Care(max_calls=5)) as pool:
            code(2)
            pool.reload()
            old = pool.pids
            await until(lambda: len(pool.pids) == 1 and pool.pids != old)
            psutil.Process(pool.pids[0]).kill()
            assert await versions(pool) == {2}
            running = pool.call("slow", str(tmp_path / "notes"), 30)
            await until(lambda: lines(tmp_path / "notes"))
            parent = psutil.Process(pool.pids[0]).parent()  # of the worker that runs: none that is just recycled
            assert parent is not None
            parent.kill()
            assert isinstance(await running.outcome(), Lost)
            assert await versions(pool) == {2}

    asyncio.run(main())


def test_an_old_fork_server_that_dies_late_takes_only_its_own_calls_along(
    code: Callable[..., None], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"

    async def main() -> None:
        async with pool_of(1, target="changing:registry") as pool:
            old = psutil.Process(pool.pids[0]).parent()
            assert old is not None
            running = pool.call("slow", str(notes), 30)
            await until(lambda: lines(notes))
            code(2)
            pool.reload()
            assert await pool.call("version").result() == 2
            new = [pid for pid in pool.pids if psutil.Process(pid).parent() != old]
            old.kill()
            assert isinstance(await running.outcome(), Lost)
            assert await versions(pool) == {2}
            assert pool.pids == new
            assert pool.reasons == []

    asyncio.run(main())


def test_an_old_fork_server_that_dies_while_the_new_one_imports_costs_the_pool_nothing(
    code: Callable[..., None],
) -> None:
    async def main() -> None:
        async with pool_of(1, target="changing:registry") as pool:
            worker = psutil.Process(pool.pids[0])
            old = worker.parent()
            assert old is not None
            children = len(psutil.Process().children())
            code(2, "time.sleep(0.5)")
            pool.reload()
            await until(lambda: len(psutil.Process().children()) == children + 1)
            old.kill()
            await until(lambda: not worker.is_running())  # the kernel ends it a moment later
            assert await pool.call("version").result() == 2
            await until(lambda: pool.ready == 1 and not pool._fleet._tasks)
            await until(lambda: len(psutil.Process().children()) == children)
            assert await versions(pool) == {2}
            assert pool.reasons == []

    asyncio.run(main())


def test_sighup_reloads_a_server_under_load_and_fails_no_call(
    broker: PrivateBroker, queue: str, code: Callable[..., None], tmp_path: Path
) -> None:
    options = ("--workers", "2", "--queue", queue)
    with (
        ServerProcess(broker.url, *options, registry="changing:registry") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        answers: list[int] = []
        for version in (2, 3):
            code(version)
            server.signal(signal.SIGHUP)
            server.signal(signal.SIGHUP)

            def is_new(version: int = version) -> bool:
                answers.append(client.call("version"))
                return answers[-1] == version

            wait_until(is_new)
        assert answers == sorted(answers), "once new, no old code answers"
        code(4, "1 / 0")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "ZeroDivisionError" in server.output)
        assert client.call("version") == 3
        wait_until(lambda: len(server.family()) == 3)
        running = client.submit("slow", str(tmp_path / "notes"), 1.0)
        wait_until(lambda: lines(tmp_path / "notes"))
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGHUP)
        assert running.result() == 3
        assert server.wait() == ExitCode.OK
