"""Which processes are looked at, and what is seen of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from rpcsvc.bench.resources import Usage, Watched, _serves, find_broker, is_here, spent
from rpcsvc.settings import BrokerUrl


def test_cpu_time_and_memory_of_a_process_are_seen() -> None:
    watched = Watched([os.getpid()], [], None)
    before = watched.usage()
    end = time.process_time() + 0.03
    while time.process_time() < end:
        pass
    after = watched.usage()

    assert set(after) == {"client"}
    assert after["client"].processes == 1
    assert after["client"].rss > 2**20
    assert 0.01 <= spent(before, after)["client"] < 5


_POOL = """
import os, subprocess, sys, time
if sys.argv[1] == "server":
    subprocess.run([sys.executable, "-c", sys.argv[2], "fork server", ""])
else:
    if os.fork() == 0:
        while time.process_time() < 0.1: pass
        os._exit(1)
    os.wait()
    if os.fork() == 0:
        time.sleep(60)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_the_cpu_time_of_workers_that_have_died_is_the_workers_too() -> None:
    server = subprocess.Popen([sys.executable, "-c", _POOL, "server", _POOL], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        usage = Watched([], [server.pid], None).usage()
        assert (usage["server"].processes, usage["workers"].processes) == (2, 1)
        assert usage["workers"].cpu >= 0.09
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.kill()
        server.communicate()


def test_processes_that_have_gone_are_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    watched = Watched([gone.pid], [gone.pid], gone.pid)
    gone.wait()

    assert watched.usage() == {}
    assert Watched([2**22 + 1], [], None).usage() == {}


def test_a_role_that_is_seen_only_once_has_spent_nothing_that_is_known() -> None:
    usage = Usage(1, 2.0, 0, None)
    assert spent({"client": usage}, {"client": Usage(1, 3.5, 0, None), "broker": usage}) == {"client": 1.5}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_this_machine_is_here(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_another_machine_is_not_here(host: str) -> None:
    assert not is_here(host)


def test_what_listens_on_the_port_is_not_the_broker_unless_it_is_erlang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert find_broker(BrokerUrl("127.0.0.1", listener.getsockname()[1])) is None


@pytest.mark.parametrize(
    ("command", "serves"),
    [
        (["rpcsvc", "serve"], True),
        (["rpcsvc", "serve", "--queue", "mine"], True),
        (["rpcsvc", "serve", "--queue=mine"], True),
        (["rpcsvc", "serve", "--queue", "other"], False),
        (["rpcsvc", "serve", "--queue=other"], False),
        (["python", "my_server.py"], True),
    ],
    ids=str,
)
def test_a_server_that_was_told_another_queue_is_not_measured(command: list[str], serves: bool) -> None:
    assert _serves(command, "mine") is serves
