"""Functions that raise: each exception, however hostile, becomes an answer, and the worker goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from calling import error_of, raising, request_body, serving

from rpcsvc.errors import (
    EncodingError,
    FunctionRaised,
    InternalError,
    InvalidParams,
    MethodNotFound,
    RemoteError,
    ResultNotEncodable,
)
from rpcsvc.wire.jsonrpc import MAX_ERROR_TEXT, decode_response
from rpcsvc.workers.inside.dispatch import Rules, dispatch
from rpcsvc.workers.inside.exceptions import MAX_TRACEBACK

# ---- functions that raise ---------------------------------------------------------------------------------------


class SoldOut(Exception):
    """Raised by the functions below."""


def test_an_exception_reaches_the_caller_with_type_message_and_traceback() -> None:
    def f(item: str) -> None:
        raise SoldOut(f"no more {item}")

    error = error_of(serving(f), "books")

    assert isinstance(error, FunctionRaised)
    assert str(error) == f"f raised {__name__}.SoldOut: no more books"
    assert (error.exception_type, error.exception_message) == (f"{__name__}.SoldOut", "no more books")
    lines = error.remote_traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]  # the function comes first; how the worker called it is nobody's business
    assert lines[-1] == f"{__name__}.SoldOut: no more books"


def test_an_exception_without_a_message_is_told_by_its_type() -> None:
    error = error_of(raising(ValueError()))

    assert str(error) == "f raised ValueError"
    assert isinstance(error, FunctionRaised)
    assert error.exception_message == ""


def test_causes_are_part_of_the_traceback() -> None:
    def f() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise SoldOut("outer") from error

    error = error_of(serving(f))

    assert isinstance(error, FunctionRaised)
    assert "KeyError: 'inner'" in error.remote_traceback
    assert "direct cause" in error.remote_traceback


def test_a_server_may_keep_its_tracebacks_to_itself() -> None:
    body = dispatch(raising(SoldOut("no")), request_body("7", "f", [], {}), Rules(send_tracebacks=False)) or b""

    assert __file__.encode() not in body
    assert orjson.loads(body)["error"]["data"] == {"type": f"{__name__}.SoldOut", "message": "no"}


def test_of_a_long_traceback_the_end_travels() -> None:
    def f() -> None:
        raise SoldOut("the last word") from ValueError("x" * 50_000)

    error = error_of(serving(f))

    assert isinstance(error, FunctionRaised)
    assert error.remote_traceback.startswith("[…]\n")
    assert len(error.remote_traceback) == MAX_TRACEBACK + len("[…]\n")
    assert error.remote_traceback.endswith("SoldOut: the last word\n")


def test_a_message_without_end_is_cut() -> None:
    body = dispatch(raising(SoldOut("x" * 10**7)), request_body("7", "f", [], {})) or b""

    assert len(body) < 10 * MAX_ERROR_TEXT
    with pytest.raises(FunctionRaised) as caught:
        decode_response(body)
    assert len(caught.value.message) == MAX_ERROR_TEXT + len("[…]")
    assert caught.value.message.endswith("xxx[…]")


def _recursive(n: int = 0) -> int:
    return _recursive(n + 1) + 1


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda: sys.exit(3), "SystemExit"),
        (lambda: (_ for _ in ()).throw(KeyboardInterrupt), "KeyboardInterrupt"),
        (lambda: (_ for _ in ()).throw(GeneratorExit), "GeneratorExit"),
        (lambda: bytearray(2**62), "MemoryError"),
        (_recursive, "RecursionError"),
        (lambda: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_whatever_is_raised_the_worker_answers_and_goes_on(function: Callable[..., Any], kind: str) -> None:
    registry = serving(function, check=False)

    error = error_of(registry)

    assert isinstance(error, FunctionRaised)
    assert error.exception_type == kind
    assert decode_response(dispatch(registry, request_body("7", "rpc.ping", [], {})) or b"") == "pong"


@pytest.mark.parametrize("error", [InvalidParams("mine"), EncodingError("mine"), MethodNotFound("mine")])
def test_a_function_that_raises_one_of_our_errors_has_raised_it_itself(error: Exception) -> None:
    """Else a caller would take it for an answer of the server, `nothing has run` included."""
    answer = error_of(raising(error))

    assert isinstance(answer, FunctionRaised)
    assert answer.exception_type == f"rpcsvc.errors.{type(error).__name__}"


# ---- exceptions that fight back ---------------------------------------------------------------------------------


class _Strange(str):
    """Text that does as it likes; `str()` gives it back as it is when a `__str__` returns it."""

    def __format__(self, spec: str) -> str:
        raise SystemExit("format")

    def __len__(self) -> int:
        raise SystemExit("len")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("eq")

    __hash__ = None  # type: ignore[assignment]

    def encode(self, *_: Any) -> bytes:
        return b"\xff"


class _Secretive(type):
    """A metaclass whose classes have no name to tell."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__name__", "__qualname__"):
            raise SystemExit(name)
        return super().__getattribute__(name)


