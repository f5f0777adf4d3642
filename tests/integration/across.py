"""A registry, and a client that exercises it: run with this release of the library or another, on either side.

    python across.py QUEUE PROMPT   # on the broker of RPCSVC_URL

Exits with 0 when every call ended as it must. PROMPT is "all", or "calls" for what a pool that ends meanwhile allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from concurrent.futures import CancelledError
from decimal import Decimal
from typing import Any

import numpy
import pika

import rpcsvc
from rpcsvc import (
    AsyncRpcClient,
    FunctionRaised,
    InvalidParams,
    MethodNotFound,
    NoServer,
    Registry,
    RpcClient,
    RpcTimeout,
)

registry = Registry()


@registry.function
def version() -> str:
    """The library's version in the worker."""
    return rpcsvc.__version__


@registry.function
def echo(value: Any) -> Any:
    """What it is given."""
    return value


@registry.function
def double(number: int, times: int = 1) -> int:
    """Twice the number, so many times; no number above a thousand."""
    if number > 1000:
        raise ValueError("too much")
    return number * 2**times


@registry.function
def nap(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


@registry.function(idempotent=False)
def once(number: int) -> int:
    """What must not run twice."""
    return number


def values_travel(client: RpcClient) -> None:
    value = (1, {2, 3}, b"\0" * 100_000, 2**200, Decimal("0.10"), float("inf"), {(1, 2): None}, bytearray(b"a"))
    assert client.call("echo", value) == value
    array = numpy.arange(20_000.0).reshape(100, 200)
    assert numpy.array_equal(client.call("echo", array), array)
    large = b"x" * 4_000_000
    assert client.call("echo", large) == large


def calls_travel(client: RpcClient) -> None:
    assert client.call("double", 2, times=3) == 16
    assert client.proxy.once(5) == 5
    futures = [client.submit("double", number) for number in range(500)]
    assert [future.result() for future in futures] == [2 * number for number in range(500)]
    assert list(client.map("double", range(300))) == [2 * number for number in range(300)]
    assert sorted(client.map("once", range(20), ordered=False)) == list(range(20))
    assert (
        sum(isinstance(each, FunctionRaised) for each in client.map("double", [1, 2000], return_exceptions=True)) == 1
    )


def errors_travel(client: RpcClient) -> None:
    for error, words in (
        (FunctionRaised, ("double", 1001)),
        (InvalidParams, ("double", "1")),
        (MethodNotFound, ("nothing",)),
    ):
        try:
            client.call(*words)
        except error:
            continue
        raise AssertionError(f"{words} did not raise {error}")
    try:
        client.call("nap", 0.5, timeout=0.1)
    except RpcTimeout:
        return
    raise AssertionError("no RpcTimeout")


def a_cancelled_call_frees_its_worker(client: RpcClient) -> None:
    running = client.submit("nap", 50.0)
    time.sleep(0.3)
    assert running.cancel()
    with contextlib.suppress(CancelledError):
        running.result()
    assert client.call("double", 1, timeout=20) == 2


def calls_outlive_their_queue(client: RpcClient, queue: str) -> None:
    futures = [client.submit("nap", 0.5) for _ in range(6)]
    time.sleep(0.3)
    with pika.BlockingConnection(pika.URLParameters(os.environ["RPCSVC_URL"])) as connection:
        connection.channel().queue_delete(queue)
    assert [future.result() for future in futures] == [0.5] * 6


async def asyncio_too(queue: str) -> None:
    async with AsyncRpcClient(queue=queue) as client:
        assert await asyncio.gather(*(client.call("double", number) for number in range(50))) == list(range(0, 100, 2))


def nobody_serves(queue: str) -> None:
    with RpcClient(queue=f"{queue}-nobody", timeout=20) as client:
        try:
            client.call("echo", 1)
        except NoServer:
            return
    raise AssertionError("no NoServer")


def main(queue: str, prompt: str) -> None:
    """Everything."""
    with RpcClient(queue=queue, timeout=60, wait_for_server=20) as client:
        values_travel(client)
        calls_travel(client)
        errors_travel(client)
        asyncio.run(asyncio_too(queue))
        if prompt == "all":
            a_cancelled_call_frees_its_worker(client)
            calls_outlive_their_queue(client, queue)
            nobody_serves(queue)
            print(rpcsvc.__version__, "asked", client.call("version"))
    if prompt != "all":
        print(rpcsvc.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
