"""Errors: what they say, what they carry, and that both survive the ways an exception travels."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator

import pytest

from rpcsvc import errors
from rpcsvc.errors import (
    CastRejected,
    CastUnknown,
    ConfigurationError,
    ConnectionLost,
    EncodingError,
    EventUnknown,
    ExchangeNotFound,
    FunctionRaised,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LetterNotFound,
    MessageTooLarge,
    MethodNotFound,
    NoServer,
    ParseError,
    RegistryFailed,
    RemoteError,
    RequestTooLarge,
    ResultNotEncodable,
    RetryLater,
    RpcError,
    RpcTimeout,
    WorkerLost,
)
from rpcsvc.wire.jsonrpc import remote_error

TRACEBACK = 'Traceback (most recent call last):\n  File "pricing.py", line 3, in price\nValueError: no\n'


def _tree(cls: type[RpcError]) -> Iterator[type[RpcError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from _tree(below)


def _one_of_each() -> list[RpcError]:
    special: dict[type[RpcError], RpcError] = {
        RegistryFailed: RegistryFailed("shop:registry", "ModuleNotFoundError: shop\n"),
        NoServer: NoServer("rpc_queue", "the queue does not exist"),
        RpcTimeout: RpcTimeout("fib", 2.5, "17"),
        CastRejected: CastRejected("fib", "a1", "rpc_queue.casts"),
        LetterNotFound: LetterNotFound("a1", "rpc_queue"),
        CastUnknown: CastUnknown("fib", "a1", "no confirm came within 5 s"),
        EventUnknown: EventUnknown("order.paid", "a1", "no confirm came within 5 s"),
        RequestTooLarge: RequestTooLarge(17_000_000, 16_711_680),
        MessageTooLarge: MessageTooLarge(17_000_000, 16_777_216),
        FunctionRaised: FunctionRaised(
            "price raised ValueError: no", data={"type": "ValueError", "message": "no", "traceback": TRACEBACK}
        ),
        WorkerLost: WorkerLost("the worker died", data={"exit_code": None, "signal": 9}),
        RetryLater: RetryLater(2.5),
        RemoteError: RemoteError("something else", code=-32050, data={"retry": [1, 2]}),
    }
    return [special.get(cls) or cls("a sentence") for cls in _tree(RpcError) if cls.__module__ == errors.__name__]


def _pickled(protocol: int) -> Callable[[RpcError], RpcError]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": _pickled(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("error", _one_of_each(), ids=lambda error: type(error).__name__)
def test_an_error_arrives_with_its_type_its_sentence_and_its_data(
    error: RpcError, way: Callable[[RpcError], RpcError]
) -> None:
    error.add_note("seen by the billing service")

    arrived = way(error)

    assert arrived is not error
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert repr(arrived) == repr(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)
    assert arrived.__notes__ == error.__notes__


def test_the_note_with_the_remote_traceback_is_there_once_after_a_journey() -> None:
    error = FunctionRaised("price raised ValueError: no", data={"traceback": TRACEBACK})

    arrived = pickle.loads(pickle.dumps(error))

    assert arrived.__notes__ == ["On the server:\n" + TRACEBACK.rstrip()]


def test_everything_that_is_raised_is_caught_at_the_root() -> None:
    exceptions = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)]
    assert exceptions != []
    assert [cls for cls in exceptions if not issubclass(cls, RpcError)] == []


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (RpcTimeout, TimeoutError),
        (ConnectionLost, ConnectionError),
        (errors.AuthenticationFailed, ConnectionError),
        (ConfigurationError, ValueError),
        (EncodingError, ValueError),
        (errors.DecodingError, ValueError),
        (errors.RegistrationError, TypeError),
    ],
)
def test_code_that_knows_only_the_builtin_exceptions_catches_ours(ours: type, builtin: type) -> None:
    assert issubclass(ours, builtin)


def test_a_timeout_names_method_seconds_and_call() -> None:
    error = RpcTimeout("fib", 2.0, "17")

    assert (error.method, error.timeout, error.call_id) == ("fib", 2.0, "17")
    assert str(error) == "no reply to 'fib' within 2 s (call 17)"
    assert error.args == ("fib", 2.0, "17")


def test_a_timeout_does_not_pretend_to_be_an_error_of_the_system() -> None:
    """It is an OSError by way of TimeoutError, and OSError reads its arguments as errno, strerror and filename."""
    error = RpcTimeout("fib", 2.0, "17")

    assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_no_server_says_what_was_found_and_what_to_do() -> None:
    error = NoServer("prices", "the queue does not exist")

    assert (error.queue, error.reason) == ("prices", "the queue does not exist")
    assert "'prices': the queue does not exist" in str(error)
    assert "rpcsvc serve --queue prices" in str(error)
    assert "wait_for_server=" in str(error)


def test_a_letter_that_is_not_there_is_named_with_its_queue() -> None:
    error = LetterNotFound("a1", "jobs")
    assert (error.letter_id, error.queue) == ("a1", "jobs")
    assert str(error) == "queue 'jobs' has no dead letter 'a1'; rpcsvc dead list shows those that it has"


def test_an_exchange_that_is_not_there_is_named() -> None:
    error = ExchangeNotFound("orders")
    assert error.exchange == "orders"
    assert str(error).startswith("there is no exchange 'orders'; whoever publishes there declares it first; ")


def test_a_registry_that_failed_shows_the_traceback_of_its_import() -> None:
    error = RegistryFailed("shop:registry", "ModuleNotFoundError: shop\n")

    assert (error.target, error.remote_traceback) == ("shop:registry", "ModuleNotFoundError: shop\n")
    assert "'shop:registry'" in str(error)
    assert str(error).endswith("\nModuleNotFoundError: shop\n")


# ---- what a server answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (-32700, ParseError),
        (-32600, InvalidRequest),
        (-32601, MethodNotFound),
        (-32602, InvalidParams),
        (-32603, InternalError),
        (-32000, FunctionRaised),
        (-32001, ResultNotEncodable),
        (-32002, WorkerLost),
    ],
)
def test_a_code_of_the_protocol_becomes_its_own_type(code: int, cls: type[RemoteError]) -> None:
    error = remote_error(code, "what happened", {"argument": "n"})

    assert type(error) is cls
    assert (error.code, error.message, error.data) == (code, "what happened", {"argument": "n"})
    assert cls("made here").code == code


def test_a_code_of_another_server_is_kept() -> None:
    error = remote_error(-32050, "quota used up")

    assert type(error) is RemoteError
    assert (error.code, str(error), error.data) == (-32050, "quota used up", {})


def test_data_that_is_no_object_is_kept_under_a_name() -> None:
    assert remote_error(-32603, "no", ["a", 1]).data == {"data": ["a", 1]}


def test_a_function_that_raised_shows_type_message_and_traceback() -> None:
    error = FunctionRaised("…", data={"type": "shop.Sold", "message": "too late", "traceback": TRACEBACK})

    assert (error.exception_type, error.exception_message) == ("shop.Sold", "too late")
    assert error.remote_traceback == TRACEBACK


@pytest.mark.parametrize("data", [{}, {"type": 1, "message": None, "traceback": [TRACEBACK]}])
def test_another_servers_idea_of_the_data_is_not_taken_for_ours(data: dict[str, object]) -> None:
    error = FunctionRaised("it raised", data=data)

    assert (error.exception_type, error.exception_message, error.remote_traceback) == ("", "", "")
    assert not hasattr(error, "__notes__")


def test_a_lost_worker_tells_exit_code_from_signal() -> None:
    killed = WorkerLost("lost", data={"exit_code": None, "signal": 9})
    ended = WorkerLost("lost", data={"exit_code": 3, "signal": None})

    assert (killed.exit_code, killed.signal_number) == (None, 9)
    assert (ended.exit_code, ended.signal_number) == (3, None)


def test_a_memory_limit_tells_what_was_allowed_and_what_was_taken() -> None:
    error = remote_error(-32006, "too much", {"limit": 2**20, "used": 2**21})
    assert isinstance(error, errors.MemoryLimitExceeded)
    assert (error.limit, error.used) == (2**20, 2**21)
    assert errors.MemoryLimitExceeded("too much").limit is None


def test_a_cancelled_call_has_an_error_of_its_own() -> None:
    assert type(remote_error(-32005, "cancelled")) is errors.CallCancelled


def test_what_is_too_large_says_both_sizes_and_is_no_error_of_the_system() -> None:
    request, message = RequestTooLarge(17_000_000, 16_711_680), MessageTooLarge(17_000_000, 16_777_216)

    assert (request.size, request.limit) == (17_000_000, 16_711_680)
    assert str(request) == "the request takes 17000000 bytes; at most 16711680 can be sent"
    assert (message.size, message.limit) == (17_000_000, 16_777_216)
    assert str(message) == "the broker takes messages of at most 16777216 bytes, and one had 17000000"
    assert (message.errno, message.strerror) == (None, None)
