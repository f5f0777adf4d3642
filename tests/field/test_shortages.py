"""Too little of something, for a while: it is told, and tried again; what runs goes on."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.ctl import RabbitCtl
from support.modules import serving, write
from support.pools import pool_of
from support.processes import COMMAND, ServerProcess, is_running, wait_until

from rpcsvc import ConnectionFailed, PoolFailed, RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.workers.care import Care

NO_ROOT = 60_000 + os.getpid() % 4_000
"""A user of no other process: the kernel does not hold root to a number of processes."""
FORK_FAILS = """
import errno
fork = os.fork


def failing() -> int:
    left = os.path.join({folder!r}, "fails")
    try:
        with open(left) as file:
            number = int(file.read())
    except FileNotFoundError:
        return fork()
    with open(left, "w") as file:
        file.write(str(number - 1))
    if number <= 1:
        os.unlink(left)
    raise OSError(errno.{code}, os.strerror(errno.{code}))


os.fork = failing
"""


@contextmanager
def limited(process: psutil.Process, what: int, most: int) -> Iterator[None]:
    """Hold a running process to a limit, for a while."""
    before = resource.prlimit(process.pid, what)
    resource.prlimit(process.pid, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, what, before)


def fork_server_of(server: ServerProcess) -> psutil.Process:
    (found,) = psutil.Process(server.pid).children()
    return found


def as_another_user() -> tuple[str, ...]:
    """A program as a user whose processes the kernel counts; it may read what root may."""
    if os.getuid() != 0:
        return ()
    reading = "+dac_override,+dac_read_search"
    user = (f"--reuid={NO_ROOT}", f"--regid={NO_ROOT}", "--clear-groups")
    return ("setpriv", *user, f"--inh-caps={reading}", f"--ambient-caps={reading}")


@contextmanager
def no_more_processes(process: psutil.Process) -> Iterator[None]:
    """A running process of that user may start none, for a while: the user has more than one already."""

    def allow(most: int | str) -> None:
        # Its own user may lower and raise the limit; root may not everywhere.
        subprocess.run([*as_another_user(), "prlimit", f"--pid={process.pid}", f"--nproc={most}:"], check=True)

    before, _ = resource.getrlimit(resource.RLIMIT_NPROC)  # which it has inherited
    allow(1)
    try:
        yield
    finally:
        allow("unlimited" if before == resource.RLIM_INFINITY else before)


@pytest.mark.parametrize("code", ["EAGAIN", "ENOMEM"])
def test_a_fork_that_fails_is_tried_again_and_costs_nobody_else_anything(
    broker: PrivateBroker, tmp_path: Path, queue: str, code: str
) -> None:
    write(tmp_path, "forks", FORK_FAILS.format(folder=str(tmp_path), code=code))
    with (
        serving(broker.url, queue, tmp_path, "forks", "--workers", "2") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        fork_server = fork_server_of(server)
        (tmp_path / "fails").write_text("4")
        with pytest.raises(WorkerLost):
            client.call("die")
        assert client.call("pid") > 0, "the other worker goes on"
        wait_until(lambda: len(fork_server.children()) == 2, within=20)
        assert fork_server_of(server) == fork_server
        assert "no worker can be started for now: fork: [Errno" in server.output
        wait_until(lambda: "there is room again" in server.output)
        assert server.output.count("no worker can be started") == 1


def test_a_limit_of_processes_that_is_reached_and_not_any_more(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(tmp_path, "forks", "")
    command = (*as_another_user(), *COMMAND)
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    with (
        serving(broker.url, queue, tmp_path, "forks", "--workers", "2", environ=environ, command=command) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        fork_server = fork_server_of(server)
        with no_more_processes(fork_server):
            with pytest.raises(WorkerLost):
                client.call("die")
            wait_until(lambda: "Resource temporarily unavailable" in server.output)
            assert client.call("pid") > 0
            assert len(fork_server.children()) == 1
        wait_until(lambda: len(fork_server.children()) == 2, within=20)
        assert fork_server_of(server) == fork_server


def test_what_a_dead_workers_function_has_started_ends_when_it_can_be_looked_for(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(
        tmp_path,
        "starts",
        """
@registry.function
def start_and_die() -> None:
    import subprocess
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open("child.new", "w") as file:
        file.write(str(child.pid))
    os.rename("child.new", "child")
    while not os.path.exists("go"):
        time.sleep(0.01)
    os._exit(3)
