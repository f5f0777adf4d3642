"""What workers do before their first call: `worker_init`, an import of their own, threads and their bounds."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from support.modules import ended, serving, write
from support.processes import wait_until

from rpcsvc import RpcClient, RpcServer, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.server.crew import care_of
from rpcsvc.settings import usable_cpus

WAITING_THREAD = """
import queue
asked, answers = queue.Queue(), queue.Queue()


def answer() -> None:
    while True:
        answers.put(asked.get())


def start() -> None:
    threading.Thread(target=answer, name="solver-pool", daemon=True).start()


{start}


@registry.function
def solve(n: int) -> int:
    asked.put(n)
    return answers.get()
"""
VARIABLES = """
@registry.function
def variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.endswith("_THREADS")}
"""


class TestThreads:
    def test_threads_that_an_import_has_left_are_named_with_the_ways_out(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(tmp_path, "threads", WAITING_THREAD.format(start="start()"))
        with serving(broker.url, queue, tmp_path, "threads", "--workers", "1") as server:
            wait_until(lambda: "has left 1 thread running (solver-pool)" in server.output)
            assert "--preload no" in server.output
            assert "@registry.worker_init" in server.output

    def test_a_library_of_threads_works_where_each_worker_imports_it(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(tmp_path, "threads", WAITING_THREAD.format(start="start()"))
        with (
            serving(broker.url, queue, tmp_path, "threads", "--workers", "2", "--preload", "no") as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert [client.call("solve", n) for n in range(4)] == [0, 1, 2, 3]
            with pytest.raises(WorkerLost):
                client.call("die")
            assert [client.call("solve", n) for n in range(4)] == [0, 1, 2, 3]
            assert "running (" not in server.output

    def test_or_where_each_worker_starts_its_threads_itself(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(tmp_path, "threads", WAITING_THREAD.format(start="registry.worker_init(start)"))
        with (
            serving(broker.url, queue, tmp_path, "threads", "--workers", "2") as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert [client.call("solve", n) for n in range(4)] == [0, 1, 2, 3]
            assert "running (" not in server.output

    def test_a_library_that_ends_its_threads_before_a_fork_needs_no_warning(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(
            tmp_path,
            "multiplies",
            """
import numpy
big = numpy.ones((800, 800))
product = big @ big


@registry.function
def multiply() -> float:
    return float((big @ big)[0, 0])
""",
        )
        options = ("--workers", "2", "--blas-threads", "2")
        with (
            serving(broker.url, queue, tmp_path, "multiplies", *options) as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert client.call("multiply") == 800.0
            assert "running (" not in server.output

    @pytest.mark.parametrize("workers", [1, 2 * usable_cpus()])
    def test_cpus_are_shared_among_the_workers_libraries(
        self, broker: PrivateBroker, tmp_path: Path, queue: str, workers: int
    ) -> None:
        write(tmp_path, "bounded", VARIABLES)
        environ = {"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "7"}
        with (
            serving(broker.url, queue, tmp_path, "bounded", "--workers", str(workers), environ=environ),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            found = client.call("variables")
            assert found["MKL_NUM_THREADS"] == "7", "it was set already"
            assert found["OPENBLAS_NUM_THREADS"] == str(max(1, usable_cpus() // workers))

    def test_they_are_told_before_anything_is_imported(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
        write(
            tmp_path,
            "bounded",
            """
found = os.environ.get("OPENBLAS_NUM_THREADS")
import numpy
numpy.ones((500, 500)) @ numpy.ones((500, 500))


@registry.function
def threads() -> tuple[str, int]:
    numpy.ones((500, 500)) @ numpy.ones((500, 500))
    return found, len(os.listdir("/proc/self/task"))
""",
        )
        options = ("--workers", "1", "--blas-threads", "1")
        with (
            serving(broker.url, queue, tmp_path, "bounded", *options),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert client.call("threads") == ("1", 1)


class TestWorkerInit:
    def test_it_runs_in_each_worker_before_its_first_call_also_in_a_replacement(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(
            tmp_path,
            "prepared",
            """
