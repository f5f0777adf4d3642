"""The main job in a minute: a private broker, a pool, exact results, speed, a killed worker, a cast, and an event.

Run it with `scripts/demo`, which installs what it needs. With RPCSVC_URL set it uses that broker and starts none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import psutil
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    import rpcsvc  # noqa: F401
except ModuleNotFoundError as error:
    missing = str(error.name).partition(".")[0]
    raise SystemExit(
        f"demo: this needs {missing}: type scripts/demo, which installs it, or pip install '.[cli]'"
    ) from None

from rpcsvc import RpcClient, WorkerLost
from rpcsvc.amqp import Connection
from rpcsvc.broker import PrivateBroker
from rpcsvc.host.keeper import keep_processes
from rpcsvc.settings import BrokerUrl, BrokerUrls, usable_cpus
from rpcsvc.wire.casts import casts_queue, dead_queue
from rpcsvc.wire.digits import abbreviate

HERE = Path(__file__).parent
WORKERS = max(2, usable_cpus())
ONE_AT_A_TIME = 2_000
IN_FLIGHT, TOGETHER = 100, 10_000

console = Console(highlight=False)


def main() -> None:
    """The demonstration, from the broker's start to its stop."""
    # A queue of its own: on a broker that others use too, nobody else's calls come here.
    queue = f"rpcsvc-demo-{uuid.uuid4().hex[:8]}"
    with a_broker() as url:
        with a_pool(url, queue) as server, RpcClient(url, queue=queue, wait_for_server=10) as client:
            show_exact_results(client)
            show_speed(client)
            show_a_worker_killed(client, server)
            show_a_cast(client)
            show_an_event(client)
        delete_queues(url, queue)


@contextlib.contextmanager
def a_broker() -> Iterator[str]:
    """The URL of the user's broker, or of a private one in a temporary folder."""
    given = os.environ.get("RPCSVC_URL")
    if given:
        console.print(f"broker   {BrokerUrls.parse(given)} (RPCSVC_URL)")
        yield given
        return
    started = time.perf_counter()
    with PrivateBroker.temporary(prefix="rpcsvc-demo-") as broker:
        shown = BrokerUrl.parse(broker.url)
        console.print(f"broker   a private RabbitMQ at {shown}, up in {time.perf_counter() - started:.1f} s")
        yield broker.url
    console.print("broker   stopped, its folder removed")


