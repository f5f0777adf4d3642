"""`rpcsvc call` from a shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.processes import ServerProcess

from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode


@pytest.fixture
def call(broker: PrivateBroker, server: ServerProcess) -> object:
    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "rpcsvc", "call", *words],
            env={**os.environ, "RPCSVC_URL": broker.url},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_result_goes_to_standard_output_alone(call) -> None:
    assert call("fib", "30") == (ExitCode.OK, "832040\n", "")
    assert call("fib", "n=30") == (ExitCode.OK, "832040\n", "")
    assert call("echo", "plain text") == (ExitCode.OK, "plain text\n", "")
    assert call("echo", '{"a": [1, null]}') == (ExitCode.OK, '{"a":[1,null]}\n', "")


def test_a_huge_integer_is_printed_in_digits(call) -> None:
    code, output, _ = call("fib", "100000")
    assert code == ExitCode.OK
    assert len(output.strip()) == 20899


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("nope",), ExitCode.USAGE, "no function 'nope'"),
        (("fib", "x"), ExitCode.USAGE, "must be int"),
        (("fib", "30", "--timeout", "0"), ExitCode.USAGE, "timeout must be above 0"),
        (("raise_error", "oh"), ExitCode.FAILED, "LookupError: oh"),
        (("sleep", "5", "--timeout", "0.2"), ExitCode.TIMED_OUT, "within 0.2 s"),
        (("exit_hard", "3"), ExitCode.WORKER_LOST, "exit code 3"),
        (("fib", "30", "--queue", "nobody-here"), ExitCode.NO_SERVER, "nobody-here"),
        (("fib", "30", "--url", "amqp://127.0.0.1:1"), ExitCode.NO_BROKER, "127.0.0.1:1"),
        (("fib", "30", "--url", "http://x:s3cr3t@h"), ExitCode.USAGE, "amqp://"),
    ],
)
def test_each_failure_has_its_exit_code_and_sentence(call, words, code, sentence) -> None:
    result, output, errors = call(*words)
    assert result == code
    assert output == ""
    assert sentence in errors
    assert "s3cr3t" not in errors
    assert 'File "' not in errors or words[0] == "raise_error"