prepared = []


@registry.worker_init
def one() -> None:
    prepared.append(os.getpid())


@registry.worker_init
def two() -> None:
    prepared.append(len(prepared))


@registry.function
def seen() -> tuple[int, list[int]]:
    return os.getpid(), prepared
""",
        )
        with (
            serving(broker.url, queue, tmp_path, "prepared", "--workers", "1"),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            for _ in range(2):
                pid, prepared = client.call("seen")
                assert prepared == [pid, 1]
                with pytest.raises(WorkerLost):
                    client.call("die")

    def test_one_that_fails_is_told_with_its_traceback_and_five_end_the_pool(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        init = "\n@registry.worker_init\ndef loads_the_model() -> None:\n    raise FileNotFoundError('model.bin')\n"
        write(tmp_path, "broken_init", init)
        with serving(broker.url, queue, tmp_path, "broken_init", "--workers", "1", ready=False) as server:
            code, output = ended(server)
        assert code == ExitCode.POOL_FAILED
        assert output.count("Traceback (most recent call last)") == 5
        assert "in loads_the_model" in output
        assert "FileNotFoundError: model.bin" in output
        assert "5 workers in a row ended before they were ready" in output

    def test_one_that_takes_long_is_given_the_time_that_was_said(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(tmp_path, "slow_init", "\n@registry.worker_init\ndef slow() -> None:\n    time.sleep(1.0)\n")
        options = ("--workers", "1", "--start-timeout", "0.5")
        with serving(broker.url, queue, tmp_path, "slow_init", *options, ready=False) as server:
            code, output = ended(server)
        assert code == ExitCode.POOL_FAILED
        assert "was not ready within 0.5 s" in output
        with (
            serving(broker.url, queue, tmp_path, "slow_init", "--workers", "1", "--start-timeout", "30"),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert client.call("pid") > 0

    def test_what_it_does_to_signals_is_undone(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
        init = "\n@registry.worker_init\ndef init() -> None:\n    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        write(tmp_path, "signals", init)
        with (
            serving(broker.url, queue, tmp_path, "signals", "--workers", "1"),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            pid = client.call("pid")
            psutil.Process(pid).terminate()
            assert client.call("pid") == pid, "a service manager that signals all leaves the call to its end"


class TestWithoutPreload:
    def test_each_worker_has_imported_it_and_the_fork_server_has_not(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        imports = tmp_path / "imports"
        write(tmp_path, "alone", f"with open({str(imports)!r}, 'a') as file: file.write(f'{{os.getpid()}}\\n')\n")
        options = ("--workers", "2", "--preload", "no")
        with (
            serving(broker.url, queue, tmp_path, "alone", *options) as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert client.call("pid") > 0
            family = {process.pid for process in server.family()}
            fork_server = psutil.Process(server.pid).children()[0].pid
            importers = {int(line) for line in imports.read_text().split()}
            assert family - {fork_server} <= importers
            assert fork_server not in importers

    def test_an_import_that_fails_ends_the_start_with_its_traceback(
        self, broker: PrivateBroker, tmp_path: Path, queue: str
    ) -> None:
        write(tmp_path, "broken", "import nowhere_to_be_found\n")
        with serving(broker.url, queue, tmp_path, "broken", "--preload", "no", ready=False) as server:
            code, output = ended(server)
        assert code == ExitCode.REGISTRY_FAILED
        assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in output

    def test_one_that_ends_its_process_is_told_too(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
        write(tmp_path, "broken", "os._exit(7)\n")
        with serving(broker.url, queue, tmp_path, "broken", "--preload", "no", ready=False) as server:
            code, output = ended(server)
        assert code == ExitCode.REGISTRY_FAILED
        assert "with exit code 7" in output

    def test_one_that_takes_longer_than_ten_seconds_is_waited_for(self) -> None:
        assert care_of(RpcServer(preload=False)._options).start_timeout == 60
        assert care_of(RpcServer()._options).start_timeout == 10
