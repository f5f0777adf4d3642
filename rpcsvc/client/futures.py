"""Where the outcome of a call goes in a threaded program: `RpcFuture`, or `Waiter` for the thread that waits in `call`.

Both are used by the thread that calls, by the client's own thread, and by whatever interrupts either of them: a signal
handler, a finalizer. So neither takes a lock that a thread may hold while it is interrupted. An outcome is appended to
a list, which is one step of the interpreter; the first one counts. Who waits leaves a lock of his own for it to
release, and looks once more whether it is there.

`concurrent.futures.wait` and `as_completed` know a future by its private parts, and take its lock in the midst of their
own. These parts are made when they are asked for; helper threads tell them of the outcome, and may wait for locks
(`teller`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import time
from _thread import LockType, allocate_lock
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError
from typing import Any, Protocol, cast

from ..errors import OutOfPlace
from . import own_thread

log = logging.getLogger(__name__)
_their_log = logging.getLogger("concurrent.futures")

_PENDING, _RUNNING, _CANCELLED, _FINISHED = "PENDING", "RUNNING", "CANCELLED_AND_NOTIFIED", "FINISHED"
"""The states of concurrent.futures. Cancelled is cancelled at once here: there is nobody to be notified first."""
_LONG = 1.0
"""Seconds that done callbacks may take on a client's own thread before that is worth a warning."""
PATIENCE = 0.01
"""Seconds that a helper waits for one future's lock before it turns to the next."""


class Home(Protocol):
    """Where a call is under way: what is to be told when its future has an outcome."""

    is_of_parent: bool
    """Whether this is a forked child, and the call its parent's."""

    def ended(self, future: RpcFuture) -> None:
        """A future has its outcome."""
        ...


