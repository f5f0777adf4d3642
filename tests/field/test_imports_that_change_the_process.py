"""An import may do anything to its process. What the fork server needs is set again, and the rest is the registry's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.modules import ended, serving, write
from support.processes import wait_until

from rpcsvc import RpcClient, RpcTimeout, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled

CHANGES = {
    "SIGCHLD by default": ("signal.signal(signal.SIGCHLD, signal.SIG_DFL)", "the handler of SIGCHLD"),
    "SIGCHLD ignored": ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "the handler of SIGCHLD"),
    "all signals by default": (
        "for number in range(1, 32): number in (9, 19) or signal.signal(number, signal.SIG_DFL)",
        "the handler of SIGHUP",
    ),
    "no wake-up descriptor": ("signal.set_wakeup_fd(-1)", "the wake-up descriptor of signals"),
    "signals blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))", "SIGCHLD, which was blocked"),
    "an alarm": ("signal.alarm(1)", "the timer ITIMER_REAL"),
    "a timer again and again": ("signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)", "the timer ITIMER_REAL"),
}
HARMLESS = {
    "another folder": "os.chdir('/')",
    "a umask": "os.umask(0o777)",
    "no standard output": "sys.stdout = None",
    "a closed standard output": "sys.stdout.close()",
    "standard streams of its own": "sys.stdout = sys.stderr = object()",
    "an empty environment": "os.environ.clear()",
    "a time-out for sockets": "import socket; socket.setdefaulttimeout(0.01)",
    "a fault handler": "import faulthandler; faulthandler.enable(); faulthandler.dump_traceback_later(1, exit=True)",
    "no collector": "import gc; gc.disable()",
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
    "a trace function": "sys.settrace(lambda *_: None); threading.settrace(lambda *_: None)",
    "few files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
}


ALL = "all of that"
CHANGES[ALL] = ("\n".join(code for code, _ in CHANGES.values()), "ITIMER_REAL")
# The last first: a fault handler wants the standard error that another one takes away.
HARMLESS[ALL] = "\n".join(code for what, code in reversed(HARMLESS.items()) if what != "a closed standard output")


def each(changes: Iterable[str]) -> list[Any]:
    """All of them together each time, and each by itself in a long run."""
    return [pytest.param(what, marks=() if what == ALL else pytest.mark.long) for what in changes]


@pytest.mark.parametrize("what", each(CHANGES))
def test_a_death_is_noticed_at_once_whatever_the_import_did_to_signals(
    broker: PrivateBroker, tmp_path: Path, queue: str, what: str
) -> None:
    code, told = CHANGES[what]
    write(tmp_path, "changes", code)
    with (
        serving(broker.url, queue, tmp_path, "changes", "--workers", "2") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert told in server.output
        time.sleep(1.2 if "ITIMER" in told else 0)  # the timer's time passes, and nothing happens
        others = {process.pid for process in server.family()}
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(WorkerLost, match="with exit code 3"):
                client.call("die")
            assert time.monotonic() - began < scaled(8), "before anybody who looks for hanging workers"
        assert "hangs" not in server.output
        assert len(others & {process.pid for process in wait_until(lambda: family_of(server.pid, 3))}) >= 1
        assert client.call("pid") > 0


def family_of(pid: int, size: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return found if len(found) == size else []


@pytest.mark.parametrize("what", each(HARMLESS))
def test_what_belongs_to_the_registry_does_no_harm(
    broker: PrivateBroker, tmp_path: Path, queue: str, what: str
) -> None:
    write(tmp_path, "changes", HARMLESS[what])
    with (
        serving(broker.url, queue, tmp_path, "changes", "--workers", "2") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        with pytest.raises(WorkerLost, match="with exit code 3"):
            client.call("die")
        assert client.call("pid") > 0
        assert "set again" not in server.output
        assert "Traceback" not in server.output


def test_a_call_is_cancelled_softly_though_the_import_blocked_the_signal_for_that(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    notes = tmp_path / "notes"
    write(
        tmp_path,
        "changes",
        f"""
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


@registry.function
def naps() -> None:
    try:
        time.sleep(60)
    except BaseException as error:
        with open({str(notes)!r}, "w") as file:
            file.write(type(error).__name__)
        raise
""",
    )
    with serving(broker.url, queue, tmp_path, "changes"), RpcClient(broker.url, queue=queue) as client:
        with pytest.raises(RpcTimeout):
            client.call("naps", timeout=1)
        wait_until(lambda: notes.exists() and notes.read_text())


@pytest.mark.parametrize(
    "code",
    ["os.closerange(3, 4096)", "os.fork() and os._exit(0)\nos.setsid()\nos.closerange(3, 4096)\ntime.sleep(60)"],
    ids=["closes all", "becomes a daemon"],
)
def test_an_import_that_closes_the_connection_to_the_server_is_told_so(
    broker: PrivateBroker, tmp_path: Path, queue: str, code: str
) -> None:
    write(tmp_path, "closes", code)
    with serving(broker.url, queue, tmp_path, "closes", ready=False) as server:
        code_, output = ended(server)
    assert code_ == ExitCode.REGISTRY_FAILED
    assert "closed its connection to the server" in output or "ended before it was done" in output


def test_an_import_that_hangs_ends_with_a_server_that_is_killed(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(tmp_path, "hangs", "open('begun', 'w').close()\ntime.sleep(1000)")
    with serving(broker.url, queue, tmp_path, "hangs", ready=False) as server:
        wait_until((tmp_path / "begun").exists, within=30)
        (importing,) = server.family()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        wait_until(lambda: not importing.is_running() or importing.status() == psutil.STATUS_ZOMBIE)
