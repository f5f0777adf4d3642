"""`RpcClient.map`: one method over many arguments, as an iterator of results that stream in.

    iterables -> chunk of arguments -> one rpc.map message ... result -> one item after the other
                 |  a bounded number of chunks is under way; the input is read no further than they need  |

The size of a chunk follows from the measured time of the calls, so that a message holds a few milliseconds of work:
many tiny calls travel together, long ones alone.

Quick chunks are sent ahead, so that no worker waits for the next one. Slow ones are not: as many are under way as there
are workers, because one that lay in the queue behind others of its own map would use up its time-out there. And until
the first answer nobody knows which they are. A chunk that was sent ahead all the same has the time of those before it.
"""

from __future__ import annotations

import itertools
import math
import time
from _queue import SimpleQueue  # the real one, also where `queue` has been patched
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from ..deadline import MAX_TIMEOUT, check_timeout
from ..errors import ConfigurationError, EncodingError, OutOfPlace, ResultNotEncodable, RpcError, RpcTimeout
from ..settings.names import check_method
from ..wire.many.answer import MapAnswer, Understanding, read_answer
from ..wire.many.request import MAX_CALLS
from . import own_thread
from .sizing import ChunkSizer

SLOW = 1.0
"""Seconds of work from which on a message is not sent ahead."""


class Submit(Protocol):
    """Sends one `rpc.map`: `RpcClient.submit` with its method filled in."""

    def __call__(self, *, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]: ...


class SubmitCall(Protocol):
    """Sends one plain call: `RpcClient.submit`."""

    def __call__(self, method: str, /, *args: Any, timeout: float | None) -> Future[Any]: ...


