"""A canary: a password that is known when it is seen, used everywhere, and looked for in everything that can be read.

CANARY stands in it between characters that need quoting in a URL, so it is found however it is written.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.ctl import RabbitCtl
from support.processes import REGISTRY, wait_until

from rpcsvc import (
    AccessRefused,
    AsyncRpcClient,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    FunctionRaised,
    NoServer,
    RpcClient,
    RpcError,
    RpcServer,
    TlsFailed,
    errors,
)
from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port
from rpcsvc.settings import BrokerUrl, find_urls

HERE = Path(__file__).parent
CANARY = "kanarienvogel"
PASSWORD = f"p/@:%?#&+ {CANARY} ;,é"


@pytest.fixture(scope="module")
def vhost(broker: PrivateBroker) -> Iterator[str]:
    """A virtual host, and a user "ann" there whose password has the canary in it, and what needs quoting."""
    ctl, vhost = RabbitCtl(broker), f"test-{uuid.uuid4().hex[:12]}"
    with ctl.vhost(vhost):
        ctl.add_user("ann", PASSWORD)
        ctl.permit("ann", ".*", ".*", ".*", vhost=vhost)
        yield vhost
        ctl.delete_user("ann")


@pytest.fixture(scope="module")
def url(broker: PrivateBroker, vhost: str) -> str:
    return replace(BrokerUrl.parse(broker.url), user="ann", password=PASSWORD, vhost=vhost).reveal()


class Program:
    """A process of ours; what it prints goes to a file."""

    def __init__(self, *words: str, url: str | None = None, given: str = "") -> None:
        environ = {name: value for name, value in os.environ.items() if name != "RPCSVC_URL"}
        self._printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed at the end
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=HERE,
            env=environ if url is None else {**environ, "RPCSVC_URL": url},
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._printed,
            text=True,
        )
        assert self.process.stdin is not None
        with self.process.stdin as typed:
            typed.write(given)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._printed.close()

    @property
    def output(self) -> str:
        return os.pread(self._printed.fileno(), 10_000_000, 0).decode()

    def says(self, text: str) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, within=40)
        assert text in self.output

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def ended(self) -> tuple[int, str]:
        return self.process.wait(60), self.output


def rpcsvc(*words: str, url: str | None = None) -> Program:
    return Program("-m", "rpcsvc", *words, url=url)


def command_lines() -> list[str]:
    """Of every process that can be seen."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def no_canary(*texts: str, canary: str = CANARY) -> None:
    for text in texts:
        place = text.find(canary)
        assert place < 0, f"the password is shown: …{text[max(0, place - 200) : place + 200]}…"


# ---- processes: what they print, log, and were started with


@pytest.fixture(scope="module")
def pool(url: str) -> Iterator[Program]:
    """A server that says all it can."""
    with rpcsvc("-vv", "serve", REGISTRY, "--workers", "2", url=url) as server:
        server.says("ready:")
        yield server


def test_a_server_says_nothing_of_it_in_all_its_life(
    broker: PrivateBroker, vhost: str, url: str, pool: Program
) -> None:
    ctl = RabbitCtl(broker)
    with RpcClient(url, timeout=30, wait_for_server=20) as client:
        assert client.call("fib", 30) == 832040
        with pytest.raises(RpcError):
            client.call("kill_myself", int(signal.SIGKILL))
        ctl.close_all_connections(vhost)
        wait_until(lambda: "reconnecting" in pool.output)
        assert client.call("fib", 30) == 832040
        no_canary(json.dumps(client.call("rpc.discover")))
        connections = ctl("list_connections", "name", "user", "client_properties")
        assert "rpcsvc server" in connections
        no_canary(connections, ctl("list_consumers", "-p", vhost))

    assert "ann:***@" in pool.output
    assert "pika" in pool.output or "AMQP stack" in pool.output, "pika speaks too"
    no_canary(pool.output, *command_lines())


