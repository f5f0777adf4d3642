"""oslo.messaging's RPC on its rabbit driver.

Options, and why:
- `rabbit_qos_prefetch_count`: the mode's prefetch.
- The threading executor, which its documentation says is the only one to stay, with one thread a process
  (`executor_thread_pool_size`), and one process for each worker, because the function uses the CPU.
- A call blocks, so calls in flight are threads.
- `heartbeat_timeout_threshold=0`: no heartbeat thread beside the measurement.
It acks before the work, by its design ("at most once"); there is no option for it.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import work
from .modes import Mode
from .peer import Client, Peer, Setup


class Oslo(Peer):
    """`get_rpc_server` and `get_rpc_client`."""

    name = "oslo.messaging"
    note = "acks before the work"

    def unable(self, mode: Mode) -> str | None:
        if mode.function == "echo":
            return "carries JSON; it has no bytes"
        return super().unable(mode)

    def serve(self, setup: Setup) -> None:
        import oslo_messaging

        compute = work.FUNCTIONS[setup.function]

        class Endpoint:
            def function(self, _context: Any, argument: Any) -> Any:
                return compute(argument)

        transport = _transport(setup)
        target = oslo_messaging.Target(topic=setup.queue, server="bench")
        server = oslo_messaging.get_rpc_server(transport, target, [Endpoint()], executor="threading")
        transport.conf.set_override("executor_thread_pool_size", 1)
        server.start()
        server.wait()

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup)


def _transport(setup: Setup) -> Any:
    import oslo_messaging
    from oslo_config import cfg

    conf = cfg.CONF  # its tracing registers its options there and nowhere else
    conf([])
    transport = oslo_messaging.get_rpc_transport(conf, url=setup.url.replace("amqp://", "rabbit://", 1))
    conf.set_override("rabbit_qos_prefetch_count", setup.prefetch, "oslo_messaging_rabbit")
    conf.set_override("heartbeat_timeout_threshold", 0, "oslo_messaging_rabbit")
    return transport


@contextmanager
def _connected(setup: Setup) -> Iterator[Client]:
    import oslo_messaging

    transport = _transport(setup)
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=setup.queue), timeout=60)
    with ThreadPoolExecutor(setup.in_flight) as threads:
        yield _Client(client, threads)
    transport.cleanup()


class _Client:
    def __init__(self, client: Any, threads: ThreadPoolExecutor) -> None:
        self._client = client
        self._threads = threads

    def call(self, argument: Any) -> Any:
        return self._client.call({}, "function", argument=argument)

    def submit(self, argument: Any) -> Any:
        return self._threads.submit(self.call, argument)

    def result(self, handle: Any) -> Any:
        return handle.result()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        raise NotImplementedError
