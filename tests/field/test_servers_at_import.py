"""A module that runs a server when it is imported, for every worker: that must end, and say what to write."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.modules import ended, serving, write

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode

ADVICE = 'if __name__ == "__main__":'
PROCESS = "import multiprocessing\np = multiprocessing.get_context('{}').Process(target=os.getpid)\np.start(); p.join()"
RUN = "\nfrom rpcsvc import RpcServer\nRpcServer('me:registry', queue={queue!r}, workers=1).run()\n"


def run_program(folder: Path, url: str, *words: str, within: float = 30.0) -> tuple[int, str]:
    """Run a Python program to its end; its exit code and what it printed. Nothing that it started may be left."""
    mark = f"mark-{os.urandom(8).hex()}"
    environ = {**os.environ, "RPCSVC_URL": url, "MARK": mark}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
    )
    assert not marked(mark, within=10), "processes are left"
    return done.returncode, done.stdout


def marked(mark: str, within: float) -> list[psutil.Process]:
    """The processes with a mark in their environment that are still there after so many seconds."""
    end = time.monotonic() + within
    while True:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def test_a_program_that_runs_a_server_of_itself_without_a_guard_ends_and_says_what_to_write(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    path = write(tmp_path, "me", "")
    path.write_text(path.read_text() + RUN.format(queue=queue))

    code, output = run_program(tmp_path, broker.url, "me.py")

    assert code == 1
    assert "the import of 'me:registry' for the workers of a server runs a server itself" in output
    assert ADVICE in output
    assert 'RpcServer("me:registry").run()' in output.replace("'", '"')
    assert output.count("RegistryFailed") <= 2, "one server, not a chain of them"


def test_with_the_guard_it_serves(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    path = write(tmp_path, "me", "")
    guarded = RUN.format(queue=queue).replace("\nRpcServer", f"\n{ADVICE}\n    RpcServer")
    path.write_text(path.read_text() + guarded)
    program = subprocess.Popen([sys.executable, "me.py"], cwd=tmp_path, env={**os.environ, "RPCSVC_URL": broker.url})
    try:
        with RpcClient(broker.url, queue=queue, wait_for_server=30) as client:
            assert client.call("pid", timeout=40) > 0
    finally:
        program.terminate()
        assert program.wait(20) == 0


@pytest.mark.parametrize(
    "how",
    [
        "RpcServer({registry!r}, queue={queue!r}, workers=1).run()",
        "import asyncio\nasyncio.run(RpcServer({registry!r}, queue={queue!r}, workers=1).serve())",
        "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-m', 'rpcsvc', 'serve', {registry!r}]))",
        "from rpcsvc.cli import main\nsys.exit(main(['serve', {registry!r}, '--queue', {queue!r}]))",
    ],
    ids=["run", "serve", "another program", "the command"],
)
def test_the_command_says_so_of_a_module_that_runs_a_server_at_import(
    broker: PrivateBroker, tmp_path: Path, queue: str, how: str
) -> None:
    path = write(tmp_path, "me", "")
    path.write_text(
        path.read_text() + "from rpcsvc import RpcServer\n" + how.format(registry="me:registry", queue=queue)
    )

    with serving(broker.url, queue, tmp_path, "me", "--workers", "1", ready=False) as server:
        code, output = ended(server)

    assert code == ExitCode.REGISTRY_FAILED
    assert ADVICE in output


def test_a_registry_of_the_program_itself_is_told_its_name_in_other_processes(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    path = write(tmp_path, "me", "")
    run = "\nfrom rpcsvc import RpcServer\nif __name__ == '__main__':\n    RpcServer('__main__:registry').run()\n"
    path.write_text(path.read_text() + run)

    code, output = run_program(tmp_path, broker.url, "me.py")

    assert code == 1
    assert "give its own name, 'me:registry'" in output


def test_a_function_may_run_a_server_that_the_import_may_not(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    write(
        tmp_path,
        "me",
        """
@registry.function
def marked() -> bool:
    from rpcsvc.functions.importing import VARIABLE, refuse_server
    refuse_server("me:registry")
    return VARIABLE in os.environ
""",
    )
    with serving(broker.url, queue, tmp_path, "me", "--workers", "1"), RpcClient(broker.url, queue=queue) as client:
        assert client.call("marked", timeout=20) is False


@pytest.mark.parametrize(
    "how",
    [
        PROCESS.format("fork"),
        PROCESS.format("spawn"),
        "import subprocess\nsubprocess.run([sys.executable, '-c', 'pass'], check=True)",
        "import multiprocessing\nlock = multiprocessing.Lock()\nqueue = multiprocessing.Queue()",
        "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)",
        "os.fork() or os._exit(0)",
    ],
    ids=["fork", "spawn", "program", "locks", "bare fork", "zombie"],
)
def test_an_import_that_starts_processes_is_served(broker: PrivateBroker, tmp_path: Path, queue: str, how: str) -> None:
    write(tmp_path, "starts", how)
    with (
        serving(broker.url, queue, tmp_path, "starts", "--workers", "2") as server,
        RpcClient(broker.url, queue=queue) as client,
    ):
        assert client.call("pid", timeout=20) in [process.pid for process in server.family()]


def test_a_client_that_is_opened_at_import_works_in_the_functions(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(
        tmp_path,
        "calls",
        f"""
from rpcsvc import RpcClient
client = RpcClient(queue={queue!r})


@registry.function
def asks() -> int:
    return client.call("pid", timeout=10)
""",
    )
    with serving(broker.url, queue, tmp_path, "calls", "--workers", "2"), RpcClient(broker.url, queue=queue) as client:
        assert client.call("asks", timeout=20) > 0
