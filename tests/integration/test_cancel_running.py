"""A cancelled call is not begun, or stopped wherever it is, and what is beside it goes on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pools import Call, Pool, lines, pool_of, until

from rpcsvc.wire.jsonrpc import encode_batch, encode_params, encode_request
from rpcsvc.workers.care import Care
from rpcsvc.workers.work import Cancelled, Lost


def test_a_call_that_waits_ends_at_once_and_never_runs(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            before, cancelled, after = (pool.call("work_on", str(path), number, 0.2) for number in range(3))
            pool.call_off(cancelled)
            assert cancelled.outcomes == [Cancelled()]
            assert [await before.result(), await after.result()] == [0, 2]

    asyncio.run(main())
    assert lines(path) == ["0", "2"]


def test_a_call_that_runs_gets_an_exception_tidies_up_and_its_worker_lives_on(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            call = pool.call("work", str(path))
            await until(lambda: lines(path))
            pool.call_off(call)
            pool.call_off(call)
            assert await call.outcome(within=1.5) == Cancelled()
            assert await pool.call("pid").result() == pids[0]
            assert pool.lost == 0

    asyncio.run(main())
    assert lines(path) == ["begun", "CallCancelled", "tidied"]


def test_a_call_cancelled_the_moment_it_is_given_is_stopped_however_far_it_has_come() -> None:
    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            for pause in range(40):
                call = pool.call("c_sleep", 60)
                await asyncio.sleep(pause / 20_000)
                pool.call_off(call)
                assert await call.outcome() == Cancelled()
                assert await pool.call("echo", pause).result() == pause
            assert pool.pids == pids, "no worker had to die for it"

    asyncio.run(main())


def test_a_cancel_that_comes_before_the_function_has_begun_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            call = pool.call("work_after_a_slow_check", str(path))
            await until(lambda: lines(path))
            pool.call_off(call)
            assert await call.outcome() == Cancelled()
            assert await pool.call("pid").result() == pids[0]

    asyncio.run(main())
    assert lines(path) == ["checking", "begun", "CallCancelled", "tidied"]


@pytest.mark.parametrize(
    "how",
    [
        "hides every exception",
        "C code that keeps the interpreter's lock",
        "a stopped process",
        "does not take the signal",
    ],
)
def test_a_function_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path, how: str) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of(2, care=Care(cancel_grace=0.3)) as pool:
            call = pool.call("hold_on", str(path), how)
            victim = int((await until(lambda: lines(path)))[0])
            started = time.monotonic()
            pool.call_off(call)
            assert await call.outcome() == Cancelled()
            assert time.monotonic() - started > 0.25
            await until(lambda: len(pool.pids) == 2 and victim not in pool.pids)
            assert await pool.call("echo", 1).result() == 1
            assert (pool.lost, pool.reasons) == (0, [])

    asyncio.run(main())


def test_without_a_grace_the_worker_is_killed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of(care=Care(cancel_grace=0)) as pool:
            call = pool.call("work", str(path))
            await until(lambda: lines(path))
            pool.call_off(call)
            assert await call.outcome() == Cancelled()

    asyncio.run(main())
    assert lines(path) == ["begun"]


def test_a_result_that_a_function_gives_when_it_is_called_off_is_wanted_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            call = pool.call("give_in", str(path))
            await until(lambda: lines(path))
            pool.call_off(call)
            assert await call.outcome() == Cancelled()

    asyncio.run(main())


def test_a_call_that_is_over_is_not_cancelled_any_more_and_the_next_one_is_left_alone() -> None:
    async def main() -> None:
        async with pool_of() as pool:
            call = pool.call("echo", 1)
            assert await call.result() == 1
            following = pool.call("work_on", os.devnull, 7, 0.3)
            pool.call_off(call)
            assert await following.result() == 7

    asyncio.run(main())


async def given_ahead(pool: Pool, calls: Callable[[], list[Call]]) -> list[Call]:
    """Calls that are all in the socket of the pool's one worker, the first of which runs.

    A pool that is interrupted while it gives them takes its worker for stuck: then they are called off, and it is tried
    again.
    """
    for _ in range(20):
        while pool._pace.ahead < 8:  # it is to find that messages are quick
            for call in [pool.call("echo", 0) for _ in range(100)]:
                await call.result()
        made = calls()
        if pool.waiting == 0:
            return made
        for call in made:
            pool.call_off(call)
        for call in made:
            await call.outcome()
    raise AssertionError("they were never given ahead")


def test_what_was_given_ahead_is_not_computed_either(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:

            def six() -> list[Call]:
                path.unlink(missing_ok=True)
                return [pool.call("work_on", str(path), number, 0.4 if number == 0 else 0) for number in range(6)]

            calls = await given_ahead(pool, six)
            for number in (2, 4):
                pool.call_off(calls[number])
                assert calls[number].outcomes == [Cancelled()], "nobody waits for the call before it"
            assert [await calls[number].result() for number in (0, 1, 3, 5)] == [0, 1, 3, 5]

    asyncio.run(main())
    assert lines(path) == ["0", "1", "3", "5"]


def test_a_worker_killed_for_a_cancel_leaves_what_lay_behind_it_to_others(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of(care=Care(cancel_grace=0.2)) as pool:

            def six() -> list[Call]:
                held = pool.call("hold_on", str(path), "hides every exception")
                return [held, *(pool.call("echo", number) for number in range(5))]

            held, *behind = await given_ahead(pool, six)
            pool.call_off(held)
            pool.call_off(behind[3])
            assert await held.outcome() == Cancelled()
            assert [await behind[number].result() for number in (0, 1, 2, 4)] == [0, 1, 2, 4]
            assert behind[3].outcomes == [Cancelled()]

    asyncio.run(main())


def test_a_message_of_many_calls_is_cancelled_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            pids = pool.pids
            for method in ("work_on", "c_sleep"):
                rows: list[list[object]] = [[str(path), n, 0.02] if method == "work_on" else [0.01] for n in range(500)]
                call = pool.map(method, rows)
                await asyncio.sleep(0.2)
                pool.call_off(call)
                assert await call.outcome(within=2) == Cancelled()
            seen = len(lines(path))
            await asyncio.sleep(0.2)
            assert len(lines(path)) == seen < 100
            assert pool.pids == pids

    asyncio.run(main())


def test_no_further_member_of_a_batch_runs(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            one = encode_request("7", "work", encode_params([str(path)], {}))
            batch = pool.send(encode_batch([one, one]))
            await until(lambda: lines(path))
            pool.call_off(batch)
            assert await batch.outcome() == Cancelled()
            assert await pool.call("echo", 1).result() == 1

    asyncio.run(main())
    assert lines(path) == ["begun", "CallCancelled", "tidied"]


def test_a_call_is_interrupted_once_by_its_soft_limit_or_by_a_cancel(tmp_path: Path) -> None:
    """What it does to tidy up is left in peace, whichever comes first."""

    async def main() -> None:
        async with pool_of() as pool:
            for first, pause in (("CallCancelled", 0.0), ("TimeLimitExceeded", None), (None, 0.5)):
                path = tmp_path / f"{first}"
                call = pool.call("tidy_up_slowly", str(path))
                await until(lambda path=path: lines(path))
                if pause is None:
                    await until(lambda path=path: len(lines(path)) == 2)
                else:
                    await asyncio.sleep(pause)
                pool.call_off(call)
                assert await call.outcome() == Cancelled()
                assert len(lines(path)) == 3, lines(path)
                assert lines(path)[1] in ([first] if first else ["CallCancelled", "TimeLimitExceeded"])
                assert lines(path)[2] == "tidied"
            assert pool.lost == 0

    asyncio.run(main())


def test_a_worker_that_dies_by_itself_after_a_cancel_was_asked_for_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "notes"

    async def main() -> None:
        async with pool_of() as pool:
            call = pool.call("hold_on", str(path), "hides every exception")
            victim = int((await until(lambda: lines(path)))[0])
            pool.call_off(call)
            os.kill(victim, 9)
            assert await call.outcome() == Cancelled()
            lost = pool.call("hold_on", str(path), "hides every exception")
            other = int((await until(lambda: lines(path)[1:]))[0])
            os.kill(other, 9)
            assert isinstance(await lost.outcome(), Lost)

    asyncio.run(main())
