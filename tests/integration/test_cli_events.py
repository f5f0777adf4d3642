"""`rpcsvc publish` and `rpcsvc events` from a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled


@pytest.fixture
def environ(broker: PrivateBroker) -> dict[str, str]:
    return {**os.environ, "RPCSVC_URL": broker.url}


@pytest.fixture
def word() -> str:
    """One that no other test has in its topics."""
    return uuid.uuid4().hex[:12]


def run(environ: dict[str, str], *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rpcsvc", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def hearing(environ: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    """`rpcsvc events`, when it hears."""
    command = [sys.executable, "-m", "rpcsvc", "events", *words]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("rpcsvc: hearing ")
        try:
            yield process
        finally:
            process.kill()


def test_what_is_published_is_printed_in_lines_for_people(environ: dict[str, str], word: str) -> None:
    with hearing(environ, f"{word}.#", "--count", "3") as process:
        assert run(environ, "publish", f"{word}.a", '{"id": 7}') == (ExitCode.OK, "", "")
        assert run(environ, "publish", f"{word}.b", "two words", "--header", "n=1") == (ExitCode.OK, "", "")
        assert run(environ, "publish", f"{word}.c", "--text", "--", "-7\n\x1b[31m")[0] == ExitCode.OK
        output, _ = process.communicate(timeout=scaled(20))
    assert process.returncode == ExitCode.OK
    lines = [line.split(" ", 3) for line in output.splitlines()]
    assert [line[2:] for line in lines] == [
        [f"{word}.a", '{"id":7}'],
        [f"{word}.b", "two words"],
        [f"{word}.c", "-7\\n\\x1b[31m"],
    ]


def test_lines_of_json_say_everything(environ: dict[str, str], word: str) -> None:
    with hearing(environ, word, "--json", "--count", "1") as process:
        assert run(environ, "publish", word, "[1]", "--id", "id-1", "--header", "source=shop")[0] == ExitCode.OK
        output, _ = process.communicate(timeout=scaled(20))
    event = json.loads(output)
    assert event.pop("time")[10] == "T"
    assert event == {
        "topic": word,
        "body": [1],
        "message_id": "id-1",
        "headers": {"source": "shop"},
        "missed": 0,
        "redelivered": False,
    }


def test_a_subscription_with_a_name_goes_on_until_it_is_deleted(environ: dict[str, str], word: str) -> None:
    assert run(environ, "events", word, "--name", word, "--timeout", "0.1")[0] == ExitCode.TIMED_OUT
    assert run(environ, "publish", word, "kept")[0] == ExitCode.OK
    code, output, _ = run(environ, "events", "--name", word, "--count", "1")
    assert (code, output.split()[-1]) == (ExitCode.OK, "kept")
    assert run(environ, "publish", word, "gone")[0] == ExitCode.OK
    assert run(environ, "events", "--name", word, "--delete") == (ExitCode.OK, "", "")
    assert run(environ, "events", word, "--name", word, "--timeout", "0.2")[:2] == (ExitCode.TIMED_OUT, "")
    assert run(environ, "events", "--name", word, "--delete")[0] == ExitCode.OK


def test_what_cannot_be_printed_is_not_lost(environ: dict[str, str], broker: PrivateBroker, word: str) -> None:
    """A reader that goes, as `head` does, ends it; the event that it did not read comes again."""
    with RpcClient(broker.url) as client:
        client.subscribe(word, name=word).close()
        with hearing(environ, "--name", word) as process:
            assert process.stdout is not None
            process.stdout.close()
            client.publish(word, "again")
            assert process.wait(scaled(20)) == ExitCode.NOT_PRINTED
        with client.subscribe(name=word) as events:
            assert events.get(timeout=scaled(10)).body == "again"
        client.unsubscribe(word)


def test_ctrl_c_ends_it(environ: dict[str, str], word: str) -> None:
    with hearing(environ, word) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(scaled(20)) == ExitCode.INTERRUPTED
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("publish",), ExitCode.USAGE, "rpcsvc publish TOPIC BODY"),
        (("publish", "a", "b", "c"), ExitCode.USAGE, "stands in quotes"),
        (("publish", "rpcsvc.x", "b"), ExitCode.USAGE, "what servers tell of themselves"),
        (("publish", "a", "b", "--header", "x"), ExitCode.USAGE, "NAME=VALUE"),
        (("publish", "a", "b", "--exchange", "nowhere"), ExitCode.FAILED, "no exchange 'nowhere'"),
        (("publish", "a", "b", "--url", "amqp://127.0.0.1:1"), ExitCode.NO_BROKER, "127.0.0.1:1"),
        (("events", "a*"), ExitCode.USAGE, "stand for whole words"),
        (("events", "--delete"), ExitCode.USAGE, "--name NAME"),
        (("events", "--limit", "0"), ExitCode.USAGE, "--limit must be a whole number of at least 1"),
    ],
)
def test_what_is_wrong_is_a_sentence(environ: dict[str, str], words: tuple[str, ...], code: int, sentence: str) -> None:
    result, output, errors = run(environ, *words)
    assert (result, output) == (code, "")
    assert sentence in errors
    assert "Traceback" not in errors
