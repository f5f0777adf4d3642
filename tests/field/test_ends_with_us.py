"""What the command, the library and the scripts start ends with them, killed or not: pools, brokers, folders."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.processes import is_running, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker, answers
from rpcsvc.settings import BrokerUrl

ROOT = Path(__file__).parent.parent.parent


class Started:
    """A process in a temporary folder and a state folder of its own, and all that it has ever been seen to start."""

    def __init__(self, folder: Path, *command: str, **environ: str) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self.output = folder / "said"
        environ = {"TMPDIR": str(self.folder), "XDG_STATE_HOME": str(folder / "state"), **environ}
        inherited = {name: value for name, value in os.environ.items() if name != "RPCSVC_URL"}
        with self.output.open("wb") as said:
            self.process = subprocess.Popen(
                command, env={**inherited, **environ}, stdout=said, stderr=said, start_new_session=True
            )
        self._mark = str(folder)

    def says(self, text: str, within: float = 60.0) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self.said or self.process.poll() is not None, within=within)
        assert text in self.said, self.said

    @property
    def said(self) -> str:
        return self.output.read_text()

    def others(self) -> list[psutil.Process]:
        """What it has started, wherever that belongs by now: known by the folder in the environment."""
        found = []
        for process in psutil.process_iter():
            try:
                environ = process.environ()
            except (psutil.Error, OSError):
                continue
            names = (environ.get("TMPDIR", ""), environ.get("RPCSVC_BROKER_FOLDER", ""), environ.get("HOME", ""))
            if process.pid != self.process.pid and any(self._mark in name for name in names) and is_running(process):
                found.append(process)
        return found

    def kill_and_see_all_go(self) -> None:
        """SIGKILL, and then nothing is left: no process, no folder."""
        assert self.others()
        self.process.kill()
        self.process.wait()
        self.see_all_go()

    def see_all_go(self) -> None:
        """It has ended, and then nothing is left: no process, no folder."""
        wait_until(lambda: not self.others(), within=20)
        wait_until(lambda: not list(self.folder.iterdir()), within=10)

    def clear(self) -> None:
        self.process.kill()
        self.process.wait()
        for process in self.others():
            with contextlib.suppress(psutil.Error):  # it may have ended since
                process.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    started = []

    def begin(*command: str, **environ: str) -> Started:
        started.append(Started(tmp_path, *command, **environ))
        return started[-1]

    yield begin
    for each in started:
        each.clear()


def test_a_benchmark_that_is_killed_takes_its_pool_and_its_broker_along(start) -> None:
    rpcsvc = (sys.executable, "-m", "rpcsvc")
    bench = start(*rpcsvc, "bench", "fib", "20", "--serve", "2", "--duration", "300", "--warm-up", "0.1")
    bench.says("measuring")
    bench.kill_and_see_all_go()


def test_a_benchmark_that_is_killed_while_it_starts_leaves_nothing(start) -> None:
    bench = start(sys.executable, "-m", "rpcsvc", "bench", "--serve", "2", "--duration", "300")
    wait_until(lambda: len(bench.others()) > 1, within=30)  # the keeper, and the broker's first process
    bench.kill_and_see_all_go()


def test_a_broker_in_a_block_ends_with_its_killed_process_and_waits_for_no_child_of_that(start, tmp_path: Path) -> None:
    program = f"""
        import os, time
        from pathlib import Path
        from rpcsvc.broker import PrivateBroker
        with PrivateBroker(Path({str(tmp_path / "node")!r})) as broker:
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            print(broker.url, child, flush=True)
            time.sleep(600)
    """
    started = start(sys.executable, "-c", textwrap.dedent(program))
    started.says("amqp://")
    url, child = started.said.split()
    assert answers(BrokerUrl.parse(url))
    try:
        started.process.kill()
        started.process.wait()
        wait_until(lambda: not answers(BrokerUrl.parse(url)), within=20)
    finally:
        os.kill(int(child), signal.SIGKILL)
    started.see_all_go()
    node = PrivateBroker(tmp_path / "node")
    assert not (tmp_path / "node" / "node.json").exists()
    assert "stopped" in node.status().log.read_text().lower(), "in order: its folder is there, and well"


@pytest.mark.long
def test_a_broker_that_runs_in_front_ends_with_its_killed_command(start, tmp_path: Path) -> None:
    started = start(sys.executable, "-m", "rpcsvc", "broker", "run", "--dir", str(tmp_path / "node"))
    started.says("runs at")
    started.kill_and_see_all_go()


@pytest.mark.long
def test_the_demonstration_that_is_killed_leaves_nothing(start) -> None:
    demo = start(sys.executable, str(ROOT / "clients" / "demo.py"))
    demo.says("ready:")
    demo.kill_and_see_all_go()


@pytest.mark.long
def test_a_pool_with_a_broker_of_its_own_takes_it_along_when_it_is_killed(start, tmp_path: Path) -> None:
    pool = start(sys.executable, "-m", "rpcsvc", "serve", "--start-broker", "--workers", "1")
    pool.says("ready:")
    node = PrivateBroker(tmp_path / "state" / "rpcsvc" / "broker")
    with RpcClient(node.url, timeout=30) as client:
        assert client.call("fib", 30) == 832040
    pool.kill_and_see_all_go()
    assert not node.status().running


def test_a_pool_with_a_broker_of_its_own_takes_one_that_is_named_or_answers(
    start, broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    words = (sys.executable, "-m", "rpcsvc", "serve", "--start-broker", "--workers", "1", "--queue", queue)
    pool = start(*words, RPCSVC_URL=broker.url)
    pool.says("ready:")
    assert f":{broker.port}/" in pool.said
    assert not (tmp_path / "state").exists()
    pool.process.terminate()
    assert pool.process.wait(30) == 0
    assert broker.status().running


@pytest.mark.long
def test_a_test_run_that_is_killed_leaves_nothing(start, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
        import time
        from support.processes import ServerProcess

        def test_it(broker):
            with ServerProcess(broker.url, "--workers", "1") as server:
                print("serves", flush=True)
                time.sleep(600)
        """)
    )
    path = os.pathsep.join(str(ROOT / "tests" / name) for name in (".", "integration"))
    words = ["-m", "pytest", "-s", "-p", "conftest", "-c", os.devnull, str(tmp_path / "test_it.py")]
    run = start(sys.executable, *words, PYTHONPATH=path)
    run.says("serves")
    run.kill_and_see_all_go()


def test_folders_are_removed_and_marked_processes_end_in_any_order(start) -> None:
    program = """
        import os, subprocess, sys, tempfile, time
        from pathlib import Path
        from rpcsvc.host.keeper import keep_all_processes, keep_folder, keep_processes
        with keep_all_processes(), keep_folder(Path(tempfile.mkdtemp())):
            subprocess.Popen(["sleep", "600"], start_new_session=True)
            subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; sleep 600; sleep 600"], start_new_session=True)
            with keep_processes():
                pass  # what is let go leaves the rest kept
            print("started", flush=True)
            time.sleep(600)
    """
    started = start(sys.executable, "-c", textwrap.dedent(program))
    started.says("started")
    started.kill_and_see_all_go()


def test_nothing_is_left_of_what_ends_in_order() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = """
            import subprocess
            from rpcsvc.host.keeper import keep_processes
            with keep_processes() as mark:
                assert len(mark) == 1
            with keep_processes():
                pass
        """
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "TMPDIR": folder},
            check=True,
            timeout=60,
        )
        left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("TMPDIR") == folder]
        assert not left