class _Namesake(type):
    """A metaclass whose classes tell strange names."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__name__", "__qualname__"):
            return _Strange("builtins")
        return super().__getattribute__(name)


def _hostile(kind: str) -> BaseException:
    """Made in here, because pytest looks at what a module holds and would stumble over it too."""

    class RaisesInStr(Exception):
        def __str__(self) -> str:
            raise SystemExit("str")

    class RaisesItself(Exception):
        def __str__(self) -> str:
            raise self

    class ReturnsNoText(Exception):
        def __str__(self) -> str:
            return 5  # type: ignore[return-value] # noqa: PLE0307 - that is the point

    class ReturnsStrangeText(Exception):
        def __str__(self) -> str:
            return _Strange("strange")

    class HasNoName(Exception, metaclass=_Secretive):
        pass

    class HasStrangeNames(Exception, metaclass=_Namesake):
        pass

    class HidesItsTraceback(Exception):
        @property
        def __traceback__(self) -> Any:
            raise SystemExit("traceback")

    class HidesItsCause(Exception):
        @property
        def __cause__(self) -> Any:
            raise SystemExit("cause")

    class HasSurrogates(Exception):
        def __str__(self) -> str:
            return "caf\udce9"

    class HasNoModule(Exception):
        __module__ = None  # type: ignore[assignment]

    class HasABadModule(Exception):
        __module__ = "shop\udfff"

    error: BaseException = locals()[kind]("why")
    return error


HOSTILE = [
    "RaisesInStr",
    "RaisesItself",
    "ReturnsNoText",
    "ReturnsStrangeText",
    "HasNoName",
    "HasStrangeNames",
    "HidesItsTraceback",
    "HidesItsCause",
    "HasSurrogates",
    "HasNoModule",
    "HasABadModule",
]


def _outcome(function: Callable[..., Any], rules: Rules | None = None) -> RemoteError:
    """The error that the caller gets; a failure of dispatch is told without the exception, which pytest cannot show."""
    body = None
    try:
        body = dispatch(serving(function), request_body("7", "f", [], {}), rules or Rules())
    except BaseException:
        escaped = True
    else:
        escaped = False
    assert not escaped
    with pytest.raises(RemoteError) as caught:
        decode_response(body or b"")
    return caught.value


def _raiser(kind: str) -> Callable[[], None]:
    def f() -> None:
        raise _hostile(kind)

    return f


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("send_tracebacks", [True, False])
def test_no_exception_of_a_function_stops_the_worker_from_answering(kind: str, send_tracebacks: bool) -> None:
    answer = _outcome(_raiser(kind), Rules(send_tracebacks=send_tracebacks))

    assert isinstance(answer, FunctionRaised)
    assert answer.message.startswith("f raised ")
    assert answer.exception_type != ""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ReturnsStrangeText", "ReturnsStrangeText: strange"),
        ("HasSurrogates", "HasSurrogates: caf\\udce9"),
        ("RaisesInStr", "RaisesInStr: <its __str__ raised>"),
        ("HasNoModule", "f raised None._hostile"),
        ("HasABadModule", "f raised shop\\udfff._hostile"),
        ("HasNoName", "f raised <an exception without a name>: why"),
        ("HasStrangeNames", "f raised builtins: why"),
    ],
)
def test_what_an_exception_says_of_itself_is_passed_on_as_far_as_it_can_be(kind: str, said: str) -> None:
    assert said in str(_outcome(_raiser(kind)))


def test_no_result_of_a_function_stops_the_worker_from_answering() -> None:
    class HasNoName(metaclass=_Secretive):
        pass

    class HidesItsClass:
        @property
        def __class__(self) -> Any:
            raise _hostile("HasNoName")

        @__class__.setter
        def __class__(self, _: Any) -> None: ...

    for function in (HasNoName, HidesItsClass):
        assert isinstance(_outcome(lambda function=function: function()), ResultNotEncodable | InternalError)