class RpcFuture(concurrent.futures.Future[Any]):
    """The future of one call.

    `cancel` ends it if the call has no outcome yet, and tells the servers: the call does not start, or is stopped. That
    can be done at any time, so `running` is never true: whether a server has begun is not known here.

    Done callbacks run on the client's own thread, or at once where the call has ended already. They must not wait:
    `call`, `result` of another future, and the like raise OutOfPlace there. `submit` works. While they run, the client
    does nothing else.

    While it has no outcome it keeps its client; a client that nobody else keeps is closed afterwards.

    Attributes:
        method: the method's name.
        call_id: the call's id (its JSON-RPC id and AMQP correlation_id).
        request_bytes: the size of its arguments as they travel.
    """

    def __init__(self, method: str, call_id: str, keeps: object = None) -> None:
        # The base class would make its lock and its lists here; see above for what there is instead.
        self.method = method
        self.call_id = call_id
        self.request_bytes = 0
        self._home: Home | None = None
        self._keeps = keeps
        self._outcomes: list[tuple[str, Any, BaseException | None]] = []  # the first one counts
        self._sleepers: list[LockType] = []
        self._done_callbacks: list[Callable[[concurrent.futures.Future[Any]], object]] = []
        self._is_running = False

    def is_under_way(self, home: Home) -> None:
        """The call begins, and `home` is told when it ends."""
        self._home = home

    # ---- what a caller asks

    def done(self) -> bool:
        """Whether there is an outcome: a result, an error, or that it was cancelled."""
        return bool(self._outcomes)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return bool(self._outcomes) and self._outcomes[0][0] is _CANCELLED

    def running(self) -> bool:
        """False: whether a server has begun is not known here, and a call can be cancelled at any time."""
        return self._is_running and not self._outcomes

    def cancel(self) -> bool:
        """End the call, if it has no outcome yet, and tell the servers; whether it is cancelled."""
        if not self._outcomes and not self._is_running:
            self._end(_CANCELLED, None, None)
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """The result, when there is one.

        Args:
            timeout: seconds to wait for it; None waits for the call's own time-out.

        Raises:
            TimeoutError: there is no outcome yet. The call goes on.
            CancelledError: it was cancelled.
            OutOfPlace: it would wait on a client's own thread (in a done callback), or in a forked child of the caller.
            Exception: the call's error; see `RpcClient.call`.
        """
        if not self._outcomes:
            self._wait(timeout)
        state, result, error = self._outcomes[0]
        if state is _CANCELLED:
            raise CancelledError
        if error is not None:
            try:
                raise error
            finally:  # its traceback knows this frame
                del self, error
        return result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The call's error, or None, when there is an outcome. Arguments and errors are those of `result`."""
        if not self._outcomes:
            self._wait(timeout)
        state, _, error = self._outcomes[0]
        if state is _CANCELLED:
            raise CancelledError
        return error

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Any]], object]) -> None:
        """Have `fn` called with this future when it has an outcome: on the client's own thread, or now.

        What it raises is logged, as `concurrent.futures` does.
        """
        self._done_callbacks.append(fn)
        if self._outcomes:
            self._invoke_callbacks()

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            raise TimeoutError
        own_thread.refuse_to_wait(f"the result of {self.method!r}")
        if self._home is not None and self._home.is_of_parent:
            raise OutOfPlace(
                f"{self!r} was made before this process was forked, and its reply goes to the parent; call again here"
            )
        woken = allocate_lock()
        woken.acquire()
        self._sleepers.append(woken)
        if self._outcomes:
            return  # it came in between, and may not have seen us
        if not woken.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
            with contextlib.suppress(ValueError):
                self._sleepers.remove(woken)
            if not self._outcomes:
                raise TimeoutError

    # ---- what becomes of it

    def set_result(self, result: Any) -> None:
        """The call has its result.

        Raises:
            InvalidStateError: it has an outcome already.
        """
        if not self._end(_FINISHED, result, None):
            raise InvalidStateError(f"{self._state}: {self!r}")

    def set_exception(self, exception: BaseException | None) -> None:
        """The call has its error; otherwise as `set_result`."""
        if not self._end(_FINISHED, None, exception):
            raise InvalidStateError(f"{self._state}: {self!r}")

    def set_running_or_notify_cancel(self) -> bool:
        """For executors, and no client of ours: false if it was cancelled; else it cannot be from now on.

        Raises:
            RuntimeError: it has an outcome, or this was called before.
        """
        if self.cancelled():
            return False
        if self._outcomes or self._is_running:
            raise RuntimeError(f"Future in unexpected state: {self._state}")
        self._is_running = True
        return True

    def _end(self, state: str, result: Any, error: BaseException | None) -> bool:
        outcome = (state, result, error)
        self._outcomes.append(outcome)
        if self._outcomes[0] is not outcome:
            return False
        while self._sleepers:
            try:
                self._sleepers.pop().release()
            except IndexError:
                break  # who went to sleep has gone
        home, self._home, self._keeps = self._home, None, None
        if home is not None:
            home.ended(self)
        elif self._standard is not None:
            self.tell_the_standard_library()
        if self._done_callbacks:
            self._invoke_callbacks()
        return True

    def _invoke_callbacks(self) -> None:
        is_own = own_thread.is_here()
        began = time.monotonic()
        while self._done_callbacks:
            try:
                callback = self._done_callbacks.pop(0)
            except IndexError:
                break  # another thread was quicker
            try:
                callback(self)
            except Exception:
                _their_log.exception("exception calling callback for %r", self)
            except BaseException:
                if not is_own:
                    raise
                _their_log.exception("exception calling callback for %r", self)  # nobody is to be ended by it here
        if is_own and (took := time.monotonic() - began) > _LONG:
            log.warning(
                "the done callbacks of %r took %.1f s on the client's own thread, which kept no time and read no "
                "replies meanwhile; hand long work to a thread of your own",
                self,
                took,
            )

    # ---- what `concurrent.futures.wait`, `as_completed` and asyncio look at

    _standard: _Standard | None = None

    @property
    def is_awaited_elsewhere(self) -> bool:
        """Whether the standard library has to be told of the outcome; see `tell_the_standard_library`."""
        return self._standard is not None

    def tell_the_standard_library(self, patience: float = -1) -> bool:
        """Tell who waits by the standard library's means; false if the lock was not to be had in so many seconds."""
        return self._standard is None or self._standard.tell(self, self._outcomes[0], patience)

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        if own_thread.is_here():
            if not self._outcomes:
                own_thread.refuse_to_wait(f"waiting for {self.method!r}")
            return cast(threading.Condition, _NO_LOCK)  # nothing changes any more, and nobody is to be waited for here
        standard = self._standard_parts()
        if self._outcomes and not standard.is_told and not standard.waiters:
            standard.tell(self, self._outcomes[0], PATIENCE)
        return standard.condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        return self._standard_parts().waiters

    @property
    def _state(self) -> str:  # type: ignore[override]
        standard = self._standard
        if self._outcomes and (standard is None or standard.is_told):
            return self._outcomes[0][0]
        return _RUNNING if self._is_running else _PENDING

    @property
    def _result(self) -> Any:  # type: ignore[override]
        return self._outcomes[0][1] if self._outcomes else None

    @property
    def _exception(self) -> BaseException | None:  # type: ignore[override]
        return self._outcomes[0][2] if self._outcomes else None

    def _get_snapshot(self) -> tuple[bool, bool, Any, BaseException | None]:
        """Done, cancelled, result, exception: what asyncio asks for from Python 3.14 on."""
        return (self.done(), self.cancelled(), self._result, self._exception)

    def _standard_parts(self) -> _Standard:
        # One step of the interpreter: whoever comes second finds the first one's.
        parts: _Standard = self.__dict__.setdefault("_standard", _Standard())
        return parts

    def __repr__(self) -> str:
        state = self._outcomes[0][0].partition("_")[0] if self._outcomes else self._state
        return f"<RpcFuture {state.lower()} of {self.method!r} (call {self.call_id})>"


