"""`RpcFuture` keeps what `concurrent.futures.Future` promises; the standard library's own tests are the measure."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from concurrent.futures import CancelledError, InvalidStateError
from typing import Any

import pytest
from outcomes import BOOM, Link, Outcome, cancelled, failed, ok, soon

from rpcsvc.client.futures import RpcFuture

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


def test_its_client_is_kept_until_the_outcome_and_no_longer() -> None:
    class Client:
        pass

    client = Client()
    kept = weakref.ref(client)
    future = RpcFuture("f", "1", client)
    future.is_under_way(link := Link())
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
