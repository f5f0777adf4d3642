"""The figures of one machine that need no peer: `scripts/bench figures`.

Each is measured against its own limit in the same run: a function against itself, a crowd of calls against a few. A
private broker and a pool are started for it, and stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

import psutil

from rpcsvc import AsyncRpcClient, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.functions import fib
from rpcsvc.host.keeper import keep_all_processes

QUEUE = "rpcsvc-figures"
ROUNDS = 5


class Pool:
    """`rpcsvc serve` as a child process.

    Attributes:
        started_in: seconds until it said that it was ready.
    """

    def __init__(self, workers: int) -> None:
        command = [sys.executable, "-m", "rpcsvc", "serve", "--workers", str(workers), "--queue", QUEUE]
        started = time.perf_counter()
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # our own interpreter
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        self.started_in = time.perf_counter() - started
        assert "ready" in line, line
        self.server = psutil.Process(self._process.pid)
        (self.fork_server,) = self.server.children()

    def workers(self) -> list[psutil.Process]:
        """The worker processes that live."""
        return [child for child in self.fork_server.children() if is_alive(child)]

    def cpu_seconds(self) -> float:
        """What all its processes have used."""
        return sum(cpu_seconds(process) for process in (self.server, self.fork_server, *self.workers()))

    def stop(self) -> None:
        """Drain and end."""
        self._process.terminate()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextlib.contextmanager
def pool(workers: int) -> Iterator[Pool]:
    """A pool for a while."""
    running = Pool(workers)
    try:
        yield running
    finally:
        running.stop()


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs, or could."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time."""
    times = process.cpu_times()
    return float(times.user + times.system)


def median_ms(function: Callable[[], object], rounds: int) -> float:
    """The median time of a call in milliseconds."""
    spans = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        spans.append(time.perf_counter() - started)
    return statistics.median(spans) * 1000


def say(name: str, figure: str) -> None:
    """One line of the result."""
    print(f"{name:<58} {figure}", flush=True)


def start_and_replace() -> None:
    """A pool of 8, and one of its workers killed."""
    ready, replaced = [], []
    for _ in range(ROUNDS):
        with pool(8) as running:
            ready.append(running.started_in)
            before = {worker.pid for worker in running.workers()}
            victim = min(before)
            killed = time.perf_counter()
            os.kill(victim, 9)
            while len({worker.pid for worker in running.workers()} - {victim}) < len(before):
                pass
            replaced.append(time.perf_counter() - killed)
    say("pool of 8 workers, from the command to ready", f"{statistics.median(ready):.2f} s")
    say("a killed worker replaced (its process is there)", f"{statistics.median(replaced) * 1000:.0f} ms")


def rest_and_memory(running: Pool, client: RpcClient) -> None:
    """What a pool costs that does nothing, and what a worker holds."""
    for _ in range(200):
        client.call("fib", 30)
    private = [worker.memory_full_info().uss / 2**20 for worker in running.workers()]
    say("private memory (USS) of a worker, built-in functions", f"{statistics.median(private):.1f} MiB")
    time.sleep(1)
    before, started = running.cpu_seconds(), time.perf_counter()
    time.sleep(10)
    share = (running.cpu_seconds() - before) / (time.perf_counter() - started)
    say("idle pool of 4 workers", f"{share * 100:.1f} % of a core")


def one_large_result(client: RpcClient) -> None:
    """fib(10^6): through the wire, against the computation alone."""
    alone = median_ms(lambda: fib(1_000_000), 50)
    wire = median_ms(lambda: client.call("fib", 1_000_000), 50)
    say("fib(10^6) through the wire, against the function alone", f"{wire:.2f} / {alone:.2f} ms = {wire / alone:.1f} x")


def one_long_call(client: RpcClient) -> None:
    """A function of 10 ms, here and there."""

    def ten_ms() -> float:
        return float(client.call("sleep", 0.01))

    def alone() -> None:
        time.sleep(0.01)

    there, here = median_ms(ten_ms, 200), median_ms(alone, 200)
    say(
        "call of a 10 ms function, against the function itself",
        f"{there:.2f} / {here:.2f} ms = +{(there / here - 1) * 100:.1f} %",
    )


def crowd(client: RpcClient, in_flight: int, calls: int) -> tuple[float, float]:
    """Microseconds of wall time and of the client's CPU per call, with so many under way."""
    started, cpu = time.perf_counter(), time.process_time()
    waiting = deque(client.submit("fib", 30) for _ in range(in_flight))
    for _ in range(calls - in_flight):
        assert waiting.popleft().result() == 832040
        waiting.append(client.submit("fib", 30))
    while waiting:
        assert waiting.popleft().result() == 832040
    return (time.perf_counter() - started) / calls * 1e6, (time.process_time() - cpu) / calls * 1e6


def crowds(client: RpcClient, how: str) -> None:
    """Many calls under way against few; and the client's own CPU."""
    pairs = [(crowd(client, 100, 20_000), crowd(client, 100_000, 130_000)) for _ in range(3)]
    ratio = statistics.median(large[0] / small[0] for small, large in pairs)
    cpu = statistics.median(small[1] for small, _ in pairs)
    say(f"cost per call, 100,000 in flight against 100{how}", f"{ratio:.2f} x")
    say(f"client CPU per call, 100 in flight{how}", f"{cpu:.0f} µs")


def burst(client: RpcClient, calls: int) -> float:
    """Seconds for so many tiny calls that are made at once."""
    started = time.perf_counter()
    futures = [client.submit("fib", 30) for _ in range(calls)]
    assert all(future.result() == 832040 for future in futures)
    return time.perf_counter() - started


async def gather(calls: int) -> tuple[float, float]:
    """Seconds for a gather of so many tiny calls from a fresh client, and for its next."""
    async with AsyncRpcClient(queue=QUEUE, timeout=300) as client:
        spans = []
        for _ in range(2):
            started = time.perf_counter()
            assert set(await asyncio.gather(*(client.call("fib", 30) for _ in range(calls)))) == {832040}
            spans.append(time.perf_counter() - started)
        return spans[0], spans[1]


def cold_bursts() -> None:
    """The first calls of a client, of which nothing is known, against its next."""
    submits, gathers = [], []
    for _ in range(2 * ROUNDS + 1):
        with RpcClient(queue=QUEUE, timeout=300) as client:
            submits.append(burst(client, 10_000) / burst(client, 10_000))
        cold, warm = asyncio.run(gather(20_000))
        gathers.append(cold / warm)
    for name, ratios in (("10,000 submits", submits), ("a gather of 20,000", gathers)):
        spread = f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} - {max(ratios):.2f})"
        say(f"{name} from a fresh client, against its next", spread)


def main() -> None:
    """Measure, and print."""
    with keep_all_processes(), PrivateBroker.temporary(prefix="rpcsvc-figures-") as broker:
        os.environ["RPCSVC_URL"] = broker.url
        start_and_replace()
        with pool(4) as running, RpcClient(queue=QUEUE, timeout=300, max_in_flight=200_000) as client:
            rest_and_memory(running, client)
            one_large_result(client)
            one_long_call(client)
            cold_bursts()
            crowds(client, "")
        with pool(4), RpcClient(queue=QUEUE, timeout=300, max_in_flight=200_000, pack=False) as client:
            crowds(client, ", pack=False")


if __name__ == "__main__":
    main()
