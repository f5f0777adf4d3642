"""Casts in the processes of a pool: reported, whatever becomes of their worker, and no call waits for them."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from support.pools import Call, Pool, lines, pool_of, until
from support.processes import ServerProcess

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.deadline import Deadline
from rpcsvc.functions.retry import Retry
from rpcsvc.testing import scaled
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.workers.care import Care
from rpcsvc.workers.job import Context, Report
from rpcsvc.workers.work import Answer, Cancelled, Lost, Outcome, Served

REGISTRY = "jobs:registry"


@asynccontextmanager
async def pool(size: int = 2, **care: Any) -> AsyncIterator[Pool]:
    async with pool_of(size, target=REGISTRY, care=Care(**care)) as made:
        yield made


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def cast(pool: Pool, method: str, *args: Any, body: bytes | None = None, **context: Any) -> Call:
    """Have a cast done."""
    call = Call()
    pool.calls.append(call)
    params = encode_params(args, {})
    assert isinstance(params, bytes)
    if body is None:
        body = b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (method.encode(), params)
    told = Context(kind="cast", message_id="m-1", **context).encode()
    call.work = pool.submit(body, call.done, context=told, cast=True)
    return call


async def report(call: Call) -> Report:
    return read(await call.outcome())


def read(outcome: Outcome) -> Report:
    assert isinstance(outcome, Answer), outcome
    assert outcome.body is not None
    return Report.read(outcome.body)


async def make_quick(pool: Pool) -> None:
    """Have it learn that casts are quick, so that several are given ahead."""
    deadline = Deadline.after(scaled(10))
    while pool._pace_of_casts.ahead <= 2:
        assert not deadline.expired
        await cast(pool, "done", os.devnull, "").outcome()


def test_what_is_served_is_known_with_its_retry_and_which_is_the_default() -> None:
    async def main() -> None:
        async with pool(1) as it:
            assert it.functions["fail"] == Served(True, retry=Retry(3, 4.0))
            assert it.functions["keep"] == Served(True, is_default=True)
            assert it.functions["once"] == Served(False)

    run(main)


def test_a_cast_is_done_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool() as it:
            assert await report(cast(it, "done", str(path), "a")) == Report()
            assert lines(path) == ["a"]
            text = f"{path} 안녕"
            assert await report(cast(it, "", body=text.encode(), bare=True)) == Report()
            assert await report(cast(it, "", body=f"{path} \xff".encode("latin-1"), bare=True)) == Report()
            assert lines(path)[1:] == [f"str: {text}", f"bytes: {path} \xff"]

    run(main)


@pytest.mark.parametrize(
    ("how", "attempt", "retry_in"),
    [("OSError", 1, 4.0), ("OSError", 2, 8.0), ("OSError", 3, None), ("ValueError", 1, None), ("later", 2, 90.0)],
)
def test_what_raises_is_reported_with_when_it_is_tried_again(
    tmp_path: Path, how: str, attempt: int, retry_in: float | None
) -> None:
    async def main() -> None:
        async with pool(1) as it:
            told = await report(cast(it, "fail", str(tmp_path / "notes"), how, attempt=attempt))
            assert told.error is not None
            assert told.error["code"] == -32000
            assert "in fail" in told.error["data"]["traceback"]
            assert told.retry_in == retry_in
            assert await report(cast(it, "done", str(tmp_path / "notes"), "next")) == Report()

    run(main)


def test_what_must_not_run_twice_may_say_that_nothing_was_done(tmp_path: Path) -> None:
    async def main() -> None:
        async with pool(1) as it:
            assert (await report(cast(it, "once", str(tmp_path / "notes")))).retry_in == 60

    run(main)


@pytest.mark.parametrize(("how", "exit_code", "number"), [("SIGKILL", None, signal.SIGKILL), ("exit", 3, None)])
def test_a_worker_that_dies_over_a_cast_is_told_and_what_waits_is_done_by_another_one(
    tmp_path: Path, how: str, exit_code: int | None, number: int | None
) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool(2, cast_workers=1) as it:
            dies = cast(it, "fail", str(path), how)
            behind = [cast(it, "done", str(path), text) for text in "abc"]
            lost = await dies.outcome()
            assert isinstance(lost, Lost)
            assert (lost.running, lost.exit.exit_code, lost.exit.signal_number) == (True, exit_code, number)
            assert [await report(each) for each in behind] == [Report()] * 3
            assert lines(path) == [how, "a", "b", "c"]
            await until(lambda: it.ready == 2)

    run(main)


def test_a_worker_killed_from_outside_over_quick_casts_loses_one_and_each_other_one_is_done_once(
    tmp_path: Path,
) -> None:
    path, gate, count = tmp_path / "notes", tmp_path / "gate", 300

    async def main() -> None:
        async with pool(1) as it:
            await make_quick(it)
            stuck = cast(it, "wait_for", str(path), str(gate))
            others = [cast(it, "done", str(path), number) for number in range(count)]
            await until(lambda: lines(path) == ["begun"])
            os.kill(it.pids[0], signal.SIGKILL)
            assert isinstance(await stuck.outcome(), Lost)
            assert {await report(each) for each in others} == {Report()}
            assert sorted(lines(path)[1:], key=int) == [str(number) for number in range(count)]

    run(main)


def test_a_cast_over_its_time_ends_with_its_worker_or_is_reported(tmp_path: Path) -> None:
    async def main() -> None:
        async with pool() as it:
            hard = await cast(it, "hang", str(tmp_path / "notes")).outcome()
            assert isinstance(hard, Lost)
            assert hard.over_time
            soft = await report(cast(it, "linger", str(tmp_path / "notes"), attempt=2))
            assert soft.error is not None
            assert (soft.error["code"], soft.retry_in) == (-32004, 2.0)
            assert (await report(cast(it, "linger", str(tmp_path / "notes"), attempt=3))).retry_in is None

    run(main)


def test_calls_are_answered_while_all_casts_that_may_run_do_and_more_wait(tmp_path: Path) -> None:
    path, gate = tmp_path / "notes", tmp_path / "gate"

    async def main() -> None:
        async with pool(3) as it:
            casts = [cast(it, "wait_for", str(path), str(gate)) for _ in range(20)]
            await until(lambda: lines(path) == ["begun"] * 2)
            for _ in range(300):  # quick ones, of which some would be given ahead
                assert await it.call("told_outside").result() is True
            assert lines(path) == ["begun"] * 2
            assert it.busy == 2
            gate.touch()
            assert {await report(each) for each in casts} == {Report()}

    run(main)


def test_a_reload_leaves_a_cast_that_runs_in_peace(tmp_path: Path) -> None:
    path, gate = tmp_path / "notes", tmp_path / "gate"

    async def main() -> None:
        async with pool(1) as it:
            running = cast(it, "wait_for", str(path), str(gate))
            await until(lambda: lines(path) == ["begun"])
            before = it.pids
            waiting = cast(it, "done", str(path), "next")
            it.reload()
            await until(lambda: it.ready == 2 or set(it.pids) - set(before))
            await until(lambda: it.functions and it.ready)
            assert await it.call("told_outside").result() is True, "the new worker computes"
            gate.touch()
            assert [await report(running), await report(waiting)] == [Report()] * 2
            assert lines(path) == ["begun", "done", "next"]
            await until(lambda: before[0] not in it.pids)

    run(main)


def test_a_cast_that_runs_can_be_called_off(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool(1, cancel_grace=30.0) as it:
            running = cast(it, "wait_for", str(path), str(tmp_path / "gate"))
            await until(lambda: lines(path) == ["begun"])
            it.call_off(running)
            assert isinstance(await running.outcome(), Cancelled)
            assert await it.call("told_outside").result() is True, "what was told of the cast is forgotten with it"
            assert it.lost == 0

    run(main)


def test_what_was_told_of_a_cast_that_is_called_off_before_it_began_is_not_told_of_the_next(
    tmp_path: Path,
) -> None:
    path, gate = tmp_path / "notes", tmp_path / "gate"

    async def main() -> None:
        async with pool(1) as it:
            await make_quick(it)
            running, ahead = cast(it, "wait_for", str(path), str(gate)), cast(it, "done", str(path), "never")
            assert it.waiting == 0, "it is given ahead"
            await until(lambda: lines(path) == ["begun"])
            it.call_off(ahead)
            gate.touch()
            assert await report(running) == Report()
            assert isinstance(await ahead.outcome(), Cancelled)
            assert await it.call("told_outside").result() is True
            assert lines(path) == ["begun", "done"]

    run(main)


def test_a_child_that_a_cast_has_forked_reports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool(1) as it:
            assert await report(cast(it, "come_back_in_a_child", str(path))) == Report()
            assert lines(path) == ["True", "False"]
            assert await report(cast(it, "done", str(path), "next")) == Report()

    run(main)


# ---- what a function is told


def call_with(pool: Pool, deadline: Deadline | None, context: Context | None) -> Call:
    call = Call()
    pool.calls.append(call)
    body = encode_request("7", "told", encode_params((), {}))
    call.work = pool.submit(body, call.done, deadline, context=None if context is None else context.encode())
    return call


def test_a_call_is_told_its_deadline_and_its_headers_where_it_has_such() -> None:
    async def main() -> None:
        async with pool(1) as it:
            assert await it.call("told_outside").result() is True
            timed = await call_with(it, Deadline.after(50), None).result()
            assert (timed["kind"], timed["method"], timed["id"], timed["headers"]) == ("call", "told", "7", {})
            assert 40 < timed["remaining"] <= 50
            assert time.time() + 30 < timed["deadline"] < time.time() + 60
            told = await call_with(it, None, Context(kind="call", headers={"tenant": "blue"}, attempt=2)).result()
            assert (told["headers"], told["attempt"]) == ({"tenant": "blue"}, 2)
            assert (told["remaining"], told["deadline"]) == (None, None)
            plain = await call_with(it, None, None).result()
            assert (plain["headers"], plain["attempt"], plain["remaining"]) == ({}, 1, None)

    run(main)


@pytest.mark.parametrize("pack", [False, True])
def test_calls_of_a_client_are_told_their_ids_and_their_deadlines(
    broker: PrivateBroker, queue: str, pack: bool
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry=REGISTRY),
        RpcClient(broker.url, queue=queue, pack=pack) as client,
    ):
        futures = [client.submit("told", timeout=50.0) for _ in range(200)]
        told = [future.result() for future in futures]
        assert [each["id"] for each in told] == [future.call_id for future in futures]
        assert all(20 < each["remaining"] <= 50 for each in told)
        assert {each["kind"] for each in told} == {"call"}
        assert client.call("told", timeout=math.inf)["deadline"] is None


def test_a_call_of_another_program_is_told_the_headers_that_it_has_set(broker: PrivateBroker, queue: str) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry=REGISTRY),
        pika.BlockingConnection(pika.URLParameters(broker.url)) as connection,
    ):
        channel = connection.channel()
        callback = channel.queue_declare("", exclusive=True).method.queue
        for call_id, headers in (("a", {"tenant": "blue", "tries": 2}), ("b", None)):
            properties = pika.BasicProperties(reply_to=callback, correlation_id=call_id, headers=headers)
            channel.basic_publish("", queue, encode_request(call_id, "told", encode_params((), {})), properties)
        told = []
        for _, _, body in channel.consume(callback, auto_ack=True, inactivity_timeout=scaled(10)):
            assert body is not None
            told.append(decode_response(body))
            if len(told) == 2:
                break
        assert [(each["id"], each["headers"]) for each in told] == [("a", {"tenant": "blue", "tries": 2}), ("b", {})]


def test_each_call_is_told_its_own_deadline_also_where_several_are_given_ahead() -> None:
    async def main() -> None:
        async with pool(1) as it:
            for _ in range(300):
                await it.call("told_outside").outcome()
            seconds = [100.0 * (number + 1) for number in range(60)]
            calls = [call_with(it, Deadline.after(each), None) for each in seconds]
            told = [(await call.result())["remaining"] for call in calls]
            assert all(each - 50 < remaining <= each for each, remaining in zip(seconds, told, strict=True)), told

    run(main)
