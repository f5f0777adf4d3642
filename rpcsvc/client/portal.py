"""A link on an event loop in a thread of its own, for programs with threads.

    any thread: make and encode the call -> inbox -> wake the loop
    the link's thread: publish, match replies, keep time -> resolve the future -> the calling thread goes on

All calls that are made before the loop comes round travel behind one wake-up.

Rules: whatever users call here may be called by a signal handler or a finalizer in the middle of anything else here, in
the same thread. So there is no lock that a thread holds while it does something, and no step that somebody else waits
for: what is shared is appended to, taken from and compared in single steps of the interpreter. The link's thread waits
for nobody; who would wait on it is refused (`own_thread`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import ClientClosed, ConnectionFailed, OutOfPlace, RpcError, RpcTimeout
from ..host.loops import new_event_loop
from ..settings import BrokerUrls
from ..settings.client import ClientOptions
from . import own_thread
from .calls import CallFactory
from .futures import RpcFuture, Waiter
from .link import CallLink
from .many_casts import ManyCasts
from .messages import Call
from .outgoing import Outgoing
from .room import Room
from .teller import Teller

_Errand = Callable[[], Coroutine[Any, Any, None]]
"""Something for the link to do, other than a call."""


class LinkThread:
    """A CallLink on an event loop in a daemon thread, which starts at the first use.

    Attributes:
        is_of_parent: whether this is a forked child, and the thread its parent's.
    """

    def __init__(self, url: BrokerUrls, options: ClientOptions, calls: CallFactory) -> None:
        self.link = CallLink(url, options, calls)
        self.is_of_parent = False
        self._room = Room(options.max_in_flight)
        self._teller = Teller()
        self._inbox: deque[Call] = deque()
        self._outgoing: deque[Outgoing] = deque()
        self._errands: deque[tuple[_Errand, Waiter]] = deque()
        self._under_way: dict[asyncio.Task[None], Waiter] = {}
        # A wake-up that was asked for in this round is still to come; so a round that was asked in needs no other.
        self._round, self._asked_in = 0, -1
        self._lives: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []  # the first one counts
        self._closings: list[object] = []  # likewise
        self._is_over = False

    @property
    def pending(self) -> int:
        """How many calls wait, those included that the loop has not seen yet."""
        return len(self._inbox) + self.link.pending

    @property
    def is_alive(self) -> bool:
        """Whether it was started, and nobody has closed it."""
        return bool(self._lives) and not self._closings

    def __repr__(self) -> str:
        return f"{self.link!r}, {len(self._inbox)} in the inbox" if self._inbox else repr(self.link)

    # ---- calls

    def send(self, call: Call, future: RpcFuture) -> None:
        """Begin a call, when there is room for it; its outcome comes to `future`."""
        if not self._room.enter(call.deadline):
            future.set_exception(self._no_room(call))
            return
        future.is_under_way(self)
        self._put(call)

    def call(self, call: Call, answer: Waiter) -> Any:
        """Begin a call, and wait for its outcome, which comes to `answer`."""
        if not self._room.enter(call.deadline):
            raise self._no_room(call)
        try:
            self._put(call)
            return answer.wait()
        except BaseException:
            if not answer.done():  # Ctrl-C: nobody waits for it any more
                self.soon(self.link.forget, call.call_id)
            raise
        finally:
            self._room.leave()

    def ended(self, future: RpcFuture) -> None:
        """A future has its outcome."""
        self._room.leave()
        if future.cancelled():
            # Not here and now: a finalizer may have done it, in the middle of what the link does.
            if not self.soon(self._given_up, future):
                future.tell_the_standard_library()
        elif future.is_awaited_elsewhere:
            if own_thread.is_here():
                self._teller.add(future)
            else:
                future.tell_the_standard_library()  # the thread is over

    def _given_up(self, future: RpcFuture) -> None:
        self.link.forget(future.call_id)
        if future.is_awaited_elsewhere:
            self._teller.add(future)

    def _no_room(self, call: Call) -> RpcError:
        if self._closings:
            return ClientClosed("the client was closed while the call waited to be sent")
        return RpcTimeout(call.method, call.timeout, call.call_id)

    def _put(self, call: Call) -> None:
        self._inbox.append(call)
        if self._is_over:
            self._end_inbox(ClientClosed("the client is closed"))
        elif self._asked_in != self._round:
            self._wake()

    # ---- what is done when it is confirmed

    def post(self, message: Outgoing) -> None:
        """Begin to send a message; what becomes of it is told to its `settled`, on the client's own thread."""
        self._outgoing.append(message)
        if self._is_over:
            self._end_inbox(ClientClosed("the client is closed"))
        elif self._asked_in != self._round:
            self._wake()

    def given_up(self, message: Outgoing) -> None:
        """Nobody waits for a message any more."""
        self.soon(self.link.posting.outbox.given_up, message)

    def wait_for(self, casts: ManyCasts, under_way: int) -> None:
        """Wait until no more than so many of these are under way.

        Raises:
            OutOfPlace: they are a parent's, and this is its forked child.
        """
        if self.is_of_parent:
            raise OutOfPlace(
                "these casts were begun before this process was forked, and their outcome goes to the parent"
            )
        casts.wait(under_way)

    # ---- what is neither

    def connect(self) -> None:
        """Open the connection now."""
        own_thread.refuse_to_wait("opening a client")
        self.run(self.link.connect)

    def workers(self) -> int:
        """How many workers were seen behind the queue; at least 1."""
        return self.link.workers()

    def see_workers(self, timeout: float) -> None:
        """Look how many there are, if nobody looked yet; for at most so many seconds."""
        if not self.link.has_seen_workers and not own_thread.is_here():
            with contextlib.suppress(RpcError):
                self.run(lambda: self.link.see_workers(timeout))

    def close(self) -> None:
        """End every call, the connection and the thread, and wait for that, except on a client's own thread."""
        thread = self.begin_to_close()
        if thread is not None and not own_thread.is_here():
            thread.join()

    def begin_to_close(self) -> threading.Thread | None:
        """End every call, the connection and the thread; the thread to wait for, unless somebody closes it already."""
        mine = object()
        self._closings.append(mine)
        if self._closings[0] is not mine:
            return None
        self._room.close()
        if not self._lives:
            self._end_inbox(ClientClosed("the client is closed"))
            return None
        self.soon(self._end_link)
        return self._lives[0][1]

    def _end_link(self) -> None:
        loop = asyncio.get_running_loop()
        self._closing = loop.create_task(self._closed())
        self._closing.add_done_callback(lambda _: loop.stop())

    async def _closed(self) -> None:
        await self.link.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def run(self, errand: _Errand) -> None:
        """Have something done on the loop, and wait until it is."""
        answer = Waiter()
        self._errands.append((errand, answer))
        if self._is_over:
            self._end_errands()
        else:
            self._wake()
        answer.wait()

    # ---- between the threads

    def soon(self, do: Callable[..., object], *args: Any) -> bool:
        """Have something done on the loop; whether there is one."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            if self._lives:
                self._lives[0][0].call_soon_threadsafe(do, *args)
                return True
        return False

    def _wake(self) -> None:
        asked_in = self._round
        try:
            self._started().call_soon_threadsafe(self._take)
        except (OutOfPlace, ClientClosed, ConnectionFailed) as error:
            self._end_inbox(error)
        except RuntimeError:  # the loop was closed in between
            self._end_inbox(ClientClosed("the client is closed"))
        # Afterwards: whoever interrupts us before this asks himself. If the loop was quick, it says too little, and one
        # more wake-up is asked for than is needed.
        self._asked_in = asked_in

    def _take(self) -> None:
        self._round += 1  # first: a call that arrives from here on wakes the loop again
        while self._errands:
            errand, answer = self._errands.popleft()
            task = asyncio.get_running_loop().create_task(errand())
            self._under_way[task] = answer
            task.add_done_callback(self._errand_ended)
        self.link.send_all(self._inbox)
        if self._outgoing:
            self.link.post_all(self._outgoing)

    def _errand_ended(self, task: asyncio.Task[None]) -> None:
        answer = self._under_way.pop(task)
        error = ClientClosed("the client was closed meanwhile") if task.cancelled() else task.exception()
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    def _end_inbox(self, error: RpcError) -> None:
        while self._inbox:
            with contextlib.suppress(IndexError):
                self.link.fail(self._inbox.popleft(), error)
        while self._outgoing:
            with contextlib.suppress(IndexError):
                message = self._outgoing.popleft()
                message.settled(message, error)
        self._end_errands(error)

    def _end_errands(self, error: RpcError | None = None) -> None:
        while self._errands:
            with contextlib.suppress(IndexError):
                self._errands.popleft()[1].set_exception(error or ClientClosed("the client is closed"))

    # ---- the thread

    def _started(self) -> asyncio.AbstractEventLoop:
        """The loop, on a thread that has been started.

        Who interrupts another's start makes a thread as well, and does not wait for that one. The first to live stays.
        """
        if not self._lives:
            if self._closings:
                raise ClientClosed("the client is closed")
            own_thread.check_threads_are_real()
            decided = allocate_lock()
            decided.acquire()
            self._start(decided.release)
            decided.acquire()
        return self._lives[0][0]

    def _start(self, decided: Callable[[], None]) -> None:
        loop = None
        try:
            loop = new_event_loop()
            args = (loop, decided)
            threading.Thread(target=self._live, args=args, name="rpcsvc-client", daemon=True).start()
        except (OSError, RuntimeError) as error:  # no descriptor, no memory; "can't start new thread"
            if loop is not None:
                loop.close()
            raise ConnectionFailed(f"no client for want of something on this machine: {error}") from error

    def _live(self, loop: asyncio.AbstractEventLoop, decided: Callable[[], None]) -> None:
        life = (loop, threading.current_thread())
        self._lives.append(life)
        is_first = self._lives[0] is life
        decided()
        if not is_first:
            loop.close()
            return
        asyncio.set_event_loop(loop)
        with own_thread.entered():
            try:
                if not self._closings:  # else somebody closed it who saw no thread to end
                    loop.run_forever()
            finally:
                loop.close()
                # In this order: who puts a call into the inbox after this sees the flag, and ends the call itself.
                self._is_over = True
                self._end_inbox(ClientClosed("the client is closed"))
                for answer in self._under_way.values():
                    answer.set_exception(ClientClosed("the client was closed meanwhile"))
                self._teller.end()