@contextlib.contextmanager
def a_pool(url: str, queue: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process with its workers, as `rpcsvc serve` starts it; drained at the end."""
    command = [sys.executable, "-m", "rpcsvc", "serve", "demo_functions:registry", "--workers", str(WORKERS)]
    command += ["--queue", queue]
    environ = {
        **os.environ,
        "RPCSVC_URL": url,
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
    }
    with keep_processes() as mark:  # it ends with this program, also if that is killed
        server = subprocess.Popen(command, env={**environ, **mark})  # noqa: S603 our own
        try:
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def show_exact_results(client: RpcClient) -> None:
    """fib for small and huge n, each compared with an independent computation here."""
    table = Table("call", "result", "took", "equals φⁿ computed here", title="exact results", title_justify="left")
    for n in (1, 30, 100, 10_000, 1_000_000):
        started = time.perf_counter()
        result = client.call("fib", n)
        took = time.perf_counter() - started
        check = "yes" if result == fib_by_powers_of_phi(n) else "[red]NO[/red]"
        table.add_row(f"fib({n:,})", abbreviate(result), f"{took * 1000:.1f} ms", check)
    console.print(table)


def fib_by_powers_of_phi(n: int) -> int:
    """F(n) as the coefficient of φ in φⁿ = F(n) φ + F(n-1): another way than the workers'."""
    result, base = (0, 1), (1, 0)
    while n:
        if n & 1:
            result = times(result, base)
        base = times(base, base)
        n >>= 1
    return result[0]


def times(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """(a φ + b)(c φ + d), with φ² = φ + 1."""
    (a, b), (c, d) = left, right
    return a * c + a * d + b * c, a * c + b * d


def show_speed(client: RpcClient) -> None:
    """Calls one after the other, for the latency; then many in flight, for the throughput."""
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    latencies: list[float] = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("one at a time", total=ONE_AT_A_TIME)
        began = time.perf_counter()
        for _ in range(ONE_AT_A_TIME):
            started = time.perf_counter()
            client.call("fib", 30)
            latencies.append(time.perf_counter() - started)
            progress.advance(bar)
        one_at_a_time = ONE_AT_A_TIME / (time.perf_counter() - began)

        bar = progress.add_task(f"{IN_FLIGHT} in flight", total=TOGETHER)
        began = time.perf_counter()
        waiting = deque(client.submit("fib", 30) for _ in range(IN_FLIGHT))
        for done in range(TOGETHER):
            waiting.popleft().result()
            if done < TOGETHER - IN_FLIGHT:
                waiting.append(client.submit("fib", 30))
            if done % 100 == 99:
                progress.advance(bar, 100)
        together = TOGETHER / (time.perf_counter() - began)

    latencies.sort()
    p50, p90, p99 = (latencies[int(len(latencies) * share)] * 1e6 for share in (0.5, 0.9, 0.99))
    console.print(
        f"one at a time   {one_at_a_time:,.0f} calls/s; p50 {p50:,.0f} µs, p90 {p90:,.0f} µs, p99 {p99:,.0f} µs"
    )
    console.print(f"{IN_FLIGHT} in flight   {together:,.0f} calls/s on {WORKERS} workers")


def show_a_worker_killed(client: RpcClient, server: subprocess.Popen[bytes]) -> None:
    """Every worker is in the middle of a call; one is killed. Its caller hears of it, the others of nothing."""
    console.rule("a worker is killed")
    running = [client.submit("sleep", 1.0) for _ in range(WORKERS)]
    wait_until(lambda: len(worker_pids(server)) == WORKERS)
    time.sleep(0.3)
    victim = worker_pids(server)[0]
    killed = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    console.print(f"SIGKILL to worker {victim}")
    for number, future in enumerate(running, 1):
        error = future.exception()
        if isinstance(error, WorkerLost):
            console.print(f"call {number}: [yellow]WorkerLost[/yellow]: {error}")
        else:
            console.print(f"call {number}: {future.result()} (right)")
    wait_until(lambda: len(worker_pids(server)) == WORKERS)
    console.print(
        f"pool: {WORKERS} of {WORKERS} workers again; {time.perf_counter() - killed:.2f} s after the kill all is told"
    )
    results = [future.result() for future in [client.submit("fib", 30) for _ in range(1000)]]
    console.print(f"and then: {results.count(832040)} of {len(results)} calls right, {client.pending} pending")


def show_a_cast(client: RpcClient) -> None:
    """Work that nobody waits for: it fails twice, waits in the broker before each further attempt, and succeeds."""
    console.rule("a cast fails twice, and is done all the same")
    with tempfile.TemporaryDirectory(prefix="rpcsvc-demo-") as folder:
        note = Path(folder) / "done"
        started = time.perf_counter()
        message_id = client.cast("unsteady", str(note))
        safe = time.perf_counter() - started
        console.print(f"cast {message_id}: on the broker's disk after {safe * 1000:.1f} ms")
        wait_until(lambda: note.exists() and note.read_text() != "", within=60.0)
        took = time.perf_counter() - started
        console.print(f"done in attempt {note.read_text()}, {took:.1f} s after it was cast: it waited 1 s, then 2 s")


def show_an_event(client: RpcClient) -> None:
    """Who has subscribed to a pattern hears what is published to a topic that fits."""
    console.rule("an event")
    with client.subscribe("demo.*") as subscription:
        client.publish("demo.ended", {"calls": ONE_AT_A_TIME + TOGETHER})
        event = subscription.get(timeout=10)
    console.print(f"a subscriber to 'demo.*' heard {event.topic!r}: {event.body}")


def worker_pids(server: subprocess.Popen[bytes]) -> list[int]:
    """The workers are the children of the fork server, the server's only child."""
    fork_servers = psutil.Process(server.pid).children()
    return sorted(child.pid for fork_server in fork_servers for child in fork_server.children())


def wait_until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Return when `condition()` is true."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"what had to come did not come within {within:g} s")
        time.sleep(0.01)


def delete_queues(url: str, queue: str) -> None:
    """Leave nothing behind on a broker that is not ours."""

    async def delete() -> None:
        connection = await Connection.open(BrokerUrls.parse(url).nodes[0], role="rpcsvc demo", timeout=10)
        channel = await connection.channel()
        for name in (queue, casts_queue(queue), dead_queue(queue)):
            await channel.delete_queue(name)
        await connection.close()

    asyncio.run(delete())


if __name__ == "__main__":
    main()
