"""`RpcFuture` keeps what `concurrent.futures.Future` promises; the standard library's own tests are the measure."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, Future, InvalidStateError
from typing import Any

import pytest

from rpcsvc.client import own_thread
from rpcsvc.client.futures import RpcFuture
from rpcsvc.client.teller import Teller
from rpcsvc.errors import OutOfPlace

BOOM = ValueError("boom")
Outcome = Callable[[RpcFuture], object]


def ok(future: RpcFuture) -> None:
    future.set_result(42)


def failed(future: RpcFuture) -> None:
    future.set_exception(BOOM)


def cancelled(future: RpcFuture) -> None:
    assert future.cancel()


class Link:
    """Where a call is under way; it tells of outcomes as the client's own thread does."""

    def __init__(self) -> None:
        self.is_of_parent = False
        self.told: list[RpcFuture] = []
        self.teller = Teller()

    def ended(self, future: RpcFuture) -> None:
        self.told.append(future)
        if future.is_awaited_elsewhere:
            self.teller.add(future)

    def future(self) -> RpcFuture:
        future = RpcFuture("f", "1")
        future.is_under_way(self)
        return future


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.teller.end()


def soon(do: Callable[[], object]) -> threading.Thread:
    """Do something while this thread waits."""
    thread = threading.Timer(0.05, do)
    thread.start()
    return thread


# ---- states


def test_a_call_that_waits_is_pending_and_never_running() -> None:
    future = RpcFuture("f", "7")

    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    assert repr(future) == "<RpcFuture pending of 'f' (call 7)>"


@pytest.mark.parametrize(
    ("end", "shown", "is_cancelled"),
    [(ok, "finished", False), (failed, "finished", False), (cancelled, "cancelled", True)],
)
def test_an_outcome_comes_once(end: Outcome, shown: str, is_cancelled: bool) -> None:
    future = RpcFuture("f", "7")
    end(future)

    assert (future.done(), future.running(), future.cancelled()) == (True, False, is_cancelled)
    assert repr(future) == f"<RpcFuture {shown} of 'f' (call 7)>"
    for again in (ok, failed):
        with pytest.raises(InvalidStateError):
            again(future)
    assert future.cancel() is is_cancelled
    assert future.cancelled() is is_cancelled


def test_what_came_is_what_is_given() -> None:
    future = RpcFuture("f", "1")
    ok(future)
    assert (future.result(), future.exception()) == (42, None)

    future = RpcFuture("f", "1")
    failed(future)
    assert future.exception() is BOOM
    for _ in range(2):
        with pytest.raises(ValueError, match="boom") as caught:
            future.result()
        assert caught.value is BOOM

    future = RpcFuture("f", "1")
    cancelled(future)
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask()


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_who_waits_no_longer_is_told_so_and_the_call_goes_on(timeout: float) -> None:
    future = RpcFuture("f", "1")
    for ask in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            ask(timeout)
    ok(future)
    assert future.result(timeout) == 42


@pytest.mark.parametrize("timeout", [None, 5, 1e300, float("inf")])
@pytest.mark.parametrize("end", [ok, failed, cancelled])
def test_everybody_who_waits_is_woken(end: Outcome, timeout: float | None) -> None:
    future = RpcFuture("f", "1")
    ends: list[Any] = []

    def wait() -> None:
        try:
            ends.append(future.result(timeout))
        except (ValueError, CancelledError) as error:
            ends.append(type(error))

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    soon(lambda: end(future)).join()
    for thread in threads:
        thread.join(5)
    assert ends == [{ok: 42, failed: ValueError, cancelled: CancelledError}[end]] * 5


def test_the_executors_half_of_the_contract() -> None:
    future = RpcFuture("f", "1")
    assert future.set_running_or_notify_cancel()
    assert (future.running(), future.cancel(), future.done()) == (True, False, False)
    with pytest.raises(RuntimeError, match="RUNNING"):
        future.set_running_or_notify_cancel()
    ok(future)
    assert (future.running(), future.result()) == (False, 42)
    with pytest.raises(RuntimeError, match="FINISHED"):
        future.set_running_or_notify_cancel()

    future = RpcFuture("f", "1")
    future.cancel()
    assert not future.set_running_or_notify_cancel()


def test_of_many_that_end_it_one_wins() -> None:
    for _ in range(200):
        future = RpcFuture("f", "1")
        told: list[str] = []
        future.add_done_callback(lambda _, told=told: told.append("told"))  # type: ignore[misc]
        barrier = threading.Barrier(3)

        def race(end: Outcome, future: RpcFuture = future, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(InvalidStateError, AssertionError):
                end(future)

        threads = [threading.Thread(target=race, args=(end,)) for end in (ok, failed, cancelled)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert future.done()
        assert told == ["told"]


def test_its_client_is_kept_until_the_outcome_and_no_longer(link: Link) -> None:
    class Client:
        pass

    client = Client()
    kept = weakref.ref(client)
    future = RpcFuture("f", "1", client)
    future.is_under_way(link)
    del client
    assert kept() is not None
    ok(future)
    assert kept() is None
    assert link.told == [future]


def test_an_error_leaves_no_circle_behind() -> None:
    future = RpcFuture("f", "1")
    future.set_exception(ValueError("own"))
    gone = weakref.ref(future)
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            future.result()
        del future
        assert gone() is None
    finally:
        gc.enable()


# ---- done callbacks


@pytest.mark.parametrize("end", [ok, failed, cancelled])
def test_callbacks_are_called_once_in_their_order_also_those_that_come_late(end: Outcome) -> None:
    future = RpcFuture("f", "1")
    called: list[Any] = []
    for number in range(3):
        future.add_done_callback(lambda done, number=number: called.append((number, done)))  # type: ignore[misc]
    end(future)
    assert called == [(0, future), (1, future), (2, future)]
    future.add_done_callback(lambda done: called.append(("late", done)))
    assert called[3:] == [("late", future)]


def test_a_callback_that_raises_is_logged_and_the_next_one_is_called(caplog: pytest.LogCaptureFixture) -> None:
    future = RpcFuture("f", "1")
    called: list[str] = []
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: called.append("next"))
    ok(future)
    future.add_done_callback(lambda _: 1 / 0)

    assert called == ["next"]
    assert [record.name for record in caplog.records] == ["concurrent.futures"] * 2
    assert "ZeroDivisionError" in caplog.text


def test_what_ends_a_program_goes_through_to_who_cancels() -> None:
    future = RpcFuture("f", "1")
    future.add_done_callback(lambda _: (_ for _ in ()).throw(SystemExit(3)))
    with pytest.raises(SystemExit):
        future.cancel()
    assert future.cancelled()


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
