"""Casts from a client to the broker: when they are safe, and what is told when they are not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from support.ctl import RabbitCtl
from support.processes import wait_until
from support.queues_of_casts import CastQueue, cast_queue

from rpcsvc import (
    AsyncRpcClient,
    CastRejected,
    CastUnknown,
    ClientClosed,
    ConnectionFailed,
    NoServer,
    OutOfPlace,
    RequestTooLarge,
    RpcClient,
)
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled
from rpcsvc.testing.proxy import Direction, FaultProxy
from rpcsvc.wire.casts import History, kept_headers


@pytest.fixture
def casts(broker: PrivateBroker, queue: str) -> Iterator[CastQueue]:
    with cast_queue(broker.url, queue) as casts:
        yield casts


@pytest.fixture
def network(broker: PrivateBroker) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", broker.port) as network:
        yield network


def own_headers(said: Any) -> dict[str, Any]:
    """The headers of a message, without what a quorum queue counts."""
    return kept_headers(said.headers or {}) | History.read(said.headers or {}).headers()


def cast_until_refused(client: RpcClient, most: int) -> CastRejected:
    """Cast until the broker takes no more: a queue's length is exact only when it is quiet."""
    for number in range(most):
        try:
            client.cast("f", number, message_id=f"m{number}")
        except CastRejected as error:
            return error
    raise AssertionError("all were taken")


# ---- what travels -----------------------------------------------------------------------------------------------


