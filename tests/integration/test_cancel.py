"""Who gives a call up, or stops waiting, stops its computation too: in the queue, or while it runs, on any server."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from support.pools import lines
from support.processes import ServerProcess, wait_until
from ticks import in_one_tick

from rpcsvc import AsyncRpcClient, ClientClosed, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

UNRULY = "unruly:registry"
SOON = scaled(2.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the functions leave their notes."""
    return tmp_path / "notes"


@pytest.fixture
def pool(broker: PrivateBroker, queue: str) -> Iterator[ServerProcess]:
    """A server with one worker."""
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry=UNRULY) as server:
        yield server
        print(server.output)


@pytest.fixture
def caller(broker: PrivateBroker, queue: str, pool: ServerProcess) -> Iterator[RpcClient]:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        yield client
        assert client.pending == 0


@pytest.fixture
def control(broker: PrivateBroker, pool: ServerProcess) -> Iterator[Any]:
    """A channel of a stranger who may write to the control exchange."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


def begun(path: Path) -> bool:
    return "begun" in lines(path)


def tidied(path: Path) -> bool:
    return "tidied" in lines(path)


# ---- given up


def test_a_call_that_is_given_up_in_the_queue_never_starts(
    caller: RpcClient, control: Any, queue: str, path: Path
) -> None:
    running = caller.submit("work_on", str(path), 1, 1.0)
    wait_until(lambda: lines(path) == ["1"])
    waiting = caller.submit("work_on", str(path), 2, 0.0)
    wait_until(lambda: control.queue_declare(queue, passive=True).method.message_count == 1)
    behind = caller.submit("work_on", str(path), 3, 0.0)

    assert waiting.cancel()

    assert waiting.cancelled()
    assert (running.result(), behind.result()) == (1, 3)
    assert lines(path) == ["1", "3"]


def test_a_call_that_is_given_up_while_it_runs_tidies_up_and_leaves_its_worker_to_others(
    caller: RpcClient, path: Path
) -> None:
    worker = caller.call("pid")
    running = caller.submit("work", str(path), timeout=60)
    wait_until(lambda: begun(path))

    assert running.cancel()

    assert caller.call("pid", timeout=SOON) == worker
    assert lines(path) == ["begun", "CallCancelled", "tidied"]


@pytest.mark.parametrize("given_up", [0, 1])
def test_the_server_that_has_the_call_stops_it_and_the_other_one_goes_on(
    caller: RpcClient, broker: PrivateBroker, queue: str, tmp_path: Path, given_up: int
) -> None:
    paths = [tmp_path / "one", tmp_path / "other"]
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry=UNRULY):
        calls = [caller.submit("work", str(path), timeout=60) for path in paths]
        wait_until(lambda: all(map(begun, paths)))
        calls[given_up].cancel()
        wait_until(lambda: tidied(paths[given_up]), within=SOON)
        assert caller.call("echo", "the one that is free again", timeout=SOON)
        assert not tidied(paths[1 - given_up])
        assert not calls[1 - given_up].done()
        calls[1 - given_up].cancel()
        wait_until(lambda: tidied(paths[1 - given_up]), within=SOON)


def test_who_gives_up_after_the_answer_is_told_so(caller: RpcClient) -> None:
    future = caller.submit("echo", 7)
    assert future.result() == 7
    assert not future.cancel()
    assert future.result() == 7


def test_ctrl_c_in_a_call_stops_its_computation(caller: RpcClient, path: Path) -> None:
    def interrupt() -> None:
        wait_until(lambda: begun(path))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        caller.call("work", str(path), timeout=60)
    thread.join()
    wait_until(lambda: tidied(path), within=SOON)


def test_a_cancelled_task_stops_what_it_awaits(
    caller: RpcClient, broker: PrivateBroker, queue: str, path: Path
) -> None:
    async def main() -> None:
        async with AsyncRpcClient(broker.url, queue=queue) as client:
            task = asyncio.create_task(client.call("work", str(path), timeout=60))
            await asyncio.to_thread(wait_until, lambda: begun(path))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.call("echo", 1, timeout=SOON) == 1

    asyncio.run(main())
    assert tidied(path)


def test_a_client_that_is_closed_stops_what_it_waited_for(
    caller: RpcClient, broker: PrivateBroker, queue: str, path: Path
) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        running = client.submit("work", str(path), timeout=60)
        waiting = client.submit("work_on", str(path), 2, 0.0)
        wait_until(lambda: begun(path))
    for future in (running, waiting):
        assert isinstance(future.exception(), ClientClosed)
    wait_until(lambda: tidied(path), within=SOON)
    assert caller.call("echo", 1) == 1
    assert lines(path) == ["begun", "CallCancelled", "tidied"]


def test_a_map_that_is_closed_stops_its_messages(caller: RpcClient, path: Path) -> None:
    with caller.map("work_on", [str(path)] * 1000, range(1000), [0.2] * 1000, timeout=60, chunksize=100) as results:
        wait_until(lambda: "0" in lines(path))
        results.close()
    assert caller.call("echo", 1, timeout=SOON) == 1
    assert len(lines(path)) < 15


# ---- nobody waits any more


def test_a_time_out_stops_the_computation(caller: RpcClient, path: Path) -> None:
    caller.call("echo", 1)
    with pytest.raises(RpcTimeout):
        caller.call("work", str(path), timeout=0.5)
    wait_until(lambda: tidied(path), within=SOON)
    assert caller.call("echo", 1, timeout=SOON) == 1


def test_a_server_stops_by_itself_when_the_caller_died_and_its_time_is_up(
    caller: RpcClient, control: Any, queue: str, path: Path
) -> None:
    callback = control.queue_declare("", exclusive=True).method.queue
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "work", "params": [str(path)]}).encode()
    control.basic_publish(
        "", queue, body, pika.BasicProperties(reply_to=callback, correlation_id="1", expiration="500")
    )
    control.connection.close()
    wait_until(lambda: begun(path))
    wait_until(lambda: tidied(path), within=1.5 + SOON)
    assert caller.call("echo", 1, timeout=SOON) == 1


def test_thousands_of_time_outs_are_told_in_a_few_messages(caller: RpcClient, control: Any, path: Path) -> None:
    ear = control.queue_declare("", exclusive=True).method.queue
    control.queue_bind(ear, "rpcsvc.control")
    running = caller.submit("work", str(path), timeout=60)
    wait_until(lambda: begun(path))
    futures = [caller.submit("echo", number, timeout=1.0) for number in range(5000)]
    assert {type(future.exception()) for future in futures} == {RpcTimeout}
    running.cancel()

    told: list[str] = []
    messages = 0

    def heard(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        nonlocal messages
        messages += 1
        params = json.loads(body)["params"]
        assert params["reply_to"] == caller.callback_queue
        told.extend(params["ids"])

    control.basic_consume(ear, heard, auto_ack=True)
    end = time.monotonic() + 10
    while running.call_id not in told:
        control.connection.process_data_events(time_limit=0.05)
        assert time.monotonic() < end, "the last one is told too"
    assert {future.call_id for future in futures} <= set(told)
    assert messages < 500


# ---- calls that travel together


def warm_up(client: RpcClient, path: Path) -> None:
    """Until the method's calls are found to be quick."""
    for _ in range(3):
        for future in in_one_tick(client, lambda: [client.submit("work_on", str(path), -1, 0.0) for _ in range(300)]):
            future.result()
    path.unlink()


