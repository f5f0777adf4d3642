"""Every error that rpcsvc raises, and whose fault each one is.

The tree:

    RpcError
    ├── ConfigurationError (ValueError)       an option, a URL or a name given to us is wrong
    ├── RegistrationError (TypeError)         a function cannot be served as it is declared
    ├── RegistryFailed                        the registry of a server cannot be imported
    ├── PoolFailed                            the workers of a server cannot be kept running
    ├── EncodingError (ValueError)            a value cannot travel without changing
    │   └── RequestTooLarge                   a request is larger than a message may be
    ├── DecodingError (ValueError)            bytes are not a value
    ├── BrokerError                           the private RabbitMQ node
    │   ├── BrokerNotInstalled
    │   └── BrokerStartFailed
    ├── ConnectionFailed (ConnectionError)    no connection could be opened
    │   ├── AuthenticationFailed
    │   ├── AccessRefused
    │   └── TlsFailed
    ├── ConnectionLost (ConnectionError)      an open connection or channel went away
    │   └── MessageTooLarge                   over a message that is larger than the broker takes
    ├── MessageRefused                        the broker could not put a message into its queue
    │   └── CastRejected                      that message is a cast
    ├── CastUnknown                           a cast was sent, and the broker did not say whether it has it
    ├── EventUnknown                          likewise, an event
    ├── LetterNotFound (LookupError)          no dead letter has that id
    ├── QueueNotFound                         the queue does not exist
    │   └── ExchangeNotFound                  nor does the exchange
    ├── QueueMismatch                         the queue exists, and cannot be used as it is
    │   └── QueueLocked                       it is exclusive to another connection
    ├── ClientClosed                          the client was closed before or during the call
    ├── OutOfPlace (RuntimeError)             a client or a future is used where that cannot work
    ├── RetryLater                            a function says: not now, again in so many seconds
    ├── NoServer                              no queue, or nobody consumes it
    ├── RpcTimeout (TimeoutError)             no reply before the deadline
    └── RemoteError                           a server answered with an error
        ├── ParseError            -32700
        ├── InvalidRequest        -32600
        ├── MethodNotFound        -32601
        ├── InvalidParams         -32602
        ├── InternalError         -32603
        ├── FunctionRaised        -32000
        ├── ResultNotEncodable    -32001
        ├── WorkerLost            -32002
        ├── OutcomeUnknown        -32003
        ├── TimeLimitExceeded     -32004
        ├── CallCancelled         -32005
        └── MemoryLimitExceeded   -32006

The numbers are JSON-RPC 2.0 error codes (section 5.1); -32000 to -32099 are left to implementations.
Errors carry data; `str` makes the sentence. All of them can be pickled, because user code moves them between processes.
"""

from __future__ import annotations

from .broker import (
    AccessRefused,
    AuthenticationFailed,
    BrokerError,
    BrokerNotInstalled,
    BrokerStartFailed,
    ConnectionFailed,
    ConnectionLost,
    ExchangeNotFound,
    MessageRefused,
    MessageTooLarge,
    QueueLocked,
    QueueMismatch,
    QueueNotFound,
    TlsFailed,
)
from .later import RetryLater
from .own import (
    ClientClosed,
    ConfigurationError,
    DecodingError,
    EncodingError,
    OutOfPlace,
    PoolFailed,
    RegistrationError,
    RegistryFailed,
    RequestTooLarge,
)
from .remote import (
    CallCancelled,
    FunctionRaised,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MemoryLimitExceeded,
    MethodNotFound,
    OutcomeUnknown,
    ParseError,
    RemoteError,
    ResultNotEncodable,
    TimeLimitExceeded,
    WorkerLost,
)
from .root import RpcError
from .sending import CastRejected, CastUnknown, EventUnknown, LetterNotFound, NoServer, RpcTimeout

__all__ = [
    "AccessRefused",
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
    "DecodingError",
    "EncodingError",
    "EventUnknown",
    "ExchangeNotFound",
    "FunctionRaised",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
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
    "RegistryFailed",
    "RemoteError",
    "RequestTooLarge",
    "ResultNotEncodable",
    "RetryLater",
    "RpcError",
    "RpcTimeout",
    "TimeLimitExceeded",
    "TlsFailed",
    "WorkerLost",
]

for _each in __all__:
    # Tracebacks, and the types of errors that travel, name them as they are imported.
    globals()[_each].__module__ = __name__
