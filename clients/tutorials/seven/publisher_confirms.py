"""Casts 50,000 messages in three ways, and tells a returned from a refused one: python publisher_confirms.py [COUNT].

Each is confirmed by the broker when it is on disk. A pool that is started here counts them as they come.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rpcsvc import CastRejected, NoServer, RpcClient

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
BATCH = 100


def main() -> None:
    with pool("confirms"), RpcClient(queue="confirms") as client:
        measure("individually", client, range(COUNT), one_by_one)
        measure("in batch", client, range(COUNT, 2 * COUNT), in_batches)
        measure("all at once", client, range(2 * COUNT, 3 * COUNT), all_at_once)
        while (counted := client.call("counted")) < 3 * COUNT:
            time.sleep(0.1)
        print(f" [.] Counted {counted:,} in the pool")
    show_returned()
    show_refused()


def one_by_one(client: RpcClient, numbers: range) -> None:
    """The first strategy: a confirm is awaited before the next message."""
    for number in numbers:
        client.cast("count", number)


def in_batches(client: RpcClient, numbers: range) -> None:
    """The second: the confirms of a hundred are awaited before the next hundred."""
    for start in range(0, len(numbers), BATCH):
        client.cast_many("count", numbers[start : start + BATCH])


def all_at_once(client: RpcClient, numbers: range) -> None:
    """The third: confirms come while messages go out; what fails is known one by one."""
    client.cast_many("count", numbers)


def measure(how: str, client: RpcClient, numbers: range, publish: Callable[[RpcClient, range], None]) -> None:
    started = time.perf_counter()
    publish(client, numbers)
    print(f" [x] Published {len(numbers):,} messages {how} in {(time.perf_counter() - started) * 1000:,.0f} ms")


def show_returned() -> None:
    """No pool ever declared that queue: the broker returns what goes there."""
    with RpcClient(queue="nowhere") as client:
        try:
            client.cast("count", 1)
        except NoServer as error:
            print(f" [!] Returned: {error}")


def show_refused() -> None:
    """A queue takes as many as it may hold; the broker refuses what is more."""
    taken = 0
    with pool("narrow", "--cast-max-length", "1"):
        pass  # it is gone again, and the queue that it made stays: casts wait there
    with RpcClient(queue="narrow") as client:
        try:
            while taken < 100:
                client.cast("count", taken)
                taken += 1
        except CastRejected as error:
            print(f" [!] Refused after {taken}: {error}")
        with pool("narrow"):
            while client.call("counted") < taken:
                time.sleep(0.1)


@contextmanager
def pool(queue: str, *options: str) -> Iterator[None]:
    """A pool in a process of its own, which is ready when the block begins and ends with it."""
    words = f"-m rpcsvc serve counting:registry --queue {queue} --workers 1".split()
    command = [sys.executable, *words, *options]
    with subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stderr is not None
        if not any("ready:" in line for line in server.stderr):
            sys.exit(" [!] The pool did not start")
        try:
            yield
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