@pytest.mark.parametrize("fault", ["password", "vhost", "port", "registry"])
def test_a_server_that_cannot_start_says_nothing_of_it(url: str, fault: str) -> None:
    right = BrokerUrl.parse(url)
    wrong = {
        "password": replace(right, password=f"wrong {CANARY}"),
        "vhost": replace(right, vhost="nowhere"),
        "port": replace(right, port=random_free_port()),
        "registry": right,
    }
    registry = "broken:registry" if fault == "registry" else REGISTRY
    with rpcsvc(
        "-vv", "serve", registry, "--workers", "1", "--connect-timeout", "2", url=wrong[fault].reveal()
    ) as server:
        code, output = server.ended()
    assert code in (4, 6)
    no_canary(output)


@pytest.mark.parametrize("words", [("fib", "30"), ("raise_error", "oh"), ("nowhere",)])
def test_a_call_from_a_shell_says_nothing_of_it(url: str, pool: Program, words: tuple[str, ...]) -> None:
    with rpcsvc("-vv", "call", *words, url=url) as call:
        no_canary(call.ended()[1])


def test_a_password_on_a_command_line_is_warned_of_once_and_not_repeated(url: str, pool: Program) -> None:
    with rpcsvc("call", "--url", url, "fib", "30") as call:
        code, output = call.ended()
    assert code == 0
    assert output.count("can be seen by every user of this machine") == 1
    no_canary(output)


def test_what_holds_no_secret_is_not_warned_of() -> None:
    with rpcsvc("call", "--url", f"amqp://127.0.0.1:{random_free_port()}", "fib", "30") as call:
        assert "can be seen" not in call.ended()[1]


def test_the_benchmark_says_nothing_of_it(url: str, pool: Program, tmp_path: Path) -> None:
    files = [tmp_path / "out.json", tmp_path / "out.html"]
    words = ["--serve", "1", "--clients", "2", "--warm-up", "0.1", "--duration", "0.5"]
    words += ["--json", str(files[0]), "--report", str(files[1])]
    with rpcsvc("-vv", "bench", "fib", "10", *words, url=url) as bench:
        seen: set[str] = set()
        while bench.process.poll() is None:
            seen.update(command_lines())
            time.sleep(0.1)
        code, output = bench.ended()

    assert code == 0, output
    assert any("rpcsvc.bench.client" in line for line in seen), "the clients were seen"
    no_canary(output, *seen, *(path.read_text("utf-8") for path in files))


def test_the_private_broker_and_its_command_say_nothing_of_it(broker: PrivateBroker) -> None:
    with rpcsvc("-vv", "broker", "status", "--dir", str(broker.folder)) as status:
        code, output = status.ended()
    logs = [path.read_text(errors="replace") for path in broker.status().log.parent.iterdir()]

    assert code == 0
    assert "rpcsvc:***@" in output
    own = BrokerUrl.parse(broker.url).password
    assert own
    no_canary(output, repr(broker), repr(broker.status()), *logs, *command_lines(), canary=own)


def test_a_url_that_is_given_in_code_stands_in_no_environment_and_no_command_line(url: str) -> None:
    program = f"""
import sys
from rpcsvc import RpcServer
RpcServer({REGISTRY!r}, url=sys.stdin.read(), queue="in-code", workers=1).run(lambda server: print("up", server))
"""
    with Program("-u", "-c", program, given=url) as server:
        server.says("up ")
        family = server.family()
        assert len(family) >= 3, "the server, the fork server, the worker"
        no_canary(server.output, *(" ".join(process.cmdline()) for process in family))
        no_canary(*(str(process.environ()) for process in family))


# ---- objects and errors, in this process


def ours(thing: object) -> Iterator[object]:
    """A thing and everything of rpcsvc's and pika's that hangs on it."""
    seen: set[int] = set()
    waiting: list[object] = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, str | bytes | type):
            continue
        seen.add(id(one))
        if isinstance(one, dict | list | tuple | set | frozenset):
            waiting += [*one, *one.values()] if isinstance(one, dict) else one
        elif type(one).__module__.partition(".")[0] in ("rpcsvc", "pika"):
            yield one
            waiting += vars(one).values() if hasattr(one, "__dict__") else ()
            waiting += [
                getattr(one, name)
                for cls in type(one).__mro__
                for name in getattr(cls, "__slots__", ())
                if hasattr(one, name)
            ]