def test_a_message_of_which_every_call_is_given_up_is_given_up(caller: RpcClient, path: Path) -> None:
    warm_up(caller, path)
    futures = in_one_tick(caller, lambda: [caller.submit("work_on", str(path), n, 0.3) for n in range(40)])
    wait_until(lambda: lines(path))
    for future in futures:
        future.cancel()
    assert caller.call("pid", timeout=SOON)
    assert len(lines(path)) < 6
    wait_until(lambda: caller.pending == 0)


def test_a_call_that_travelled_with_others_and_now_runs_by_itself_is_stopped_by_itself(
    broker: PrivateBroker, queue: str, path: Path
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, registry=UNRULY),
        RpcClient(broker.url, queue=queue, timeout=60) as client,
    ):
        warm_up(client, path)
        seconds = [0.0] * 20
        seconds[3] = seconds[7] = scaled(5.0)
        futures = in_one_tick(
            client,
            lambda: [client.submit("work_on", str(path), n, each) for n, each in enumerate(seconds + [0.0] * 20)],
        )
        wait_until(lambda: {"3", "7"} <= set(lines(path)))
        started = time.monotonic()
        futures[7].cancel()
        for number, future in enumerate(futures):
            if number not in (3, 7):
                assert future.result(timeout=scaled(4)) == number
        assert time.monotonic() - started < scaled(4)
        futures[3].cancel()
        assert client.call("pid", timeout=SOON)


