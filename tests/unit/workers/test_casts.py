"""A cast in its worker: what is done, what is reported, and when it is to be tried again."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rpcsvc import CurrentCall, Registry, Retry, RetryLater, current_call
from rpcsvc.errors import CallCancelled
from rpcsvc.wire.jsonrpc import encode_params
from rpcsvc.workers.inside import exceptions
from rpcsvc.workers.inside.casts import perform
from rpcsvc.workers.inside.context import running
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.inside.exceptions import NoMemory, SoftLimit, StopCall, Stray
from rpcsvc.workers.job import Context, Report

CAST = Context(kind="cast", message_id="m-1")


def notification(method: str, /, *args: Any, **kwargs: Any) -> bytes:
    params = encode_params(args, kwargs)
    assert isinstance(params, bytes)
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (method.encode(), params)


def raising(error: BaseException, **options: Any) -> Registry:
    registry = Registry()

    def f() -> None:
        raise error

    registry.add(f, **options)
    return registry


def report(registry: Registry, body: bytes, context: Context = CAST, rules: Rules | None = None) -> Report:
    told = Report.read(perform(registry, body, context, rules or Rules()))
    assert current_call() is None
    assert running.context is None
    return told


def code(told: Report) -> int | None:
    return None if told.error is None else told.error["code"]


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def registry(seen: list[Any]) -> Registry:
    registry = Registry(default="keep")

    @registry.function
    def keep(value: str | bytes) -> object:
        seen.append(value)
        return object()  # nobody wants it

    @registry.function
    def resize(path: str, width: int = 1) -> None:
        seen.append((path, width))

    return registry


# ---- what is done


@pytest.mark.parametrize("more", [b"", b',"id":"7"', b',"id":null'])
def test_a_notification_is_done_and_a_request_likewise(registry: Registry, seen: list[Any], more: bytes) -> None:
    body = notification("resize", "a.png", width=3)[:-1] + more + b"}"
    assert report(registry, body) == Report()
    assert seen == [("a.png", 3)]


@pytest.mark.parametrize("method", ["rpc.ping", "rpc.discover"])
def test_the_protocols_own_methods_are_done_though_nobody_hears_of_it(registry: Registry, method: str) -> None:
    assert report(registry, notification(method)) == Report()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"30", -32600),
        (b"[]", -32600),
        (b"{}", -32600),
        (b"[" + notification("keep", "a") + b"]", -32600),
        (notification("rpc.map", method="keep", rows=[["a"]]), -32600),
        (notification("crop"), -32601),
        (notification("resize"), -32602),
        (notification("resize", 1), -32602),
    ],
)
def test_what_is_no_cast_is_reported_and_not_tried_again(
    registry: Registry, seen: list[Any], body: bytes, expected: int
) -> None:
    told = report(registry, body)
    assert (code(told), told.retry_in, seen) == (expected, None, [])


def test_a_fault_of_ours_is_reported_as_one(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "get", lambda _: 1 / 0)
    assert code(report(registry, notification("keep", "a"))) == -32603


# ---- bare bodies


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ("안녕하세요 ....".encode(), "안녕하세요 ...."),
        (b"30", "30"),
        (b'"quoted"', '"quoted"'),
        (b'{"a": 1}', '{"a": 1}'),
        (b"[1, 2", "[1, 2"),
        (b"", ""),
        (b"\xff\xfe", b"\xff\xfe"),
    ],
)
def test_a_bare_body_is_for_the_default_function_as_it_came(
    registry: Registry, seen: list[Any], body: bytes, given: str | bytes
) -> None:
    assert report(registry, body, Context(kind="cast", bare=True)) == Report()
    assert seen == [given]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (notification("resize", "a.png"), None),
        (b'{"jsonrpc": "2.0"}', -32600),
        (b'{"jsonrpc": "1.0", "method": "resize"}', -32600),
        (notification("rpc.map", method="keep", rows=[["a"]]), -32600),
    ],
)
def test_a_json_rpc_object_is_that_also_where_bare_bodies_may_come(
    registry: Registry, body: bytes, expected: int | None
) -> None:
    assert code(report(registry, body, Context(kind="cast", bare=True))) == expected


def test_a_bare_body_without_a_default_function_says_what_to_do() -> None:
    told = report(raising(ValueError()), b"hello", Context(kind="cast", bare=True))
    assert told.error is not None
    assert (told.error["code"], "Registry(default=NAME)" in told.error["message"]) == (-32600, True)


# ---- what raises


def test_an_exception_is_reported_with_its_traceback_or_without(caplog: pytest.LogCaptureFixture) -> None:
    registry = raising(ValueError("no"))
    with caplog.at_level(logging.INFO):
        told = report(registry, notification("f"))
    assert told.error is not None
    assert told.error["message"] == "f raised ValueError: no"
    assert "in f" in told.error["data"]["traceback"]
    assert "cast m-1 of f failed: f raised ValueError: no" in caplog.text
    hidden = report(registry, notification("f"), rules=Rules(send_tracebacks=False))
    assert hidden.error is not None
    assert hidden.error["data"].keys() == {"type", "message"}


@pytest.mark.parametrize(
    ("error", "options", "attempt", "expected"),
    [
        (ValueError(), {}, 1, None),
        (ValueError(), {"retry": Retry()}, 1, 1.0),
        (ValueError(), {"retry": Retry()}, 3, 4.0),
        (ValueError(), {"retry": Retry()}, 5, None),
        (ValueError(), {"retry": Retry(on=OSError)}, 1, None),
        (SystemExit(), {"retry": Retry()}, 1, None),
        (RetryLater(60), {}, 1, 60),
        (RetryLater(60), {}, 20, None),
        (RetryLater(60), {"idempotent": False}, 1, 60),
        (RetryLater(60), {"retry": Retry(2, on=OSError)}, 1, 60),
        (RetryLater(60), {"retry": Retry(2)}, 2, None),
        (SoftLimit("long"), {}, 1, 1.0),
        (NoMemory("much"), {}, 2, 2.0),
        (SoftLimit("long"), {}, 3, None),
        (SoftLimit("long"), {"retry": Retry(9, on=OSError)}, 5, 16.0),
        (SoftLimit("long"), {"idempotent": False}, 1, None),
    ],
)
def test_it_is_tried_again_while_there_are_attempts_left(
    error: BaseException, options: dict[str, Any], attempt: int, expected: float | None
) -> None:
    told = report(raising(error, **options), notification("f"), Context(kind="cast", attempt=attempt))
    assert told.error is not None
    assert told.retry_in == expected


class WorseThanLater(RetryLater):
    def __init__(self) -> None:
        pass


def test_later_without_a_time_is_never() -> None:
    told = report(raising(WorseThanLater()), notification("f"))
    assert (code(told), told.retry_in) == (-32000, None)


def test_a_cast_that_is_stopped_reports_nothing() -> None:
    with pytest.raises(CallCancelled):
        perform(raising(StopCall("stop")), notification("f"), CAST, Rules())
    assert (running.asked, running.context) == (None, None)


@pytest.mark.parametrize("ends", ["returns", "raises", "checks"])
def test_a_child_that_a_function_has_forked_reports_nothing(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()

    @registry.function
    def f(_: int = 0) -> None:
        monkeypatch.setattr(exceptions, "strayed", True)
        if ends == "raises":
            raise ValueError

    if ends == "checks":
        monkeypatch.setattr(exceptions, "strayed", True)
    with pytest.raises(Stray):
        perform(registry, notification("f", *["x"] * (ends == "checks")), CAST, Rules())


# ---- what a function is told


def test_a_function_is_told_what_it_does() -> None:
    registry, told = Registry(), list[CurrentCall | None]()

    @registry.function
    def f() -> None:
        told.append(current_call())

    headers = {"tenant": "blue"}
    context = Context(kind="cast", message_id="m", attempt=2, first_published=1_700_000_000_500, headers=headers)
    report(registry, notification("f"), context)
    assert told == [
        CurrentCall(
            kind="cast", method="f", message_id="m", attempt=2, first_published=1_700_000_000.5, headers=headers
        )
    ]
