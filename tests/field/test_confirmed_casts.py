"""What has gone wrong for users of other libraries when they waited for publisher confirms, tried on casts.

A publish that hangs after an error on another channel, in an alarm, or after the connection went; one that is said to
be done and is not; ids that a forked child makes a second time; a close that waits for what nobody reads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import pytest
from support.ctl import RabbitCtl
from support.queues_of_casts import CastQueue, cast_queue

from rpcsvc import CastUnknown, ConnectionFailed, NoServer, RpcClient, RpcError
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled, wait_until
from rpcsvc.testing.proxy import Direction, FaultProxy


@pytest.fixture
def casts(broker: PrivateBroker, queue: str) -> Iterator[CastQueue]:
    with cast_queue(broker.url, queue) as casts:
        yield casts


def test_a_cast_after_errors_that_closed_other_channels_does_not_hang(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=scaled(10)) as client:
        client.cast("f")
        with pytest.raises(NoServer):
            client.dead_letters("nowhere").list()
        with pytest.raises(RpcError):
            client.publish("a.b", "c", exchange="nowhere")
        client.cast("f")
    assert casts.length == 2


def test_casts_of_many_threads_survive_a_queue_that_comes_and_goes(broker: PrivateBroker, queue: str) -> None:
    ended: list[str] = []

    def cast() -> None:
        for _ in range(50):
            try:
                client.cast("f", timeout=scaled(5))
                ended.append("safe")
            except NoServer:
                ended.append("returned")

    with RpcClient(broker.url, queue=queue) as client:
        threads = [threading.Thread(target=cast) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            with cast_queue(broker.url, queue, queue_type="classic") as casts:
                casts.channel.queue_delete(casts.name)
        for thread in threads:
            thread.join(scaled(30))
    assert len(ended) == 200


def test_nothing_is_lost_over_a_restart_of_the_broker_by_who_casts_all_along(
    broken_broker: PrivateBroker, queue: str
) -> None:
    safe: list[str] = []
    with cast_queue(broken_broker.url, queue):
        pass
    with RpcClient(broken_broker.url, queue=queue, connect_timeout=scaled(40), timeout=scaled(40)) as client:
        is_over = threading.Event()

        def cast() -> None:
            while not is_over.is_set():
                with contextlib.suppress(CastUnknown, ConnectionFailed, NoServer):
                    safe.append(client.cast("f"))

        thread = threading.Thread(target=cast)
        thread.start()
        wait_until(lambda: len(safe) >= 50)
        broken_broker.stop()
        broken_broker.start()
        before = len(safe)
        wait_until(lambda: len(safe) >= before + 50, within=60)
        is_over.set()
        thread.join(scaled(40))
    with cast_queue(broken_broker.url, queue) as casts:
        there = {said.message_id for said, _ in casts.take(casts.length)}
    assert set(safe) <= there


def test_closing_a_client_in_an_alarm_does_not_wait_for_it(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    client = RpcClient(broker.url, queue=queue)
    client.cast("f")
    with RabbitCtl(broker).disk_alarm():
        with pytest.raises((CastUnknown, ConnectionFailed)):
            client.cast("f", timeout=0.5)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < scaled(5)


def test_a_broker_that_has_frozen_costs_the_time_out_and_no_more(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    with (
        FaultProxy("127.0.0.1", broker.port) as network,
        RpcClient(network.url(broker.url), queue=queue) as client,
    ):
        client.cast("f")
        network.stall(Direction.UP, Direction.DOWN)
        began = time.monotonic()
        with pytest.raises(CastUnknown):
            client.cast_many("f", range(100), timeout=1.0)
        assert 1.0 <= time.monotonic() - began < scaled(5)


def test_a_forked_child_casts_on_a_connection_of_its_own_and_makes_other_ids(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=scaled(20)) as client:
        client.cast("before")
        pid = os.fork()
        if pid == 0:
            try:
                client.cast("child")
                client.close()
                os._exit(0)
            finally:
                os._exit(1)
        client.cast("parent")
        assert os.waitpid(pid, 0)[1] == 0
        client.cast("after")
    taken = {request["method"]: said.message_id for said, request in casts.take(4)}
    assert taken.keys() == {"before", "child", "parent", "after"}
    assert len(set(taken.values())) == 4


def test_a_letter_with_an_empty_body_that_no_queue_takes_comes_back(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    casts.channel.confirm_delivery()
    casts.channel.basic_publish("", f"{queue}.dead", b"", None)
    casts.channel.queue_delete(casts.name)
    with RpcClient(broker.url, queue=queue, timeout=scaled(10)) as client:
        with pytest.raises(NoServer):
            client.dead_letters().requeue_all()
        assert [letter.body for letter in client.dead_letters()] == [b""]
