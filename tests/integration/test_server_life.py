"""Starting, draining and ending a server; what is left when it is killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pika
import pytest
from support.begun import Gate
from support.processes import ServerProcess, is_running, wait_until

from rpcsvc import ConfigurationError, RpcClient, RpcServer
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_running_calls_are_answered_waiting_ones_stay_for_the_next_server(
    broker: PrivateBroker, queue: str, tmp_path: Path, number: int
) -> None:
    trace = str(tmp_path / "trace")
    options = ("--workers", "2", "--queue", queue)
    with RpcClient(broker.url, queue=queue, wait_for_server=10) as client:
        with ServerProcess(broker.url, *options) as first:
            futures = [client.submit("write_then_sleep", trace, f"call-{n}", 0.4) for n in range(4)]
            wait_until(lambda: Path(trace).exists() and len(Path(trace).read_text().split()) == 2)
            first.signal(number)
            assert first.wait() == ExitCode.OK
            assert sorted(future.result() for future in futures if future.done()) == ["call-0", "call-1"]
        with ServerProcess(broker.url, *options):
            assert [future.result() for future in futures] == ["call-0", "call-1", "call-2", "call-3"]
    # Nothing was run twice.
    assert sorted(Path(trace).read_text().split()) == ["call-0", "call-1", "call-2", "call-3"]


def test_a_rolling_restart_under_load_fails_no_call_and_runs_none_twice(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    trace = str(tmp_path / "trace")
    options = ("--workers", "2", "--queue", queue)
    with RpcClient(broker.url, queue=queue) as client, ServerProcess(broker.url, *options) as old:
        futures = [client.submit("write_then_sleep", trace, f"call-{n}", 0.01) for n in range(200)]
        with ServerProcess(broker.url, *options):
            old.signal(signal.SIGTERM)
            assert old.wait() == ExitCode.OK
            assert [future.result() for future in futures] == [f"call-{n}" for n in range(200)]
    assert sorted(Path(trace).read_text().split()) == sorted(f"call-{n}" for n in range(200))


def test_calls_that_run_while_the_only_server_drains_are_not_given_up(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    """The client sees that nobody takes new calls, and must not take that for nobody computing."""
    gate = Gate(tmp_path)
    with (
        RpcClient(broker.url, queue=queue) as client,
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
    ):
        running = gate.submit(client, "begun")
        wait_until(lambda: gate.begun)
        server.signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            running.result(2.0)  # it looks again and again meanwhile
        gate.open()
        assert running.result() == "begun"
        assert server.wait() == ExitCode.OK


def test_the_second_signal_is_immediate_and_the_delivery_goes_to_another_server(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    options = ("--workers", "1", "--queue", queue)
    with RpcClient(broker.url, queue=queue, wait_for_server=10) as client:
        with ServerProcess(broker.url, *options) as first:
            running = gate.submit(client, "begun")
            wait_until(lambda: gate.begun == ["begun"])
            first.signal(signal.SIGTERM)
            wait_until(lambda: "draining" in first.output or "stopping" in first.output)
            started = time.monotonic()
            first.signal(signal.SIGINT)
            assert first.wait() == ExitCode.INTERRUPTED
            assert time.monotonic() - started < scaled(1.5)
        with ServerProcess(broker.url, *options):
            wait_until(lambda: gate.begun == ["begun"] * 2)
            gate.open()
            assert running.result() == "begun"


def test_no_worker_outlives_a_server_that_was_killed(broker: PrivateBroker, queue: str) -> None:
    options = ("--workers", "3", "--queue", queue)
    with RpcClient(broker.url, queue=queue, wait_for_server=10) as client:
        with ServerProcess(broker.url, *options) as server:
            # One call to C takes seconds; the third worker is idle.
            running = [client.submit("fib", 60_000_000, timeout=15) for _ in range(2)]
            time.sleep(0.5)
            family = server.family()
            assert len(family) == 4
            server.signal(signal.SIGKILL)
            wait_until(lambda: not any(is_running(process) for process in family), within=2)
        for future in running:
            future.cancel()


def test_a_registry_that_cannot_be_imported_ends_the_start_with_its_traceback(broker: PrivateBroker) -> None:
    with ServerProcess(broker.url, registry="broken:registry", ready=False) as server:
        assert server.wait() == ExitCode.REGISTRY_FAILED
        assert "Traceback" in server.output
        assert "ZeroDivisionError" in server.output
        assert "broken.py" in server.output


@pytest.mark.parametrize(
    ("registry", "sentence"),
    [
        ("troublesome", "MODULE:NAME"),
        ("troublesome.py:registry", "from its folder: troublesome:registry"),
        ("troublesome:nothing", "no 'nothing' in troublesome; it has troublesome:built_in, troublesome:registry"),
        ("troublesome:os", "not a rpcsvc.Registry"),
        ("no_such_module:registry", "No module named 'no_such_module'. It is looked for in"),
        ("rpcsvc.no_such_module:registry", "No module named 'rpcsvc.no_such_module'. It is looked for in"),
    ],
)
def test_a_registry_that_is_named_wrongly_is_told_apart(broker: PrivateBroker, registry: str, sentence: str) -> None:
    with ServerProcess(broker.url, registry=registry, ready=False) as server:
        assert server.wait() == ExitCode.REGISTRY_FAILED
        assert sentence in server.output


def test_a_registry_whose_own_import_misses_a_module_shows_where(broker: PrivateBroker, tmp_path: Path) -> None:
    (tmp_path / "needs_more.py").write_text("import no_such_module\n")
    environ = {"PYTHONPATH": str(tmp_path)}
    with ServerProcess(broker.url, registry="needs_more:registry", ready=False, environ=environ) as server:
        assert server.wait() == ExitCode.REGISTRY_FAILED
        assert 'needs_more.py", line 1' in server.output
        assert "It is looked for in" not in server.output


def test_a_queue_that_nobody_could_call_is_not_served() -> None:
    with ServerProcess("amqp://127.0.0.1:1/", "--queue", "", ready=False) as server:
        assert server.wait() == ExitCode.USAGE
        assert "the queue's name is empty" in server.output


def test_a_queue_that_cannot_be_served_ends_the_start_with_a_sentence(broker: PrivateBroker, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, exclusive=True)
        with ServerProcess(broker.url, "--queue", queue, ready=False) as server:
            assert server.wait() == ExitCode.NO_BROKER
            assert "belongs to another connection alone" in server.output
            assert "Traceback" not in server.output
        channel.queue_delete(queue)


def test_a_server_without_a_broker_says_so_and_ends() -> None:
    with ServerProcess("amqp://someone:s3cr3t@127.0.0.1:1/", "--connect-timeout", "1", ready=False) as server:
        assert server.wait() == ExitCode.NO_BROKER
        assert "127.0.0.1:1" in server.output
        assert "s3cr3t" not in server.output


def test_the_ready_line_says_what_is_served_where(broker: PrivateBroker, queue: str) -> None:
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue, registry="rpcsvc.functions:registry") as server:
        (line,) = [line for line in server.output.splitlines() if "ready:" in line]
    assert "1 worker serves fib," in line
    assert queue in line
    assert broker.url not in line


def test_a_server_declares_its_deleted_queue_again_and_keeps_its_connection(broker: PrivateBroker, queue: str) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, wait_for_server=10) as client,
    ):
        assert client.call("fib", 30) == 832040
        delete_queue(broker, queue)
        wait_until(lambda: "was deleted" in server.output)
        assert client.call("fib", 30, timeout=10) == 832040
        assert "reconnecting" not in server.output


def delete_queue(broker: PrivateBroker, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.channel().queue_delete(queue)


def test_the_pool_fits_in_a_program_of_ones_own_only_by_name() -> None:
    with pytest.raises(ConfigurationError, match="MODULE:NAME"):
        RpcServer(object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="workers"):
        RpcServer(workers=0)
    with pytest.raises(ConfigurationError, match="prefetch"):
        RpcServer(prefetch=70_000)
