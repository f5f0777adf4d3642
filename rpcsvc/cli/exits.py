"""The exit codes of the command, and which error gives which."""

from __future__ import annotations

import enum

from ..errors import (
    BrokerError,
    CastRejected,
    CastUnknown,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    EncodingError,
    EventUnknown,
    InvalidParams,
    MethodNotFound,
    NoServer,
    PoolFailed,
    QueueMismatch,
    RegistryFailed,
    RpcError,
    RpcTimeout,
    WorkerLost,
)


class ExitCode(enum.IntEnum):
    """What `rpcsvc` ends with. Numbers do not change between versions."""

    OK = 0
    FAILED = 1
    """The function raised, or the call failed in a way that has no code of its own."""
    USAGE = 2
    """The command line, an option or an argument is wrong (argparse uses this number too)."""
    NOT_RUNNING = 3
    """`broker status`: no private node runs."""
    REGISTRY_FAILED = 4
    """`serve`: the registry cannot be imported."""
    POOL_FAILED = 5
    """`serve`: workers cannot be kept running."""
    NO_BROKER = 6
    """No broker can be reached, or it refuses us, or RabbitMQ is not installed."""
    NO_SERVER = 7
    """Nobody serves the queue."""
    TIMED_OUT = 8
    """No reply, or no confirm, came in time."""
    WORKER_LOST = 9
    """The worker died during the call."""
    NOT_PRINTED = 10
    """All was done, but standard output could not be written, or lacks the letters for the result."""
    REFUSED = 11
    """The broker refused the message: its queue is full."""
    INTERRUPTED = 130
    """Ended by a second signal, or by Ctrl-C, before it was done."""


_BY_ERROR: tuple[tuple[type[RpcError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (EncodingError, ExitCode.USAGE),
    (MethodNotFound, ExitCode.USAGE),
    (InvalidParams, ExitCode.USAGE),
    (RegistryFailed, ExitCode.REGISTRY_FAILED),
    (PoolFailed, ExitCode.POOL_FAILED),
    (ConnectionFailed, ExitCode.NO_BROKER),
    (ConnectionLost, ExitCode.NO_BROKER),
    (QueueMismatch, ExitCode.NO_BROKER),
    (BrokerError, ExitCode.NO_BROKER),
    (NoServer, ExitCode.NO_SERVER),
    (RpcTimeout, ExitCode.TIMED_OUT),
    (CastUnknown, ExitCode.TIMED_OUT),
    (EventUnknown, ExitCode.TIMED_OUT),
    (CastRejected, ExitCode.REFUSED),
    (WorkerLost, ExitCode.WORKER_LOST),
)


def exit_code(error: RpcError) -> ExitCode:
    """The exit code for an error that ended the command."""
    return next((code for cls, code in _BY_ERROR if isinstance(error, cls)), ExitCode.FAILED)
