"""Exit codes: which error ends the command with which number."""

from __future__ import annotations

import pytest

from rpcsvc import cli, errors
from rpcsvc.cli.exits import ExitCode, exit_code
from rpcsvc.errors import RpcError


def _errors() -> list[type[RpcError]]:
    return [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RpcError)]


def _made(cls: type[RpcError]) -> RpcError:
    match cls.__name__:
        case "RegistryFailed" | "NoServer" | "LetterNotFound":
            return cls("shop", "why")
        case "RpcTimeout":
            return cls("fib", 2.0, "7")
        case "RetryLater":
            return cls(60.0)
        case "CastRejected" | "CastUnknown" | "EventUnknown":
            return cls("fib", "a1", "why")
        case "RequestTooLarge" | "MessageTooLarge":
            return cls(17, 16)
        case _:
            return cls("why")


NUMBERS = {
    "ConfigurationError": 2,
    "EncodingError": 2,
    "RequestTooLarge": 2,
    "MethodNotFound": 2,
    "InvalidParams": 2,
    "RegistryFailed": 4,
    "PoolFailed": 5,
    "ConnectionFailed": 6,
    "AuthenticationFailed": 6,
    "AccessRefused": 6,
    "TlsFailed": 6,
    "ConnectionLost": 6,
    "MessageTooLarge": 6,
    "QueueLocked": 6,
    "QueueMismatch": 6,
    "BrokerError": 6,
    "BrokerNotInstalled": 6,
    "BrokerStartFailed": 6,
    "NoServer": 7,
    "RpcTimeout": 8,
    "WorkerLost": 9,
    "CastUnknown": 8,
    "EventUnknown": 8,
    "CastRejected": 11,
}


@pytest.mark.parametrize("cls", _errors(), ids=lambda cls: cls.__name__)
def test_an_error_has_its_own_number_or_is_a_plain_failure(cls: type[RpcError]) -> None:
    assert exit_code(_made(cls)) == NUMBERS.get(cls.__name__, 1)


def test_numbers_do_not_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_RUNNING": 3,
        "REGISTRY_FAILED": 4,
        "POOL_FAILED": 5,
        "NO_BROKER": 6,
        "NO_SERVER": 7,
        "TIMED_OUT": 8,
        "WORKER_LOST": 9,
        "NOT_PRINTED": 10,
        "REFUSED": 11,
        "INTERRUPTED": 130,
    }


def test_an_error_of_ours_is_one_sentence_and_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["call", "--url", "http://ann:secret@mq", "fib", "30"])

    out, err = capsys.readouterr()
    assert code == ExitCode.USAGE
    assert out == ""
    assert err.startswith("rpcsvc: --url: the broker's URL begins with 'http:'")
    assert "Traceback" not in err
    assert "secret" not in err


def test_a_time_out_that_cannot_be_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["call", "--timeout", "0", "fib", "30"])
    assert caught.value.code == ExitCode.USAGE
    assert "timeout must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["launch"], ["call"]])
def test_a_command_that_is_none_ends_with_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)

    assert caught.value.code == ExitCode.USAGE
    assert "usage: rpcsvc" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("rpcsvc ")