""",
    )
    with (
        serving(broker.url, queue, tmp_path, "starts", "--workers", "1") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        fork_server = fork_server_of(server)
        call = client.submit("start_and_die")
        wait_until((tmp_path / "child").exists)
        child = psutil.Process(int((tmp_path / "child").read_text()))
        with limited(fork_server, resource.RLIMIT_NOFILE, 3):
            (tmp_path / "go").touch()
            with pytest.raises(WorkerLost):
                call.result(20)
            wait_until(lambda: "no worker can be started for now" in server.output)
        wait_until(lambda: not is_running(child))
        assert client.call("pid") > 0
        assert fork_server_of(server) == fork_server


@pytest.mark.parametrize("whose", ["server", "fork server"])
def test_file_descriptors_that_run_out_are_waited_for(
    broker: PrivateBroker, tmp_path: Path, queue: str, whose: str
) -> None:
    write(tmp_path, "files", "")
    with (
        serving(broker.url, queue, tmp_path, "files", "--workers", "2") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        fork_server = fork_server_of(server)
        process = psutil.Process(server.pid) if whose == "server" else fork_server
        # A dead worker's descriptor is given back before the next one is asked for.
        with limited(process, resource.RLIMIT_NOFILE, 3):
            with pytest.raises(WorkerLost):
                client.call("die")
            assert client.call("pid") > 0
            wait_until(lambda: "no worker can be started for now" in server.output)
            assert client.call("pid") > 0
        wait_until(lambda: len(fork_server.children()) == 2, within=20)
        assert fork_server_of(server) == fork_server
        wait_until(lambda: "there is room again" in server.output)


def test_a_reload_for_which_there_are_too_few_processes_is_made_when_there_are_enough(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(tmp_path, "again", "")
    command = (*as_another_user(), *COMMAND)
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    with (
        serving(broker.url, queue, tmp_path, "again", "--workers", "1", environ=environ, command=command) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        before = client.call("pid")
        with no_more_processes(psutil.Process(server.pid)):
            server.signal(signal.SIGHUP)
            wait_until(lambda: "no worker can be started for now" in server.output)
            assert client.call("pid") == before
        wait_until(lambda: "the registry is reloaded" in server.output, within=30)
        assert client.call("pid") != before


def test_so_is_one_for_which_there_are_too_few_descriptors(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    write(tmp_path, "again", "")
    with (
        serving(broker.url, queue, tmp_path, "again", "--workers", "1") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        before = client.call("pid")
        with limited(psutil.Process(server.pid), resource.RLIMIT_NOFILE, 3):
            server.signal(signal.SIGHUP)
            wait_until(lambda: "no worker can be started for now" in server.output)
            assert client.call("pid") == before
        wait_until(lambda: "the registry is reloaded" in server.output, within=30)
        assert client.call("pid") != before


def test_a_worker_that_lacks_something_while_it_starts_has_not_failed(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(
        tmp_path,
        "starts",
        f"""
import errno


@registry.worker_init
def opens() -> None:
    tries = len(os.listdir({str(tmp_path / "tries")!r}))
    open({str(tmp_path / "tries")!r} + f"/{{os.getpid()}}", "w").close()
    if tries < 6:
        raise OSError(errno.EMFILE, "Too many open files")
""",
    )
    (tmp_path / "tries").mkdir()
    with (
        serving(broker.url, queue, tmp_path, "starts", "--workers", "1") as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("pid") > 0
        assert "no worker can be started for now: OSError: [Errno 24] Too many open files" in server.output


def test_a_shortage_that_does_not_pass_ends_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "never_forks", FORK_FAILS.format(folder=str(tmp_path), code="EAGAIN"))
    (tmp_path / "fails").write_text("1000000")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main() -> None:
        async with pool_of(1, target="never_forks:registry", start_within=1.0):
            raise AssertionError("it has started")

    with pytest.raises(PoolFailed, match=r"workers are not ready after 1 s; fork: \[Errno 11\]"):
        asyncio.run(main())


def test_a_client_without_a_free_descriptor_says_so_and_has_one_later(broker: PrivateBroker) -> None:
    code = f"""
import resource
from rpcsvc import ConnectionFailed, RpcClient
RpcClient({broker.url!r}, queue="q").close()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
try:
    RpcClient({broker.url!r}, queue="q", connect_timeout=0.5)
except ConnectionFailed as error:
    print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
RpcClient({broker.url!r}, queue="q").close()
print("again")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Too many open files" in done.stdout, done.stderr
    assert "is RabbitMQ running" not in done.stdout
    assert done.stdout.endswith("again\n"), done.stderr


OnLimit = Callable[[RabbitCtl, str], None]


class TestLimitsOfTheBroker:
    @pytest.mark.parametrize(
        ("forbid", "allow"),
        [
            pytest.param(RabbitCtl.forbid_connections, RabbitCtl.allow_connections, id="connections"),
            pytest.param(RabbitCtl.forbid_channels, RabbitCtl.allow_channels, id="channels"),
        ],
    )
    def test_a_limit_of_connections_or_channels_is_waited_for(
        self, broker: PrivateBroker, tmp_path: Path, queue: str, forbid: OnLimit, allow: OnLimit
    ) -> None:
        ctl = RabbitCtl(broker)
        write(tmp_path, "limits", "")
        with ctl.vhost(queue) as url, serving(url, queue, tmp_path, "limits", "--workers", "1") as server:
            forbid(ctl, queue)
            with pytest.raises(ConnectionFailed, match="limit"):
                RpcClient(url, queue=queue, connect_timeout=0.5)
            ctl.close_all_connections(queue)
            wait_until(lambda: "limit" in server.output)
            allow(ctl, queue)
            with RpcClient(url, queue=queue, timeout=20, wait_for_server=20) as client:
                assert client.call("pid") > 0
            assert server.process.poll() is None

    def test_a_server_that_meets_one_at_its_start_ends_as_without_a_broker(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        ctl = RabbitCtl(broker)
        write(tmp_path, "limits", "")
        options = ("--workers", "1", "--connect-timeout", "1")
        with ctl.vhost(queue) as url:
            ctl.forbid_connections(queue)
            with serving(url, queue, tmp_path, "limits", *options, ready=False) as server:
                assert server.wait(30) == ExitCode.NO_BROKER
                assert "limit" in server.output


def test_care_gives_a_slow_start_more_time_in_all() -> None:
    assert Care().load_timeout == 60
    assert Care(start_timeout=300).load_timeout == 360


def test_a_server_without_a_free_descriptor_says_so_at_its_start(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(tmp_path, "files", "")
    code = (
        "import resource, sys; from rpcsvc.cli import main, serve; import rpcsvc.server, asyncio, uvloop\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); sys.exit(main(sys.argv[1:]))"
    )
    command = (sys.executable, "-c", code)
    with serving(broker.url, queue, tmp_path, "files", ready=False, command=command) as server:
        assert server.wait(30) == ExitCode.POOL_FAILED
        assert "for want of something on this machine: [Errno 24]" in server.output
        assert "Traceback" not in server.output
