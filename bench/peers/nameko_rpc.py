"""Nameko: a service with `@rpc` methods, and the standalone ClusterRpcProxy.

Options, and why:
- One process for each worker: Nameko's workers are green threads of one process, and the function uses the CPU.
- `max_workers` is the mode's prefetch: Nameko takes its prefetch count from it.
- `call_async` for calls in flight.
- `serializer: pickle` for the echo; JSON has no bytes.
Publisher confirms and persistent messages stay on: the proxy's documentation says that it needs the confirms to tell an
unknown service, and neither has an option for a service's replies.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import work
from .peer import Client, Peer, Setup


class Nameko(Peer):
    """`@rpc` and ClusterRpcProxy."""

    name = "Nameko"
    note = "persistent messages with confirms, which cannot be turned off for replies"

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        return f"rpc-{setup.queue}", setup.workers

    def serve(self, setup: Setup) -> None:
        import eventlet

        eventlet.monkey_patch()
        from nameko.rpc import rpc
        from nameko.runners import ServiceRunner

        compute = work.FUNCTIONS[setup.function]

        class Service:
            name = setup.queue

            @rpc
            def function(self, argument: Any) -> Any:
                return compute(argument)

        runner = ServiceRunner(config=_config(setup))
        runner.add_service(Service)
        runner.start()
        runner.wait()

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup)


def _config(setup: Setup) -> dict[str, Any]:
    serializer = "pickle" if setup.function == "echo" else "json"
    return {
        "AMQP_URI": setup.url,
        "max_workers": setup.prefetch,
        "serializer": serializer,
        "ACCEPT": [serializer],
    }


@contextmanager
def _connected(setup: Setup) -> Iterator[Client]:
    from nameko.standalone.rpc import ClusterRpcProxy

    with ClusterRpcProxy(_config(setup)) as cluster:
        yield _Client(cluster[setup.queue].function)


class _Client:
    def __init__(self, function: Any) -> None:
        self._function = function

    def call(self, argument: Any) -> Any:
        return self._function(argument)

    def submit(self, argument: Any) -> Any:
        return self._function.call_async(argument)

    def result(self, handle: Any) -> Any:
        return handle.result()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        raise NotImplementedError
