"""Call CPU-heavy Python functions on a pool of processes through RabbitMQ.

The public names. They are loaded when they are first used, so that a worker process, which needs the registry only,
does not carry the client and its AMQP along.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client.aio import AsyncRpcClient
    from .client.futures import RpcFuture
    from .client.subscriptions import AsyncSubscription, Subscription
    from .client.sync import RpcClient
    from .errors import (
        AccessRefused,
        AuthenticationFailed,
        BrokerError,
        BrokerNotInstalled,
        BrokerStartFailed,
        CallCancelled,
        CastRejected,
        CastUnknown,
        ClientClosed,
        ConfigurationError,
        ConnectionFailed,
        ConnectionLost,
        DecodingError,
        EncodingError,
        EventUnknown,
        ExchangeNotFound,
        FunctionRaised,
        InternalError,
        InvalidParams,
        InvalidRequest,
        LetterNotFound,
        MemoryLimitExceeded,
        MessageRefused,
        MessageTooLarge,
        MethodNotFound,
        NoServer,
        OutcomeUnknown,
        OutOfPlace,
        ParseError,
        PoolFailed,
        QueueLocked,
        QueueMismatch,
        QueueNotFound,
        RegistrationError,
        RegistryFailed,
        RemoteError,
        RequestTooLarge,
        ResultNotEncodable,
        RetryLater,
        RpcError,
        RpcTimeout,
        TimeLimitExceeded,
        TlsFailed,
        WorkerLost,
    )
    from .functions.registration import Registry
    from .functions.retry import Retry
    from .server.server import RpcServer
    from .wire.events import Event
    from .wire.letters import Letter
    from .workers.inside.context import CurrentCall, current_call

_HOMES = {
    "AsyncRpcClient": "client.aio",
    "AsyncSubscription": "client.subscriptions",
    "Event": "wire.events",
    "Letter": "wire.letters",
    "Registry": "functions.registration",
    "Retry": "functions.retry",
    "CurrentCall": "workers.inside.context",
    "current_call": "workers.inside.context",
    "RpcClient": "client.sync",
    "RpcFuture": "client.futures",
    "RpcServer": "server.server",
    "Subscription": "client.subscriptions",
}

__all__ = [
    "AccessRefused",
    "AsyncRpcClient",
    "AsyncSubscription",
    "AuthenticationFailed",
    "BrokerError",
    "BrokerNotInstalled",
    "BrokerStartFailed",
    "CallCancelled",
    "CastRejected",
    "CastUnknown",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "CurrentCall",
    "DecodingError",
    "EncodingError",
    "Event",
    "EventUnknown",
    "ExchangeNotFound",
    "FunctionRaised",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "Letter",
    "LetterNotFound",
    "MemoryLimitExceeded",
    "MessageRefused",
    "MessageTooLarge",
    "MethodNotFound",
    "NoServer",
    "OutOfPlace",
    "OutcomeUnknown",
    "ParseError",
    "PoolFailed",
    "QueueLocked",
    "QueueMismatch",
    "QueueNotFound",
    "RegistrationError",
    "Registry",
    "RegistryFailed",
    "RemoteError",
    "RequestTooLarge",
    "ResultNotEncodable",
    "Retry",
    "RetryLater",
    "RpcClient",
    "RpcError",
    "RpcFuture",
    "RpcServer",
    "RpcTimeout",
    "Subscription",
    "TimeLimitExceeded",
    "TlsFailed",
    "WorkerLost",
    "__version__",
    "current_call",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("." + _HOMES.get(name, "errors"), __name__), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