class _NoLock(contextlib.AbstractContextManager[None]):
    """What looks like a lock and is always free."""

    def acquire(self) -> bool:
        """Take it."""
        return True

    def release(self) -> None:
        """Give it back."""

    def __exit__(self, *_: object) -> None:
        pass


_NO_LOCK = _NoLock()


class _Standard:
    """The private parts of a future of the standard library.

    Attributes:
        condition: its lock.
        waiters: who waits, to be told under the lock.
        is_told: whether they were told of the outcome.
    """

    __slots__ = ("condition", "is_told", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []
        self.is_told = False

    def tell(self, future: RpcFuture, outcome: tuple[str, Any, BaseException | None], patience: float) -> bool:
        """Tell of the outcome, once; false if the lock was not to be had in `patience` seconds."""
        if not self.condition.acquire(timeout=patience):
            return False
        try:
            if not self.is_told:
                self.is_told = True
                for waiter in self.waiters:
                    if outcome[0] is _CANCELLED:
                        waiter.add_cancelled(future)
                    elif outcome[2] is not None:
                        waiter.add_exception(future)
                    else:
                        waiter.add_result(future)
                self.condition.notify_all()
        finally:
            self.condition.release()
        return True


class Waiter:
    """The outcome of a call whose thread waits for it: what a future is, without what that thread does not need."""

    __slots__ = ("_error", "_lock", "_result")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether there is an outcome."""
        return not self._lock.locked()

    def set_result(self, result: Any, /) -> None:
        """The call has its result."""
        self._result = result
        self._lock.release()

    def set_exception(self, exception: BaseException, /) -> None:
        """The call has its error."""
        self._error = exception
        self._lock.release()

    def wait(self) -> Any:
        """The result, when there is one; or raise the error."""
        with self._lock:
            if self._error is not None:
                raise self._error
            return self._result
