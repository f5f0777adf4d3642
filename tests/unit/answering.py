"""Messages of many calls that are answered when the test says so, and a `map` over them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rpcsvc.client.map import MapResults
from rpcsvc.errors import FunctionRaised
from rpcsvc.wire import jsonrpc


@dataclass(slots=True, eq=False)
class Sent:
    """An `rpc.map` that went out and waits for its answer."""

    rows: list[tuple[Any, ...]]
    timeout: float | None
    future: Future[Any] = field(default_factory=Future)


class Servers:
    """Computes `function` for each call: at once, or when `answer` is called."""

    def __init__(
        self,
        function: Callable[..., Any] = lambda n: n,
        *,
        at_once: bool = True,
        each: float = 1e-5,
        alone: bool = False,
    ) -> None:
        self.function = function
        self.at_once = at_once
        self.each = each
        self.alone = alone
        self.sent: list[Sent] = []

    def submit(self, *, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]:
        assert method == "f"
        sent = Sent(list(zip(*columns, strict=True)), timeout)
        self.sent.append(sent)
        if self.at_once:
            self.answer(sent)
        return sent.future

    def answer(self, sent: Sent) -> None:
        results: list[Any] = []
        errors = []
        for index, row in enumerate(sent.rows):
            try:
                results.append(self.function(*row))
            except Exception as error:
                results.append(None)
                told = FunctionRaised(f"f raised {error!r}", data={"type": type(error).__name__})
                errors.append([index, jsonrpc.error_object(told)])
        seconds = self.each * len(results)
        sent.future.set_result(
            {"results": results, "errors": errors, "seconds": seconds, "bytes": 5 * len(results), "alone": self.alone}
        )

    @property
    def sizes(self) -> list[int]:
        return [len(sent.rows) for sent in self.sent]


def mapped(
    submit: Callable[..., Future[Any]],
    *iterables: Iterable[Any],
    chunksize: Any = "auto",
    ordered: bool = True,
    return_exceptions: bool = False,
    window: int = 3,
    workers: int = 100,
    timeout: float | None = None,
    **options: Any,
) -> MapResults:
    results = MapResults(
        submit,
        "f",
        iterables,
        timeout=timeout,
        chunksize=chunksize,
        ordered=ordered,
        return_exceptions=return_exceptions,
        workers=lambda: workers,
        window=lambda _: window,
        **options,
    )
    results.begin()
    return results


def counted(read: list[int]) -> Iterator[int]:
    """An input without an end that notes how far it was read."""
    for number in itertools.count():
        read.append(number)
        yield number


def reciprocal(n: int) -> float:
    return 1 / n


def failing_with(error: Exception) -> Callable[..., Future[Any]]:
    def submit(**_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return submit
