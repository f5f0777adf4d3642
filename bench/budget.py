"""Where the time of one call goes: `scripts/bench budget`.

The pure parts are timed alone, in a loop. The rest is what each process spends per call, one call at a time and with
100 in flight: system calls, wake-ups, the event loop, the interpreter's lock.
"""

from __future__ import annotations

import os
import statistics
import time
import timeit
from collections import deque
from collections.abc import Callable

import pika
import pika.frame
import pika.spec
import psutil

from bench.figures import QUEUE, cpu_seconds, pool, say
from rpcsvc import RpcClient
from rpcsvc.amqp.fastpath import FrameParser, Publisher, ack
from rpcsvc.broker import PrivateBroker
from rpcsvc.client.calls import CallFactory, ClientOptions
from rpcsvc.client.futures import RpcFuture
from rpcsvc.client.pending import Pending
from rpcsvc.functions import registry
from rpcsvc.host.keeper import keep_all_processes
from rpcsvc.wire import jsonrpc
from rpcsvc.workers.inside.dispatch import dispatch
from rpcsvc.workers.pipe import CALL, FrameReader, frame

ROUNDS = 5


def micros(function: Callable[[], object], number: int = 20_000) -> float:
    """The least time of a call in µs, over some repetitions."""
    return min(timeit.repeat(function, number=number, repeat=5)) / number * 1e6


def pure_parts() -> None:
    """What is computed for one call, without any input or output."""
    calls = CallFactory(ClientOptions())
    call = calls.make("fib", (30,), {}, None, lambda call_id: RpcFuture("fib", call_id))
    request = jsonrpc.encode_request("7", "fib", call.params)
    response = dispatch(registry, request)
    assert response is not None
    publisher = Publisher(1, 131_072, "application/json", lambda _: None)
    queue = "amq.gen-0123456789012345678901"
    parser = FrameParser(lambda _: None, lambda _channel, _tag, _delivery: None)
    delivered = delivery_frames(request, queue)
    reader = FrameReader()
    pending: Pending[Delayed] = Pending()

    def wait_once() -> None:
        pending.add("7", Delayed())
        pending.pop("7", answered=True)

    parts: list[tuple[str, Callable[[], object]]] = [
        ("client: check, number and encode the call", lambda: calls.make("fib", (30,), {}, None, new_future)),
        ("client: the request around it", lambda: jsonrpc.encode_request("7", "fib", call.params)),
        (
            "client: the frames of the publish",
            lambda: publisher.publish(
                "rpc_queue", request, mandatory=True, correlation_id="7", reply_to=queue, expiration="30000", type="fib"
            ),
        ),
        ("client: wait for the reply, and match it", wait_once),
        ("server: parse the delivery", lambda: parser.feed(delivered)),
        ("server: frame it for the worker, and read a frame", lambda: reader.feed(frame(CALL, 1, request))),
        ("worker: decode, check, fib(30), encode", lambda: dispatch(registry, request)),
        ("server: the frames of the reply", lambda: publisher.publish(queue, response, correlation_id="7")),
        ("server: the ack", lambda: ack(1, 7)),
        ("client: decode the response", lambda: jsonrpc.decode_response(response)),
    ]
    total = 0.0
    for name, part in parts:
        took = micros(part)
        total += took
        say(name, f"{took:6.2f} µs")
    say("all of that", f"{total:6.2f} µs")


class Delayed:
    """A call as the pending table sees it."""

    deadline = float("inf")


def new_future(call_id: str) -> RpcFuture:
    """Where an outcome goes."""
    return RpcFuture("fib", call_id)


def delivery_frames(body: bytes, reply_to: str) -> bytes:
    """A request as the broker delivers it, made by pika."""
    properties = pika.BasicProperties(
        content_type="application/json", correlation_id="7", reply_to=reply_to, expiration="30000", type="fib"
    )
    frames = (
        pika.frame.Method(1, pika.spec.Basic.Deliver("rpcsvc-1", 7, False, "", "rpc_queue")),
        pika.frame.Header(1, len(body), properties),
        pika.frame.Body(1, body),
    )
    return b"".join(each.marshal() for each in frames)


def processes(broker: PrivateBroker) -> None:
    """What each process spends per call."""
    with pool(4) as running, RpcClient(queue=QUEUE, timeout=60, pack=False) as client:
        broker_process = psutil.Process(broker.pid)

        def snapshot() -> list[float]:
            return [
                time.perf_counter(),
                time.process_time(),
                cpu_seconds(running.server),
                sum(cpu_seconds(worker) for worker in running.workers()),
                cpu_seconds(broker_process),
            ]

        def measure(load: Callable[[RpcClient, int], None], calls: int) -> list[float]:
            before = snapshot()
            load(client, calls)
            return [(after - earlier) / calls * 1e6 for earlier, after in zip(before, snapshot(), strict=True)]

        one_by_one(client, 500)
        for name, load, calls in (("one at a time", one_by_one, 4_000), ("100 in flight, unpacked", together, 15_000)):
            rounds = [measure(load, calls) for _ in range(ROUNDS)]
            wall, here, server, workers, broker_cpu = (
                statistics.median(column) for column in zip(*rounds, strict=True)
            )
            say(f"{name}: wall time per call", f"{wall:6.0f} µs")
            say("  CPU of the client", f"{here:6.0f} µs")
            say("  CPU of the server process", f"{server:6.0f} µs")
            say("  CPU of the workers", f"{workers:6.0f} µs")
            say("  CPU of the broker", f"{broker_cpu:6.0f} µs")


def one_by_one(client: RpcClient, calls: int) -> None:
    """Calls, each after the other's result."""
    for _ in range(calls):
        assert client.call("fib", 30) == 832040


def together(client: RpcClient, calls: int) -> None:
    """Calls, 100 under way at a time."""
    waiting = deque(client.submit("fib", 30) for _ in range(100))
    for _ in range(calls - 100):
        assert waiting.popleft().result() == 832040
        waiting.append(client.submit("fib", 30))
    while waiting:
        assert waiting.popleft().result() == 832040


def main() -> None:
    """Measure, and print."""
    pure_parts()
    with keep_all_processes(), PrivateBroker.temporary(prefix="rpcsvc-budget-") as broker:
        os.environ["RPCSVC_URL"] = broker.url
        processes(broker)


if __name__ == "__main__":
    main()