# ---- on the wire


def cancel_message(caller: RpcClient, **params: Any) -> bytes:
    given = {"reply_to": caller.callback_queue, "ids": ["1"], "remaining": 10, **params}
    return json.dumps({"jsonrpc": "2.0", "method": "rpc.cancel", "params": given}).encode()


def test_any_program_may_give_up_calls_by_the_documented_message(caller: RpcClient, control: Any, path: Path) -> None:
    running = caller.submit("work", str(path), timeout=60)
    wait_until(lambda: begun(path))
    control.basic_publish("rpcsvc.control", "", cancel_message(caller, ids=["x", running.call_id]))
    wait_until(lambda: tidied(path), within=SOON)
    assert not running.done(), "a cancelled call is not answered"
    running.cancel()


def hostile(caller: RpcClient) -> list[bytes]:
    return [
        b"",
        b"\xff\x00",
        b"[" * 60_000,
        b"[]",
        b"7",
        b"{}",
        b'{"jsonrpc":"2.0","method":"rpc.shutdown"}',
        b'{"jsonrpc":"2.0","method":"rpc.cancel"}',
        cancel_message(caller, ids="1"),
        cancel_message(caller, ids=[1, None, {}]),
        cancel_message(caller, ids=["x" * 300]),
        cancel_message(caller, ids=[str(n) for n in range(1001)]),
        cancel_message(caller, reply_to=None),
        cancel_message(caller, reply_to="somebody's queue"),
        cancel_message(caller, remaining=-1),
        cancel_message(caller, remaining=1e300),
        cancel_message(caller, remaining="soon"),
        cancel_message(caller, remaining=True),
        b'{"jsonrpc":"2.0","method":"rpc.cancel","params":{"reply_to":"' + b"x" * 1_000_000 + b'","ids":["1"]}}',
    ]


def test_hostile_control_messages_do_nothing_but_a_line_in_the_log(
    caller: RpcClient, control: Any, pool: ServerProcess
) -> None:
    running = caller.submit("c_sleep", 1.0)
    for _ in range(20):
        for body in hostile(caller):
            control.basic_publish("rpcsvc.control", "", body)
    for start in range(0, 50_000, 1000):
        control.basic_publish("rpcsvc.control", "", cancel_message(caller, ids=[f"x{start + n}" for n in range(1000)]))
    assert running.result() is None
    assert [caller.call("echo", number) for number in range(20)] == list(range(20))
    assert 1 <= pool.output.count("control messages were none") <= 3


def test_without_the_exchange_calls_and_time_outs_are_as_ever(
    caller: RpcClient, control: Any, pool: ServerProcess, path: Path
) -> None:
    control.exchange_delete("rpcsvc.control")
    connection = caller.callback_queue
    with pytest.raises(RpcTimeout):
        caller.call("work", str(path), timeout=0.3)
    wait_until(lambda: tidied(path), within=1.3 + SOON)  # by the server's own clock
    for number in range(5):
        given_up = caller.submit("echo", number)
        given_up.cancel()
        assert caller.call("echo", number) == number
    assert caller.callback_queue == connection, "the connection is the same"
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        control.exchange_declare("rpcsvc.control", passive=True)


def test_a_cancelled_call_that_holds_on_loses_its_worker(caller: RpcClient, path: Path) -> None:
    worker = caller.call("pid")
    running = caller.submit("hold_on", str(path), "hides every exception", timeout=60)
    wait_until(lambda: lines(path))
    running.cancel()
    assert caller.call("pid", timeout=10) != worker
