"""`rpcsvc dead` from a shell."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pika
import pytest
from support.queues_of_casts import CastQueue, cast_queue

from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled
from rpcsvc.wire.letters import letter_headers


@pytest.fixture
def casts(broker: PrivateBroker, queue: str) -> Iterator[CastQueue]:
    with cast_queue(broker.url, queue) as casts:
        casts.channel.confirm_delivery()
        yield casts


def dead(broker: PrivateBroker, queue: str, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rpcsvc", "dead", *words, *(["--queue", queue] if words else [])],
        env={**os.environ, "RPCSVC_URL": broker.url},
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def die(casts: CastQueue, name: str, *, message: str = "f raised ValueError: no", body: bytes = b"") -> None:
    headers = letter_headers(
        {"tenant": "acme", "when": [1]},
        error={"code": -32000, "message": message, "data": {"type": "ValueError", "traceback": "Trace\n  back\n"}},
        attempts=5,
        first_published=1_700_000_000_000,
        died=1_700_000_060_000,
        host="node3",
        came_from=casts.name,
    )
    body = body or b'{"jsonrpc":"2.0","method":"f","params":[1]}'
    said = pika.BasicProperties(headers=headers, message_id=name, delivery_mode=2)
    casts.channel.basic_publish("", casts.name.replace(".casts", ".dead"), body, said)


def test_letters_are_a_table_that_cannot_speak_to_a_terminal(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    assert dead(broker, queue, "list") == (ExitCode.OK, "", f"rpcsvc: no dead letters of {queue!r}\n")
    die(casts, "a1", message="oh\x1b[31m\nno")
    code, output, errors = dead(broker, queue, "list")
    assert (code, errors) == (ExitCode.OK, "")
    heads, row = output.splitlines()
    assert heads.split() == ["ID", "METHOD", "ATTEMPTS", "DIED", "HOST", "ERROR"]
    assert row.split()[:3] == ["a1", "f", "5"]
    assert row.endswith("node3  ValueError: oh\\x1b[31m\\nno")
    assert heads.index("HOST") == row.index("node3")


def test_one_letter_is_shown_with_its_traceback_and_its_body(
    broker: PrivateBroker, queue: str, casts: CastQueue
) -> None:
    die(casts, "a1")
    code, output, _ = dead(broker, queue, "show", "a1")
    assert code == ExitCode.OK
    assert 'body:\n  {"jsonrpc":"2.0","method":"f","params":[1]}\n' in output
    assert "traceback:\n  Trace\n    back\n" in output
    assert f"came from:       {casts.name}\n" in output


def test_programs_get_letters_as_lines_of_json(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    die(casts, "a1")
    die(casts, "a2", body=b"\xff\0")
    _, output, _ = dead(broker, queue, "list", "--json")
    letters = {letter["id"]: letter for letter in map(json.loads, output.splitlines())}
    first, second = letters["a1"], letters["a2"]
    assert (first["error_type"], first["attempts"], first["died"]) == ("ValueError", 5, 1_700_000_060_000)
    assert first["headers"] == {"tenant": "acme", "when": "[1]"}
    assert json.loads(first["body"])["method"] == "f"
    assert base64.b64decode(second["body_base64"]) == b"\xff\0"
    assert json.loads(dead(broker, queue, "show", "a1", "--json")[1]) == first


def test_letters_are_requeued_and_dropped(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    for name in ("a1", "a2", "a3", "a4"):
        die(casts, name)
    assert dead(broker, queue, "requeue", "a1") == (ExitCode.OK, "", "")
    assert dead(broker, queue, "drop", "a2") == (ExitCode.OK, "", "")
    assert dead(broker, queue, "requeue", "--all") == (ExitCode.OK, "2 requeued\n", "")
    assert dead(broker, queue, "drop", "--all") == (ExitCode.OK, "0 dropped\n", "")
    assert [said.message_id for said, _ in casts.take(3)] == ["a1", "a3", "a4"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), ExitCode.USAGE, "say what to do with dead letters"),
        (("show",), ExitCode.USAGE, "say which letter: rpcsvc dead show ID"),
        (("requeue",), ExitCode.USAGE, "rpcsvc dead requeue ID, or rpcsvc dead requeue --all"),
        (("drop", "a1", "--all"), ExitCode.USAGE, "say which letters"),
        (("drop", "a1"), ExitCode.FAILED, "has no dead letter 'a1'"),
    ],
)
def test_each_failure_has_its_exit_code_and_sentence(
    broker: PrivateBroker, queue: str, casts: CastQueue, words: tuple[str, ...], code: ExitCode, sentence: str
) -> None:
    ended, output, errors = dead(broker, queue, *words)
    assert (ended, output) == (code, "")
    assert sentence in errors


def test_a_queue_without_letters_is_said(broker: PrivateBroker, queue: str) -> None:
    code, output, errors = dead(broker, queue, "list")
    assert (code, output) == (ExitCode.NO_SERVER, "")
    assert "no queue for dead letters" in errors