def shown(thing: object) -> list[str]:
    return [text for one in ours(thing) for text in (repr(one), str(one), f"{one}")]


def test_no_object_shows_it(url: str, pool: Program) -> None:
    with RpcClient(f"{url},{url}") as client:
        client.call("fib", 30)
        texts = shown(client)
    server = RpcServer(url=url)

    assert len(texts) > 30
    assert any("StreamConnection" in text for text in texts), "pika's too"
    no_canary(*texts, *shown(server), *shown(find_urls(url)))

    async def main() -> list[str]:
        async with AsyncRpcClient(url) as client:
            await client.call("fib", 30)
            return shown(client)

    no_canary(*asyncio.run(main()))


def test_no_log_record_shows_it(url: str, pool: Program, caplog: pytest.LogCaptureFixture) -> None:
    # pika's by name too: the command quietens it for the whole process, and may have been run in this one.
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "pika"), RpcClient(url) as client:
        client.call("fib", 30)
        with pytest.raises(AuthenticationFailed):
            RpcClient(replace(BrokerUrl.parse(url), password=f"wrong {CANARY}").reveal()).close()

    assert {"pika"} <= {record.name.partition(".")[0] for record in caplog.records}
    no_canary(caplog.text, *(str(vars(record)) for record in caplog.records))


def connect(url: str, **options: Any) -> None:
    RpcClient(url, connect_timeout=0.5, **options).close()


def call(url: str, method: str, queue: str, *args: Any) -> None:
    with RpcClient(url, queue=queue) as client:
        client.call(method, *args)


FAILURES: list[tuple[type[RpcError], Callable[[BrokerUrl], object]]] = [
    (AuthenticationFailed, lambda url: connect(replace(url, password=f"wrong {CANARY}").reveal())),
    (AccessRefused, lambda url: connect(replace(url, vhost="nowhere").reveal())),
    (ConnectionFailed, lambda url: connect(replace(url, port=random_free_port()).reveal())),
    (ConnectionFailed, lambda url: connect(",".join([replace(url, port=random_free_port()).reveal()] * 2))),
    (TlsFailed, lambda url: connect(replace(url, tls=True).reveal())),
    (ConfigurationError, lambda url: connect(replace(url, tls=True).reveal() + "?cacertfile=/nowhere")),
    (ConfigurationError, lambda url: connect(url.reveal() + "?frame_max=1")),
    (ConfigurationError, lambda _: connect(f"amqp://ann:{PASSWORD}@127.0.0.1")),
    (ConfigurationError, lambda url: connect(f"{url.reveal()},http://ann:{CANARY}@h")),
    (NoServer, lambda url: call(url.reveal(), "fib", "nobody-here", 30)),
    (FunctionRaised, lambda url: call(url.reveal(), "raise_error", "rpc_queue", "oh")),
]


@pytest.mark.parametrize(("kind", "fail"), FAILURES, ids=[kind.__name__ for kind, _ in FAILURES])
def test_no_error_shows_it(url: str, pool: Program, kind: type[RpcError], fail: Callable[[BrokerUrl], object]) -> None:
    with pytest.raises(kind) as caught:
        fail(BrokerUrl.parse(url))

    error = caught.value
    assert pickle.loads(pickle.dumps(error)).args == error.args
    no_canary(str(error), repr(error), str(vars(error)), str(error.args), str(pickle.dumps(error)))
    no_canary("".join(traceback.format_exception(error)))


@pytest.mark.parametrize(("kind", "fail"), FAILURES[:6])
def test_no_variable_of_ours_in_a_traceback_shows_it(
    url: str, kind: type[RpcError], fail: Callable[[BrokerUrl], object]
) -> None:
    """What reports errors with the variables of each frame reports nothing of it from ours."""
    with pytest.raises(kind) as caught:
        fail(BrokerUrl.parse(url))

    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    package = str(Path(errors.__file__).parents[1])
    own = [frame for frame in report.stack if frame.filename.startswith(package)]
    assert len(own) >= 3
    no_canary(*(str(frame.locals) for frame in own))