@dataclass(slots=True, eq=False)
class _Chunk:
    """Arguments that travel together, and the future of their results.

    Attributes:
        calls: the futures of its calls, where these go by themselves because the servers know no `rpc.map`.
        started: when it was made, in seconds on the monotonic clock.
        seconds: from then until `future` was done.
    """

    columns: list[list[Any]]
    future: Future[Any]
    calls: list[Future[Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return len(self.columns[0])

    def cancel(self) -> None:
        """Give it up."""
        self.future.cancel()
        for call in self.calls:
            call.cancel()


@dataclass(frozen=True, slots=True)
class _Raised:
    """An item that is an error."""

    error: BaseException


class MapResults(Iterator[Any]):
    """The results, in the order of the arguments (or as they come).

    An item that failed raises its error when its turn comes; the next item is there all the same. Closing it, or
    leaving a `with` block, gives up what is under way.
    """

    def __init__(
        self,
        submit: Submit,
        method: str,
        iterables: tuple[Iterable[Any], ...],
        *,
        timeout: float | None,
        chunksize: int | Literal["auto"],
        ordered: bool,
        return_exceptions: bool,
        workers: Callable[[], int],
        window: Callable[[int], int] = lambda workers: 2 * workers + 2,
        submit_call: SubmitCall | None = None,
        understanding: Understanding | None = None,
    ) -> None:
        """For `RpcClient.map`, which see.

        Args:
            workers: how many of them are seen.
            window: how many chunks may be sent ahead of the items that were taken, with so many workers.
            submit_call: for calls that go by themselves where servers know no `rpc.map`; None where all are known to.
            understanding: whether they do, as far as the client has seen.
        """
        if not iterables:
            raise ConfigurationError("map needs at least one iterable of arguments")
        if chunksize != "auto" and (type(chunksize) is not int or not 1 <= chunksize <= MAX_CALLS):
            raise ConfigurationError(f'chunksize must be "auto" or 1 to {MAX_CALLS}, not {chunksize!r}')
        if timeout is not None:
            check_timeout(timeout, endless=True)  # here, not at each item
        check_method(method)
        self._submit = submit
        self._method = method
        self._timeout = timeout
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._workers = workers
        self._window = window
        self._submit_call = submit_call
        self._understanding = Understanding() if understanding is None else understanding
        self._single = len(iterables) == 1
        self._arguments: Iterator[Any] = iter(iterables[0]) if self._single else zip(*iterables, strict=False)
        self._input_error: BaseException | None = None
        self._exhausted = False
        self._sizer = ChunkSizer()
        self._fixed = None if chunksize == "auto" else chunksize
        self._sent: deque[_Chunk] = deque()  # and not given out yet
        self._under_way = 0  # how many of these have no outcome yet, as far as that was looked at
        self._ended: SimpleQueue[_Chunk] = SimpleQueue()
        self._current: Iterator[Any] = iter(())
        self._may_raise = False

    def begin(self) -> None:
        """Send the first chunks."""
        self._fill()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while True:
            try:
                item = next(self._current)
            except StopIteration:
                self._advance()
                continue
            if self._may_raise and type(item) is _Raised:
                if self._return_exceptions:
                    return item.error
                raise item.error
            return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is under way; the iterator ends."""
        self._exhausted = True
        self._input_error = None
        self._current = iter(())
        while self._sent:
            self._sent.popleft().cancel()

    # ---- chunks

    def _advance(self) -> None:
        """Make the next chunk's items current.

        Raises:
            StopIteration: there is none.
        """
        if not self._sent:
            error, self._input_error = self._input_error, None
            if error is not None:
                raise error
            raise StopIteration
        chunk = self._next_chunk()
        try:
            items = self._items(chunk)
        finally:
            self._fill()
        self._current = iter(items)

    def _next_chunk(self) -> _Chunk:
        """The chunk whose items come next, when it has its outcome; in place of each one that ends, another is sent."""
        while True:
            first = self._sent[0]
            if self._ordered and first.future.done():
                return self._sent.popleft()
            if own_thread.is_here() and self._ended.empty():
                own_thread.refuse_to_wait(f"the next result of a map of {self._method!r}")
            ended = self._ended.get()
            self._under_way -= 1
            if not self._ordered:
                self._sent.remove(ended)
                return ended
            if ended is not first:
                self._fill()

    def _items(self, chunk: _Chunk) -> list[Any]:
        if chunk.calls:
            if chunk.future is chunk.calls[0]:
                # No server says what it took; the time until the answer came is at most too long.
                self._sizer.learn(MapAnswer([None], {}, chunk.seconds, 0, False), 0)
            return self._outcomes(chunk.calls)
        try:
            answer = read_answer(chunk.future.result(), chunk.count)
        except (ResultNotEncodable, EncodingError) as error:
            may_run_again = not isinstance(error, ResultNotEncodable) or error.data.get("may_run_again", True)
            if chunk.count == 1 or not may_run_again:
                return self._all_raise([error] * chunk.count)
            return self._one_by_one(chunk)  # together too large; alone they may not be
        except RpcTimeout as error:
            told = RpcTimeout(self._method, error.timeout, error.call_id)  # not in the name of rpc.map
            return self._all_raise([told] * chunk.count)
        except OutOfPlace:
            raise
        except RpcError as error:
            if self._go_alone(chunk, error):
                return self._outcomes(chunk.calls)
            return self._all_raise([error] * chunk.count)
        self._understanding.confirm()
        self._sizer.learn(answer, getattr(chunk.future, "request_bytes", 0))
        self._may_raise = bool(answer.errors)
        for index, failed in answer.errors.items():
            answer.results[index] = _Raised(failed)
        return answer.results

    def _go_alone(self, chunk: _Chunk, error: RpcError) -> bool:
        """Whether a chunk failed because the servers know no `rpc.map`; its calls are sent by themselves then.

        So are at once those of the chunks behind it that failed likewise: they went before this was known.
        """
        if self._submit_call is None or not self._understanding.is_missing(error):
            return False
        self._send_alone(chunk, self._submit_call)
        for other in self._sent:
            failed = other.future.exception() if other.future.done() and not other.calls else None
            if failed is not None and self._understanding.is_missing(failed):
                self._send_alone(other, self._submit_call)
        return True

    def _send_alone(self, chunk: _Chunk, submit: SubmitCall) -> None:
        for row in zip(*chunk.columns, strict=True):
            try:
                chunk.calls.append(submit(self._method, *row, timeout=self._timeout))
            except RpcError as error:
                chunk.calls.append(_failed(error))

    def _outcomes(self, calls: list[Future[Any]]) -> list[Any]:
        failures = [call.exception() for call in calls]
        self._may_raise = any(failures)
        return [call.result() if error is None else _Raised(error) for call, error in zip(calls, failures, strict=True)]

    def _all_raise(self, errors: Sequence[RpcError]) -> list[Any]:
        self._may_raise = True
        return [_Raised(error) for error in errors]

    def _one_by_one(self, chunk: _Chunk) -> list[Any]:
        items: list[Any] = []
        may_raise = False
        for row in zip(*chunk.columns, strict=True):
            items += self._items(self._send([[value] for value in row]))
            may_raise = may_raise or self._may_raise
        self._may_raise = may_raise
        return items

    def _fill(self) -> None:
        """Read arguments and send them, as many as may be under way."""
        while self._ordered and not self._ended.empty():
            self._ended.get()
            self._under_way -= 1
        workers = max(1, self._workers())
        while not self._exhausted and len(self._sent) < self._window(workers):
            if self._under_way >= workers and self._may_be_slow():
                return
            columns = self._read(self._count)
            if columns is None:
                return
            # It may wait for so many others of ours, each of which may take all of its time.
            chunk = self._send(columns, turns=1 + self._under_way // workers)
            self._sent.append(chunk)
            self._under_way += 1
            chunk.future.add_done_callback(lambda _, chunk=chunk: self._end(chunk))  # type: ignore[misc]

    def _end(self, chunk: _Chunk) -> None:
        """A chunk has its outcome: in the thread that brought it."""
        chunk.seconds = time.monotonic() - chunk.started
        self._ended.put(chunk)

    @property
    def _goes_alone(self) -> bool:
        return self._submit_call is not None and not self._understanding.is_given

    @property
    def _count(self) -> int:
        """How many calls the next chunk holds."""
        return 1 if self._goes_alone else self._fixed or self._sizer.size

    def _may_be_slow(self) -> bool:
        expected = self._sizer.expected_seconds(self._count)
        return expected is None or expected >= SLOW

    def _read(self, count: int) -> list[list[Any]] | None:
        rows: list[Any] = []
        try:
            rows.extend(itertools.islice(self._arguments, count))
        except Exception as error:
            # It is raised at its place: behind the results of what was read before it.
            self._input_error, self._exhausted = error, True
        if len(rows) < count:
            self._exhausted = True
        if not rows:
            return None
        return [rows] if self._single else [list(column) for column in zip(*rows, strict=True)]

    def _send(self, columns: list[list[Any]], turns: int = 1) -> _Chunk:
        timeout = self._timeout
        if timeout is not None and timeout != math.inf:
            timeout = min(turns * timeout, MAX_TIMEOUT)
        try:
            if self._submit_call is not None and self._goes_alone:
                call = self._submit_call(self._method, *(column[0] for column in columns), timeout=timeout)
                return _Chunk(columns, call, [call])
            return _Chunk(columns, self._submit(timeout=timeout, method=self._method, columns=columns))
        except RpcError as error:
            return _Chunk(columns, _failed(error))

    def __repr__(self) -> str:
        return f"<MapResults of {self._method!r}: {len(self._sent)} chunks under way, {self._sizer!r}>"


def _failed(error: RpcError) -> Future[Any]:
    """The future of what could not be sent."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