def test_a_cast_is_persistent_and_in_its_queue_when_it_returns(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    before = int(time.time())
    with RpcClient(broker.url, queue=queue) as client:
        message_id = client.cast("resize", "a.png", width=200)
        ((said, request),) = casts.take(within=0)

    assert request == {"jsonrpc": "2.0", "method": "resize", "params": {"*": ["a.png"], "width": 200}}
    assert (said.message_id, said.delivery_mode, said.type, said.content_type) == (
        message_id,
        2,
        "resize",
        "application/json",
    )
    assert before <= said.timestamp <= time.time()
    assert uuid.UUID(message_id).version == 4
    assert (said.correlation_id, said.reply_to, said.expiration, said.priority) == (None,) * 4
    assert own_headers(said) == {}


def test_what_the_caster_says_of_it_travels(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        assert client.cast("f", message_id="order-17", priority=5, expires=60.0) == "order-17"
    ((said, _),) = casts.take()
    assert (said.message_id, said.priority) == ("order-17", 5)
    assert 59_000 < int(said.expiration) <= 60_000


def test_one_that_expires_is_a_dead_letter(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        client.cast("f", expires=0.05)
    casts.name = f"{queue}.dead"
    ((said, _),) = casts.take()
    assert said.headers["x-death"][0]["reason"] == "expired"


def test_a_large_cast_goes_beside_small_ones(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    text = "x" * 2_000_000
    with RpcClient(broker.url, queue=queue) as client:
        client.cast("f", text)
        client.cast("f", "small")
    assert [request["params"] for _, request in casts.take(2)] == [[text], ["small"]]


def test_one_that_the_client_may_not_send_is_refused(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue, max_request=2000) as client, pytest.raises(RequestTooLarge):
        client.cast("f", "x" * 3000)
    assert casts.length == 0


# ---- waiting ----------------------------------------------------------------------------------------------------


def test_a_delayed_cast_comes_in_time_and_never_early(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        cast = time.monotonic()
        late = client.cast("f", delay=2.5)
        soon = client.cast("f", delay=1)
    for message_id, seconds in ((soon, 1.0), (late, 3.0)):
        ((said, _),) = casts.take()
        assert said.message_id == message_id
        assert time.monotonic() - cast >= seconds
    assert time.monotonic() - cast < scaled(10)


def test_a_delayed_cast_to_a_queue_that_was_never_declared_is_told_at_once(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue) as client, pytest.raises(NoServer, match=r"no queue for casts"):
        client.cast("f", delay=100)


def test_levels_that_were_deleted_are_declared_again(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue, timeout=scaled(20)) as client:
        client.cast("f", 1, delay=1)
        casts.take()
        casts.channel.exchange_delete("rpcsvc.delay.0")
        client.cast("f", 2, delay=1)
        ((_, second),) = casts.take()
        casts.channel.queue_delete("rpcsvc.delay.0")
        client.cast("f", 3, delay=1)
        ((_, third),) = casts.take()
    assert (second["params"], third["params"]) == ([2], [3])


# ---- refusals ---------------------------------------------------------------------------------------------------


def test_only_a_queue_that_was_never_declared_is_no_server(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        with pytest.raises(NoServer) as caught:
            client.cast("f")
        assert caught.value.queue == queue
        with cast_queue(broker.url, queue) as casts:
            client.cast("f")
            assert casts.length == 1


def test_who_waits_for_a_server_waits_for_the_queue(broker: PrivateBroker, queue: str) -> None:
    with (
        RpcClient(broker.url, queue=queue, wait_for_server=scaled(20)) as client,
        contextlib.ExitStack() as stack,
    ):
        declared = threading.Timer(0.3, lambda: stack.enter_context(cast_queue(broker.url, queue)))
        declared.start()
        client.cast("f")
        declared.join()


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_a_full_queue_rejects(broker: PrivateBroker, queue: str, queue_type: str) -> None:
    with (
        cast_queue(broker.url, queue, queue_type=queue_type, max_length=2) as casts,
        RpcClient(broker.url, queue=queue) as client,
    ):
        refused = cast_until_refused(client, 50)
        assert (refused.queue, refused.method) == (f"{queue}.casts", "f")
        assert refused.message_id not in {said.message_id for said, _ in casts.take(2)}
        client.cast("there is room")


# ---- a connection that goes -------------------------------------------------------------------------------------


def test_a_cast_whose_confirm_was_lost_is_sent_again_and_marked(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    with RpcClient(network.url(broker.url), queue=queue, timeout=scaled(30)) as client:
        client.cast("warm")
        casts.take()
        network.stall(Direction.DOWN)
        thread = threading.Thread(target=client.cast, args=("f",), kwargs={"message_id": "m1"})
        thread.start()
        wait_until(lambda: casts.length == 1)
        network.reset_all()
        network.heal()
        thread.join(scaled(20))
        assert not thread.is_alive()
    first, second = (said for said, _ in casts.take(2))
    assert (first.message_id, second.message_id) == ("m1", "m1")
    assert (own_headers(first), own_headers(second)) == ({}, {"rpcsvc-again": True})


def test_a_cast_without_a_confirm_is_unknown_when_its_time_is_up(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    with RpcClient(network.url(broker.url), queue=queue) as client:
        client.cast("warm")
        network.stall(Direction.DOWN)
        with pytest.raises(CastUnknown, match=r"no confirm came within 0\.5 s") as caught:
            client.cast("f", message_id="m1", timeout=0.5)
        assert caught.value.message_id == "m1"
        network.heal()
        client.cast("after")
        assert [request["method"] for _, request in casts.take(3)] == ["warm", "f", "after"]


def test_a_cast_that_was_never_sent_is_not_unknown(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    with RpcClient(network.url(broker.url), queue=queue, connect_timeout=1.0) as client:
        client.cast("warm")
        network.refuse()
        with pytest.raises(ConnectionFailed):
            client.cast("f", timeout=scaled(20))
        network.heal()
        client.cast("after", timeout=scaled(20))
    assert [request["method"] for _, request in casts.take(2)] == ["warm", "after"]
    assert casts.length == 0


# ---- what programs do -------------------------------------------------------------------------------------------


def test_many_threads_cast_at_once(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        ids: list[str] = []
        threads = [
            threading.Thread(target=lambda: ids.extend(client.cast("f", number) for number in range(20)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {said.message_id for said, _ in casts.take(160)} == set(ids)


def test_a_done_callback_cannot_wait_for_a_cast(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    raised: list[BaseException] = []
    with RpcClient(broker.url, queue=queue) as client:
        future = client.submit("f", timeout=0.1)

        def cast(_: object) -> None:
            try:
                client.cast("f")
            except BaseException as error:
                raised.append(error)

        future.add_done_callback(cast)
        wait_until(lambda: raised)
    assert isinstance(raised[0], OutOfPlace)
    assert casts.length == 0


def test_a_signal_handler_may_cast_in_the_midst_of_a_cast(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        handled: list[str] = []

        def cast(*_: object) -> None:
            handled.append(client.cast("handler"))
            signal.setitimer(signal.ITIMER_REAL, 0.001)  # not before: on a slow machine handlers would pile up

        before = signal.signal(signal.SIGALRM, cast)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            end = time.monotonic() + 1.0
            made = 0
            while time.monotonic() < end:
                client.cast("main")
                made += 1
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # first: the handler sets the timer
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert handled
    assert casts.length == made + len(handled)


def test_a_closed_client_casts_nothing(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    client = RpcClient(broker.url, queue=queue)
    client.close()
    with pytest.raises(ClientClosed):
        client.cast("f")


def test_closing_tells_who_waits_what_is_known(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    client = RpcClient(network.url(broker.url), queue=queue)
    client.cast("warm")
    network.stall(Direction.DOWN)
    raised: list[BaseException] = []

    def cast() -> None:
        try:
            client.cast("f")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=cast)
    thread.start()
    wait_until(lambda: casts.length == 2)
    client.close()
    thread.join(scaled(10))
    assert isinstance(raised[0], CastUnknown)
    assert "closed" in str(raised[0])


def test_it_is_awaited_in_asyncio(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    async def run() -> list[str]:
        async with AsyncRpcClient(broker.url, queue=queue) as client:
            return await asyncio.gather(*(client.cast("f", number) for number in range(200)))

    ids = asyncio.run(run())
    assert [said.message_id for said, _ in casts.take(200)] == ids


def test_who_cancels_it_is_told_that_it_may_be_there(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    async def error_of(task: asyncio.Future[str]) -> BaseException:
        try:
            return AssertionError(await task)
        except asyncio.CancelledError as error:
            return error

    async def run() -> tuple[BaseException, BaseException]:
        async with AsyncRpcClient(network.url(broker.url), queue=queue) as client:
            await client.cast("warm")
            network.stall(Direction.DOWN)
            sent = asyncio.ensure_future(client.cast("f", message_id="m1"))
            await asyncio.sleep(0)
            sent.cancel()
            first = await error_of(sent)
        async with AsyncRpcClient(broker.url, queue=queue) as client:
            held = asyncio.ensure_future(client.cast("g"))
            await asyncio.sleep(0)
            held.cancel()
            second = await error_of(held)
            await client.cast("last")
        return first, second

    sent, held = asyncio.run(run())
    assert isinstance(sent, asyncio.CancelledError)
    assert "(message_id m1) may have been sent" in sent.__notes__[0]
    assert isinstance(held, asyncio.CancelledError)
    assert "was not sent" in held.__notes__[0]
    assert [request["method"] for _, request in casts.take(3)] == ["warm", "f", "last"]


# ---- many -------------------------------------------------------------------------------------------------------


def test_many_casts_are_safe_in_their_order(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        ids = client.cast_many("f", range(5000), itertools.repeat((1, 2)), priority=3)
    assert casts.length == 5000
    taken = casts.take(5000)
    assert [said.message_id for said, _ in taken] == ids
    assert [request["params"] for _, request in taken[:2]] == [[number, {"$tuple": [1, 2]}] for number in (0, 1)]
    assert {said.priority for said, _ in taken} == {3}


def test_many_casts_to_no_queue_stop_with_the_first(broker: PrivateBroker, queue: str) -> None:
    items = iter(range(1_000_000))
    with RpcClient(broker.url, queue=queue) as client, pytest.raises(NoServer) as caught:
        client.cast_many("f", items)
    assert next(iter(caught.value.failed)) == 0
    assert next(items) == len(caught.value.message_ids) < 20_000


def test_many_casts_to_a_full_queue_tell_which_were_taken(broker: PrivateBroker, queue: str) -> None:
    with (
        cast_queue(broker.url, queue, queue_type="classic", max_length=100) as casts,
        RpcClient(broker.url, queue=queue) as client,
    ):
        with pytest.raises(CastRejected) as caught:
            client.cast_many("f", range(100_000))
        error = caught.value
        safe = [each for place, each in enumerate(error.message_ids) if place not in error.failed]
        assert [said.message_id for said, _ in casts.take(casts.length)] == safe


def test_a_connection_that_goes_in_the_midst_of_many_loses_none(
    broker: PrivateBroker, queue: str, casts: CastQueue, network: FaultProxy
) -> None:
    def items() -> Iterator[int]:
        for number in range(6000):
            if number % 1500 == 1499:
                network.reset_all()
            yield number

    with RpcClient(network.url(broker.url), queue=queue, timeout=scaled(40)) as client:
        ids = client.cast_many("f", items())
    copies: dict[str, list[bool]] = {}
    for said, _ in casts.take(casts.length):
        copies.setdefault(said.message_id, []).append("rpcsvc-again" in (said.headers or {}))
    assert copies.keys() == set(ids)
    assert all(all(marks[1:]) for marks in copies.values()), "a double is marked"
    assert any(any(marks) for marks in copies.values())


def test_many_casts_wait_for_a_broker_that_is_short_of_memory(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=scaled(60)) as client:
        client.cast("warm")
        with RabbitCtl(broker).memory_alarm():
            with pytest.raises((CastUnknown, ConnectionFailed)):
                client.cast("f", timeout=1.0)
            read: list[int] = []

            def items() -> Iterator[int]:
                for number in range(20_000):
                    read.append(number)
                    yield number

            thread = threading.Thread(target=client.cast_many, args=("g", items()))
            thread.start()
            wait_until(lambda: len(read) > 1000)
            with pytest.raises(ConnectionFailed, match="short of memory"):
                client.cast("f", timeout=0.5)
            assert len(read) < 20_000
        thread.join(scaled(40))
        assert not thread.is_alive()
    assert casts.length >= 20_001


def test_a_generator_that_forks_leaves_the_casts_to_the_parent(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    read_end, write_end = os.pipe()

    def items() -> Iterator[int]:
        yield 1
        if os.fork() == 0:
            is_child.append(True)
        yield 2

    is_child: list[bool] = []
    with RpcClient(broker.url, queue=queue) as client:
        try:
            client.cast_many("f", items())
        except BaseException as error:
            if is_child:
                os.write(write_end, f"{type(error).__name__}".encode())
                os._exit(0)
            raise
        if is_child:
            os._exit(0)
        os.close(write_end)
        assert os.read(read_end, 100) == b"OutOfPlace"
        os.wait()
        os.close(read_end)
        assert casts.length == 2


def test_many_are_awaited_in_asyncio_while_other_tasks_go_on(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    async def run() -> tuple[list[str], int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncRpcClient(broker.url, queue=queue) as client:
            counter = asyncio.ensure_future(count())
            ids = await client.cast_many("f", range(10_000))
            counter.cancel()
        return ids, turns

    ids, turns = asyncio.run(run())
    assert casts.length == len(set(ids)) == 10_000
    assert turns > 90
