"""The options of a client: `RpcClient` and `AsyncRpcClient` take them, `rpcsvc call` and `bench` some of them."""

from __future__ import annotations

from dataclasses import dataclass

from ..wire.names import DEFAULT_QUEUE
from ..wire.sizes import AUTO, Setting
from . import DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT
from .kinds import CALLED_QUEUE, MessageSize, Seconds, Truth, Whole
from .options import check_options, option

DEFAULT_PATIENCE = 10.0
DEFAULT_MAX_IN_FLIGHT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What the clients have in common, checked.

    Raises:
        ConfigurationError: an option is wrong.
    """

    queue: str = option(DEFAULT_QUEUE, CALLED_QUEUE, "the queue that is served")
    timeout: float = option(
        DEFAULT_TIMEOUT,
        Seconds(endless=True),
        """how long a call waits for its reply, unless the call says otherwise; an infinite one (math.inf or None; "inf"
        in a shell) is as long as it takes, and ends with NoServer all the same while nobody serves the queue""",
    )
    connect_timeout: float = option(
        DEFAULT_CONNECT_TIMEOUT,
        Seconds(),
        "how long opening the connection may take; with several nodes, of all of them together",
    )
    wait_for_server: float = option(
        0.0,
        Seconds(zero=True, endless=True),
        """how long a call waits for a server to appear on the queue before it ends with NoServer; 0 is the moment that
        tells a missing server from a reconnecting one, an infinite one is for ever""",
    )
    patience: float = option(
        DEFAULT_PATIENCE,
        Seconds(zero=True, endless=True),
        """how long servers that were there within the last minute may be away before calls end with NoServer: a pool
        that is restarted comes back; the longer of this and the wait for a server holds, and a call's time-out
        ends both""",
    )
    max_in_flight: int = option(
        DEFAULT_MAX_IN_FLIGHT, Whole(), "how many calls may wait at once; beyond that `submit` and `call` wait for room"
    )
    pack: bool = option(
        True,
        Truth(),
        """tiny calls of one idempotent function that wait to be sent at the same time may travel as one message, of
        a few milliseconds of work at most; each keeps its own time-out, error and outcome""",
    )
    max_request: Setting = option(
        AUTO,
        MessageSize(),
        """the largest request that is sent; a larger one is RequestTooLarge. "auto" is a little under what brokers of
        this version take by default (16 MiB from 4.0 on), at most 64 MiB; a broker that takes less lowers it when it
        refuses a request""",
    )

    def __post_init__(self) -> None:
        check_options(self)
