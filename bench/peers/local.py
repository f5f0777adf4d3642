"""The local baseline: what the same work costs without a broker, in the standard library's process pools."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import work
from .modes import Mode
from .peer import Client, Peer, Setup

CHUNK = 100


class _Local(Peer):
    kind = "local"

    def unable(self, mode: Mode) -> str | None:
        return None

    def servers(self, setup: Setup) -> list[list[str]]:
        return []

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        return None


class Executor(_Local):
    """`submit` of a ProcessPoolExecutor; `map(chunksize=100)` for a map. Prefetch has no counterpart."""

    name = "ProcessPoolExecutor"

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _executor(setup)


class Pool(_Local):
    """`apply_async` of a multiprocessing.Pool; `imap(chunksize=100)` for a map."""

    name = "multiprocessing.Pool"

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _pool(setup)


class Direct(_Local):
    """The function itself, called in the client's process: what the overhead is counted over."""

    name = "the function itself"
    kind = "work"

    def skips(self, mode: Mode) -> bool:
        return not mode.seconds_of_work

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _direct(setup)


@contextmanager
def _executor(setup: Setup) -> Iterator[Client]:
    with ProcessPoolExecutor(setup.workers) as executor:
        yield _ExecutorClient(executor, setup)


@contextmanager
def _pool(setup: Setup) -> Iterator[Client]:
    with multiprocessing.Pool(setup.workers) as pool:
        yield _PoolClient(pool, setup)


@contextmanager
def _direct(setup: Setup) -> Iterator[Client]:
    yield _DirectClient(setup)


class _DirectClient:
    def __init__(self, setup: Setup) -> None:
        self._function = work.FUNCTIONS[setup.function]

    def call(self, argument: Any) -> Any:
        return self._function(argument)

    def submit(self, argument: Any) -> Any:
        raise NotImplementedError

    def result(self, handle: Any) -> Any:
        raise NotImplementedError

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        raise NotImplementedError


class _ExecutorClient(_DirectClient):
    def __init__(self, executor: Any, setup: Setup) -> None:
        super().__init__(setup)
        self._executor = executor

    def call(self, argument: Any) -> Any:
        return self.submit(argument).result()

    def submit(self, argument: Any) -> Any:
        return self._executor.submit(self._function, argument)

    def result(self, handle: Any) -> Any:
        return handle.result()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        return self._executor.map(self._function, (argument for _ in range(calls)), chunksize=CHUNK)


class _PoolClient(_DirectClient):
    def __init__(self, pool: Any, setup: Setup) -> None:
        super().__init__(setup)
        self._pool = pool

    def call(self, argument: Any) -> Any:
        return self._pool.apply(self._function, (argument,))

    def submit(self, argument: Any) -> Any:
        return self._pool.apply_async(self._function, (argument,))

    def result(self, handle: Any) -> Any:
        return handle.get()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        return self._pool.imap(self._function, (argument for _ in range(calls)), chunksize=CHUNK)
