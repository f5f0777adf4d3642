"""Who waits for `RpcFuture`s: `wait`, `as_completed`, asyncio, and where nobody may."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future
from typing import Any

import pytest
from outcomes import BOOM, Link, Outcome, cancelled, failed, ok, soon

from rpcsvc.client import own_thread
from rpcsvc.client.futures import RpcFuture
from rpcsvc.errors import OutOfPlace


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.teller.end()


# ---- wait, as_completed, asyncio


@pytest.mark.parametrize("end", [ok, failed, cancelled])
def test_wait_sees_what_has_ended(end: Outcome) -> None:
    future, other = RpcFuture("f", "1"), RpcFuture("f", "2")
    end(future)
    for return_when in (FIRST_COMPLETED, FIRST_EXCEPTION, concurrent.futures.ALL_COMPLETED):
        assert concurrent.futures.wait([future], 5, return_when) == ({future}, set())
    assert concurrent.futures.wait([future, other], 0) == ({future}, {other})
    assert list(concurrent.futures.as_completed([future, future], 5)) == [future]


@pytest.mark.parametrize("end", [ok, failed, cancelled])
@pytest.mark.parametrize("return_when", [FIRST_COMPLETED, FIRST_EXCEPTION, concurrent.futures.ALL_COMPLETED])
def test_wait_is_told_of_what_ends(link: Link, end: Outcome, return_when: str) -> None:
    futures = [link.future() for _ in range(3)]
    standard: Future[Any] = Future()
    if return_when != concurrent.futures.ALL_COMPLETED:
        soon(lambda: end(futures[0]))
        if return_when == FIRST_EXCEPTION and end is not failed:
            soon(lambda: failed(futures[1]))
        done, not_done = concurrent.futures.wait([*futures, standard], 5, return_when)
        assert futures[0] in done or return_when == FIRST_EXCEPTION
        assert standard in not_done
        return
    soon(lambda: [end(future) for future in futures] and standard.set_result(1))
    assert concurrent.futures.wait([*futures, standard], 5, return_when).not_done == set()


def test_wait_that_came_too_early_and_again(link: Link) -> None:
    future = link.future()
    assert concurrent.futures.wait([future], 0.01) == (set(), {future})
    ok(future)
    assert concurrent.futures.wait([future], 5) == ({future}, set())
    assert concurrent.futures.wait([future], 0) == ({future}, set())


def test_as_completed_gives_what_ends_as_it_ends(link: Link) -> None:
    futures = [link.future() for _ in range(100)]
    ends: list[Outcome] = [ok, failed, cancelled]
    ok(futures[0])

    def end_all() -> None:
        for number, future in enumerate(futures[1:]):
            ends[number % 3](future)

    thread = threading.Thread(target=end_all)
    thread.start()
    assert set(concurrent.futures.as_completed(futures, 5)) == set(futures)
    thread.join()
    with pytest.raises(TimeoutError):
        list(concurrent.futures.as_completed([link.future()], 0.05))


def test_a_lock_that_somebody_holds_keeps_nobody_else_waiting(link: Link) -> None:
    """A thread may be interrupted with the lock of one, and wait for another."""
    held, other = link.future(), link.future()
    waiting = [threading.Thread(target=concurrent.futures.wait, args=([each],)) for each in (held, other)]
    for thread in waiting:
        thread.start()
    while not (held._waiters and other._waiters):
        time.sleep(0.001)
    with held._condition:
        for each in (held, other):
            ok(each)
        waiting[1].join(5)
        assert not waiting[1].is_alive()
        assert (held.done(), held.result()) == (True, 42)
        assert waiting[0].is_alive()
    waiting[0].join(5)
    assert not waiting[0].is_alive()


def test_who_ends_it_and_is_nobodys_link_tells_too() -> None:
    future = RpcFuture("f", "1")
    soon(lambda: ok(future))
    assert concurrent.futures.wait([future], 5) == ({future}, set())


@pytest.mark.parametrize("end", [ok, failed, cancelled])
def test_asyncio_wraps_it(end: Outcome) -> None:
    async def main() -> Any:
        future = RpcFuture("f", "1")
        soon(lambda: end(future))
        return await asyncio.wait_for(asyncio.wrap_future(future), 5)

    expected: dict[Outcome, type[BaseException]] = {failed: ValueError, cancelled: asyncio.CancelledError}
    if end in expected:
        with pytest.raises(expected[end]):
            asyncio.run(main())
    else:
        assert asyncio.run(main()) == 42


def test_cancelling_what_asyncio_wraps_cancels_it() -> None:
    async def main() -> None:
        future = RpcFuture("f", "1")
        wrapped = asyncio.wrap_future(future)
        wrapped.cancel()
        await asyncio.sleep(0)
        assert future.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("end", [None, ok, failed, cancelled])
def test_the_snapshot_that_later_pythons_take(end: Outcome | None) -> None:
    future = RpcFuture("f", "1")
    if end is not None:
        end(future)
    expected = {None: (False, False, None, None), ok: (True, False, 42, None), failed: (True, False, None, BOOM)}
    assert future._get_snapshot() == expected.get(end, (True, True, None, None))


# ---- where nobody may wait


def test_on_a_clients_own_thread_what_would_wait_raises() -> None:
    future, done = RpcFuture("f", "1"), RpcFuture("f", "2")
    ok(done)
    with own_thread.entered():
        for ask in (future.result, future.exception, lambda: concurrent.futures.wait([future])):
            with pytest.raises(OutOfPlace, match="client's own thread"):
                ask()
        with pytest.raises(TimeoutError):
            future.result(0)
        assert done.result() == 42
        assert concurrent.futures.wait([done]).done == {done}
        assert list(concurrent.futures.as_completed([done])) == [done]
    soon(lambda: ok(future))
    assert future.result(5) == 42


def test_in_a_forked_child_a_call_of_the_parent_is_not_waited_for(link: Link) -> None:
    future, done = link.future(), link.future()
    ok(done)
    link.is_of_parent = True
    with pytest.raises(OutOfPlace, match="goes to the parent"):
        future.result()
    assert done.result() == 42


def test_a_handler_may_wait_while_the_thread_that_it_interrupted_holds_the_lock_of_an_event(link: Link) -> None:
    """`wait` holds its event's own lock for an instant; a handler that comes in that instant must not wait for ever."""
    interrupted, waited_for = link.future(), link.future()

    async def both_end() -> None:
        with own_thread.entered():
            interrupted.set_result(1)
            waited_for.set_result(2)
        while not waited_for._standard or not waited_for._standard.is_told:
            await asyncio.sleep(0.01)

    waiter = concurrent.futures._base._AllCompletedWaiter(1, stop_on_exception=False)
    interrupted._waiters.append(waiter)
    waited_for._waiters.append(concurrent.futures._base._AllCompletedWaiter(1, stop_on_exception=False))
    with waiter.event._cond:
        asyncio.run(asyncio.wait_for(both_end(), 10))
    assert waiter.event.wait(10)
