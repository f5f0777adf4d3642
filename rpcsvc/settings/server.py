"""The options of a server: `RpcServer` takes them, and `rpcsvc serve` has a flag for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..wire.names import DEFAULT_QUEUE
from ..wire.sizes import AUTO, Setting
from . import DEFAULT_CAST_QUEUE_TYPE, DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE_TYPE, QUEUE_TYPES, usable_cpus
from .kinds import REGISTRY, SERVED_QUEUE, Choice, MessageSize, Patterns, QueueNames, Seconds, Size, Truth, Whole
from .limits import MIN_MEMORY_LIMIT, check_order
from .options import check_options, option

BUILT_IN = "rpcsvc.functions:registry"
DEFAULT_START_TIMEOUT = 10.0
"""Seconds for the start of a worker that is forked with the registry in it."""
DEFAULT_CANCEL_GRACE = 2.0
DEFAULT_RESTART_WINDOW = 10.0
LOAD_TIMEOUT = 60.0
"""Seconds for the import of a registry, and for the start of a worker that imports it itself."""
_AS_AUTO = '"auto" is a little under what brokers of this version take by default (16 MiB from 4.0 on), at most 64 MiB'


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server is told, checked.

    Raises:
        ConfigurationError: an option is wrong.
    """

    registry: str = option(
        BUILT_IN, REGISTRY, "the functions to serve, by the name under which worker processes import them"
    )
    queue: str = option(
        DEFAULT_QUEUE,
        SERVED_QUEUE,
        "the queue to serve; one that is there is taken as it is, else it is declared, durable",
    )
    queue_type: str = option(
        DEFAULT_QUEUE_TYPE, Choice(*QUEUE_TYPES), "what the queue is declared as where it is missing or was deleted"
    )
    casts: bool = option(True, Truth(off="--no-casts"), "casts are served beside calls, from the queue QUEUE.casts")
    casts_from: Iterable[str] = option(
        (),
        QueueNames(),
        """further queues that casts come from, taken as they are; there, a body that is no JSON-RPC object is for the
        registry's default function, as one text""",
        otherwise="none",
    )
    cast_queue_type: str = option(
        DEFAULT_CAST_QUEUE_TYPE,
        Choice(*QUEUE_TYPES),
        "what the queue of casts is declared as where it is missing or was deleted",
    )
    cast_max_length: int | None = option(
        None, Whole(), "casts that may wait in a queue that is declared; more are refused", otherwise="any number"
    )
    dead_ttl: float | None = option(
        None, Seconds(), "how long dead letters are kept, in a queue that is declared", otherwise="for ever"
    )
    workers: int | None = option(
        None, Whole(most=10_000), "worker processes", otherwise="the CPUs this process may use"
    )
    threads: int = option(
        1, Whole(most=1_000), "calls that each worker runs at a time, each in a thread, for functions that wait"
    )
    cast_workers: int | None = option(
        None,
        Whole(most=10_000),
        "how many of the workers may run casts and events at a time; calls go first",
        otherwise="all but one, and one at least",
    )
    prefetch: int = option(1, Whole(most=65_535), "deliveries that each worker's consumer may hold")
    callback_queues: Iterable[str] = option(
        (),
        Patterns(),
        """patterns (as of fnmatch) of further callback queues that replies may go to, beside those that only one
        connection can read""",
        otherwise="none",
        flag="--callback-queue",
    )
    max_request: Setting = option(
        AUTO, MessageSize(), f"the largest request that is taken; a larger one is refused unread. {_AS_AUTO}"
    )
    max_result: Setting = option(
        AUTO,
        MessageSize(),
        f"""the largest response that is sent; in place of a larger one its caller gets ResultNotEncodable. {_AS_AUTO};
        a broker that takes less lowers it when it refuses a response""",
    )
    send_tracebacks: bool = option(
        True, Truth(off="--hide-tracebacks"), "callers see the traceback of a function that raised"
    )
    time_limit: float | None = option(
        None,
        Seconds(),
        "kill the worker of a call that runs longer, of a function without a limit of its own; its caller gets "
        "TimeLimitExceeded",
        otherwise="none",
    )
    soft_time_limit: float | None = option(
        None, Seconds(), "likewise, raise TimeLimitExceeded inside a function that runs longer", otherwise="none"
    )
    memory_limit: int | None = option(
        None,
        Size(least=MIN_MEMORY_LIMIT),
        "likewise, kill the worker of a call that takes more memory; its caller gets MemoryLimitExceeded",
        otherwise="none",
    )
    cancel_grace: float = option(
        DEFAULT_CANCEL_GRACE,
        Seconds(zero=True),
        "how long a cancelled call may take to end by itself before its worker is killed; 0 is not at all",
    )
    start_timeout: float | None = option(
        None,
        Seconds(),
        "kill a new worker that is not ready by then",
        otherwise=f"{DEFAULT_START_TIMEOUT:g}, or {LOAD_TIMEOUT:g} where each worker imports the registry",
    )
    preload: bool = option(
        True,
        Truth(),
        """import the registry once, in the process that workers are forked from; else each worker imports it, which
        takes time and memory, and suits libraries whose threads do not survive a fork""",
    )
    blas_threads: int | None = option(
        None,
        Whole(most=10_000),
        """threads of a worker's libraries for linear algebra and OpenMP; OMP_NUM_THREADS and the like win where they
        are set""",
        otherwise="the usable CPUs, shared among the workers",
    )
    max_calls_per_worker: int | None = option(
        None, Whole(), "replace a worker when it has made so many calls", otherwise="any number"
    )
    max_restarts: int | None = option(
        None,
        Whole(least=0),
        """stop with PoolFailed when more workers than this end by themselves within the restart window, and fewer calls
        are answered than workers end""",
        otherwise="100, or 20 for each worker if that is more",
    )
    restart_window: float = option(
        DEFAULT_RESTART_WINDOW, Seconds(), "the time in which workers that end by themselves are counted"
    )
    connect_timeout: float = option(
        DEFAULT_CONNECT_TIMEOUT, Seconds(), "how long a broker that is not up yet is waited for at the start"
    )

    def __post_init__(self) -> None:
        check_options(self)
        check_order(self.soft_time_limit, self.time_limit)

    @property
    def processes(self) -> int:
        """How many workers there are to be."""
        return usable_cpus() if self.workers is None else self.workers

    @property
    def slots(self) -> int:
        """How many calls all workers run at a time."""
        return self.processes * self.threads

    @property
    def cast_slots(self) -> int:
        """How many casts may run at once: those of as many workers as may have some, one slot at least."""
        if self.cast_workers is not None:
            return min(self.processes, self.cast_workers) * self.threads
        return max(1, self.slots - (self.threads if self.processes > 1 else 1))

    @property
    def threads_each(self) -> int:
        """How many threads a worker's libraries may use."""
        return max(1, usable_cpus() // self.processes) if self.blas_threads is None else self.blas_threads

    @property
    def ready_within(self) -> float:
        """Seconds in which a new worker must be ready."""
        if self.start_timeout is None:
            return DEFAULT_START_TIMEOUT if self.preload else LOAD_TIMEOUT
        return self.start_timeout
