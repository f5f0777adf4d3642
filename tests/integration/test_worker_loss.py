"""A crash has an owner: the call that was running gets its typed error, everybody else notices nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.begun import begun
from support.processes import ServerProcess, wait_until

from rpcsvc import FunctionRaised, ResultNotEncodable, RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled


def worker_pids(server: ServerProcess) -> set[int]:
    """The workers are the children of the fork server, which is the server's only child."""
    (fork_server,) = psutil.Process(server.pid).children()
    return {child.pid for child in fork_server.children() if is_alive(child)}


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("method", "args", "exit_code", "signal_number"),
    [
        ("exit_hard", (7,), 7, None),
        ("exit_hard", (0,), 0, None),
        ("segfault", (), None, signal.SIGSEGV),
        ("kill_myself", (signal.SIGKILL,), None, signal.SIGKILL),
        ("hang_up", (30,), None, signal.SIGKILL),
    ],
)
def test_the_caller_of_a_function_that_ends_its_process_is_told_how_at_once(
    client: RpcClient, server: ServerProcess, method: str, args: tuple[int, ...], exit_code: int, signal_number: int
) -> None:
    started = time.monotonic()
    with pytest.raises(WorkerLost) as caught:
        client.call(method, *map(int, args))
    assert time.monotonic() - started < scaled(1.0)
    assert caught.value.exit_code == exit_code
    assert caught.value.signal_number == signal_number
    wait_until(lambda: len(worker_pids(server)) == 3, within=2)


def test_a_worker_killed_in_the_middle_of_a_call_is_replaced_and_its_caller_is_told(
    client: RpcClient, server: ServerProcess, tmp_path: Path
) -> None:
    before = worker_pids(server)
    busy = [begun(client, tmp_path, 60) for _ in range(3)]
    victim = min(before)
    os.kill(victim, signal.SIGKILL)

    wait_until(lambda: any(future.done() for future in busy), within=1)
    (lost,) = [future for future in busy if future.done()]
    error = lost.exception()
    assert isinstance(error, WorkerLost)
    assert error.signal_number == signal.SIGKILL
    assert str(victim) in str(error)
    after = wait_until(lambda: len(pids := worker_pids(server)) == 3 and pids, within=2)
    assert len(after & before) == 2
    for pid in after & before:
        os.kill(pid, signal.SIGKILL)
    for future in busy:
        assert isinstance(future.exception(timeout=scaled(2)), WorkerLost)


def test_an_idle_worker_that_is_killed_is_replaced_and_no_call_is_harmed(
    client: RpcClient, server: ServerProcess
) -> None:
    for victim in worker_pids(server):
        os.kill(victim, signal.SIGKILL)
    futures = [client.submit("fib", n) for n in range(100)]
    assert [future.result() for future in futures][:11] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55]
    wait_until(lambda: len(worker_pids(server)) == 3, within=2)


def test_calls_beside_every_kind_of_failure_are_all_right(client: RpcClient, server: ServerProcess) -> None:
    failures = {
        "exit_hard": ((1,), WorkerLost),
        "segfault": ((), WorkerLost),
        "exit_politely": ((1,), FunctionRaised),
        "raise_error": (("x",), FunctionRaised),
        "return_a_lock": ((), ResultNotEncodable),
    }
    futures = []
    for round_ in range(10):
        for method, (args, error) in failures.items():
            futures.append((client.submit(method, *args), error, None))
            futures += [(client.submit("echo", [round_, n]), None, [round_, n]) for n in range(20)]
    for future, error, value in futures:
        if error is None:
            assert future.result() == value
        else:
            assert isinstance(future.exception(), error)
    wait_until(lambda: len(worker_pids(server)) == 3, within=2)


def test_the_fork_server_is_replaced_with_its_workers(client: RpcClient, server: ServerProcess, tmp_path: Path) -> None:
    (fork_server,) = psutil.Process(server.pid).children()
    running = begun(client, tmp_path, 30)
    fork_server.kill()
    assert isinstance(running.exception(timeout=scaled(2)), WorkerLost)
    assert client.call("fib", 30, timeout=scaled(5)) == 832040
    wait_until(lambda: len(worker_pids(server)) == 3, within=5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="says to Linux who takes orphans in")
def test_a_server_that_is_process_1_of_a_container_leaves_no_zombies(broker: PrivateBroker, queue: str) -> None:
    """There the workers of a fork server that was killed become the server's own children."""
    program = (
        "import ctypes, sys\n"
        "PR_SET_CHILD_SUBREAPER = 36\n"
        "ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)\n"
        "from rpcsvc.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [sys.executable, "-c", program, "serve", "--workers", "2", "--queue", queue]
    environ = {**os.environ, "RPCSVC_URL": broker.url}
    with subprocess.Popen(arguments, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            with RpcClient(broker.url, queue=queue, wait_for_server=20) as client:
                assert client.call("fib", 30) == 832040
                family = psutil.Process(process.pid).children(recursive=True)
                assert len(family) == 3
                psutil.Process(process.pid).children()[0].kill()
                wait_until(lambda: not any(each.is_running() for each in family), within=8)
                assert client.call("fib", 30) == 832040
        finally:
            process.terminate()


def test_a_worker_that_is_stopped_holds_up_nobody_else_and_its_call_goes_to_another(
    client: RpcClient, server: ServerProcess
) -> None:
    victim = min(worker_pids(server))
    os.kill(victim, signal.SIGSTOP)
    futures = [client.submit("echo", b"x" * 2_000_000) for _ in range(9)]
    wait_until(lambda: sum(future.done() for future in futures) == 8, within=2.5)
    assert {future.result(10) for future in futures} == {b"x" * 2_000_000}
    wait_until(lambda: len(worker_pids(server)) == 3 and victim not in worker_pids(server))


def test_a_child_that_a_function_leaves_behind_does_not_hide_the_end_of_its_worker(
    client: RpcClient, server: ServerProcess
) -> None:
    child = psutil.Process(client.call("fork_a_daemon"))
    parent = child.parent()
    assert parent is not None
    parent.kill()
    wait_until(lambda: len(worker_pids(server)) == 3 and parent.pid not in worker_pids(server), within=2)
    assert [client.call("fib", 30) for _ in range(10)] == [832040] * 10
    wait_until(lambda: not is_alive(child))


def test_each_worker_draws_its_own_random_numbers(client: RpcClient) -> None:
    futures = [client.submit("random_number") for _ in range(60)]
    assert len({future.result() for future in futures}) == 60


def test_workers_go_on_when_a_signal_meant_for_the_server_reaches_them_too(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    """A service manager may signal every process of the group."""
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue) as client,
    ):
        running = begun(client, tmp_path, 0.5)
        for process in [*server.family(), psutil.Process(server.pid)]:
            process.send_signal(signal.SIGTERM)
        assert running.result() == "begun"
        assert server.wait() == 0
