"""`rpcsvc cast` from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from support.queues_of_casts import cast_queue

from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled


def cast(broker: PrivateBroker, *words: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rpcsvc", "cast", *words],
        env={**os.environ, "RPCSVC_URL": broker.url, **environ},
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_prints_the_id_when_the_broker_has_the_cast(broker: PrivateBroker, queue: str) -> None:
    with cast_queue(broker.url, queue) as casts:
        code, output, errors = cast(broker, "--queue", queue, "resize", "a.png", "width=200", "--priority", "7")
        ((said, request),) = casts.take()
    assert (code, errors) == (ExitCode.OK, "")
    assert output == f"{said.message_id}\n"
    assert uuid.UUID(said.message_id)
    assert (said.priority, request["params"]) == (7, {"*": ["a.png"], "width": 200})


def test_it_may_wait_and_have_an_id_of_its_own(broker: PrivateBroker, queue: str) -> None:
    with cast_queue(broker.url, queue) as casts:
        asked = ("--queue", queue, "f", "--delay", "1", "--id", "주문-17")
        assert cast(broker, *asked, PYTHONIOENCODING="utf-8") == (ExitCode.OK, "주문-17\n", "")
        assert cast(broker, *asked, PYTHONIOENCODING="ascii") == (ExitCode.OK, "\\uc8fc\\ubb38-17\n", "")
        assert [said.message_id for said, _ in casts.take(2)] == ["주문-17"] * 2


def test_what_is_full_has_a_code_of_its_own(broker: PrivateBroker, queue: str) -> None:
    with cast_queue(broker.url, queue, queue_type="classic", max_length=1):
        codes = [cast(broker, "--queue", queue, "f")[0] for _ in range(3)]
    assert codes[0] == ExitCode.OK
    assert codes[-1] == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), ExitCode.USAGE, "say which function is to run"),
        (("f", "--queue", "nobody-was-here"), ExitCode.NO_SERVER, "no queue for casts, 'nobody-was-here.casts'"),
        (("f", "--queue", "nobody-was-here"), ExitCode.NO_SERVER, "in this command: --wait-for-server"),
        (("f", "--delay", "-1"), ExitCode.USAGE, "--delay must be above 0"),
        (("f", "--delay", "1e9"), ExitCode.USAGE, "delay"),
        (("f", "--delay", "5", "--expires", "9"), ExitCode.USAGE, "leave out one of them"),
        (("f", "--priority", "256"), ExitCode.USAGE, "--priority"),
        (("f", "--url", "amqp://127.0.0.1:1"), ExitCode.NO_BROKER, "127.0.0.1:1"),
    ],
)
def test_each_failure_has_its_exit_code_and_sentence(
    broker: PrivateBroker, words: tuple[str, ...], code: ExitCode, sentence: str
) -> None:
    ended, output, errors = cast(broker, *words)
    assert (ended, output) == (code, "")
    assert sentence in errors
    assert "Traceback" not in errors
