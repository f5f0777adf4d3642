"""Signals that come twice, or were ignored before: what supervisors, terminals and background shells do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.begun import begun
from support.processes import HERE, REGISTRY, ServerProcess, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode

IGNORING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
)


def _serve(*words: str) -> list[str]:
    return [sys.executable, "-m", "rpcsvc", "serve", REGISTRY, "--workers", "1", *words]


@pytest.fixture
def one_worker(broker: PrivateBroker, queue: str) -> ServerProcess:
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        yield server


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM,) * 5]
)
def test_a_sigterm_that_is_said_twice_drains(
    broker: PrivateBroker, one_worker: ServerProcess, tmp_path: Path, signals: tuple[int, ...]
) -> None:
    with RpcClient(broker.url, queue=one_worker.queue, timeout=30) as client:
        future = begun(client, tmp_path, 1.5)
        for number in signals:
            one_worker.signal(number)
            time.sleep(0.05)  # two at the same moment are one to Unix
        assert future.result(30) == "begun"
        assert one_worker.wait() == ExitCode.OK
        assert "stopping at once" not in one_worker.output


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_sigint_after_another_signal_stops_at_once(
    broker: PrivateBroker, one_worker: ServerProcess, tmp_path: Path, first: int
) -> None:
    with RpcClient(broker.url, queue=one_worker.queue, timeout=30) as client:
        future = begun(client, tmp_path, 60)
        one_worker.signal(first)
        wait_until(lambda: "draining" in one_worker.output)
        one_worker.signal(signal.SIGINT)
        assert one_worker.wait() == ExitCode.INTERRUPTED
        future.cancel()


def test_gnu_timeout_drains_a_server(broker: PrivateBroker, queue: str, tmp_path: Path) -> None:
    environ = {**os.environ, "RPCSVC_URL": broker.url}
    with (
        subprocess.Popen(
            ["timeout", "300", *_serve("--queue", queue)], cwd=HERE, env=environ, stderr=subprocess.DEVNULL
        ) as timeout,
        RpcClient(broker.url, queue=queue, wait_for_server=30, timeout=30) as client,
    ):
        future = begun(client, tmp_path, 1.5)
        timeout.terminate()  # it passes that on to its child, and to the group that the child is in
        assert future.result(30) == "begun"
        timeout.wait(30)


# ---- ignored ones


@pytest.fixture
def in_the_background(broker: PrivateBroker, tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the command as a shell's `&` does in a script: with SIGINT ignored."""
    started = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", IGNORING, sys.executable, "-m", "rpcsvc", *words]
        environ = {**os.environ, "RPCSVC_URL": broker.url, "XDG_STATE_HOME": str(tmp_path)}
        with (tmp_path / "said").open("wb") as said:
            started.append(subprocess.Popen(command, cwd=HERE, env=environ, stdout=said, stderr=said))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_server_in_the_background_leaves_sigint_to_what_runs_in_front(
    broker: PrivateBroker, queue: str, in_the_background: Callable[..., subprocess.Popen[bytes]]
) -> None:
    server = in_the_background("serve", REGISTRY, "--workers", "1", "--queue", queue)
    with RpcClient(broker.url, queue=queue, wait_for_server=30, timeout=30) as client:
        assert client.call("fib", 30) == 832040
        for _ in range(3):
            server.send_signal(signal.SIGINT)
        assert client.call("fib", 31) == 1346269
        server.terminate()
        assert server.wait(30) == ExitCode.OK


def test_a_benchmark_in_the_background_is_ended_by_sigterm_and_shows_what_it_has(
    server: ServerProcess, in_the_background: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    bench = in_the_background("bench", "fib", "20", "--queue", server.queue, "--duration", "60", "--warm-up", "0.1")
    wait_until(lambda: "measuring" in (tmp_path / "said").read_text(), within=30)
    bench.send_signal(signal.SIGINT)
    time.sleep(0.1)
    bench.send_signal(signal.SIGTERM)
    bench.send_signal(signal.SIGTERM)
    assert bench.wait(30) == ExitCode.INTERRUPTED
    assert "Throughput and latency" in (tmp_path / "said").read_text()
