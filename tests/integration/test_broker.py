"""A private broker, for real: who can reach it, what it leaves behind, what it survives."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.ctl import RabbitCtl, run_tool
from support.processes import wait_until

from rpcsvc.broker import PrivateBroker, answers
from rpcsvc.broker.install import find_server
from rpcsvc.broker.ports import is_free, random_free_port
from rpcsvc.broker.probe import open_and_close
from rpcsvc.broker.processes import marked, of_node
from rpcsvc.errors import AccessRefused, AuthenticationFailed, BrokerError, BrokerStartFailed, ConnectionFailed
from rpcsvc.settings import BrokerUrl, private_node_url
from rpcsvc.testing import scaled


@pytest.fixture(scope="module")
def another() -> Iterator[PrivateBroker]:
    """A broker beside the session's own that nobody has started yet, unless another test has."""
    base = Path(tempfile.mkdtemp(prefix="rpcsvc-test-")).resolve()
    broker = PrivateBroker(base / "größe" / ("long" * 40), port=random_free_port())
    yield broker
    broker.kill()
    shutil.rmtree(base)


@pytest.fixture
def second(another: PrivateBroker) -> PrivateBroker:
    """The same, started at least once, for tests that stop and start it; each leaves it as it likes."""
    if not another.folder.exists():
        another.start()
    return another


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """Every TCP address that one of the processes listens on."""
    connections = [c for process in processes for c in process.net_connections("inet")]
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}


# ---- the session's own, which nobody stops


def test_every_socket_of_the_node_is_bound_to_loopback(broker: PrivateBroker) -> None:
    processes = of_node(broker.folder)
    addresses = listening(processes)

    assert {"beam.smp", "epmd"} <= {process.name() for process in processes}
    assert ("127.0.0.1", broker.port) in addresses
    assert {ip for ip, _ in addresses} <= {"127.0.0.1", "::1"}
    assert len({port for _, port in addresses}) == 3, "AMQP, the distribution, epmd, and nothing else"


def test_its_epmd_is_its_own(broker: PrivateBroker) -> None:
    epmd = [process for process in of_node(broker.folder) if process.name() == "epmd"]

    assert len(epmd) == 1
    assert 4369 not in {port for _, port in listening(epmd)}


def test_its_user_gets_in_and_guest_does_not(broker: PrivateBroker) -> None:
    url = BrokerUrl.parse(broker.url)

    open_and_close(url)
    with pytest.raises(AuthenticationFailed):
        open_and_close(dataclasses.replace(url, user="guest", password="guest"))
    with pytest.raises(AuthenticationFailed):
        open_and_close(dataclasses.replace(url, password="wrong"))
    with pytest.raises(AccessRefused, match="virtual host"):
        open_and_close(dataclasses.replace(url, vhost="nowhere"))


def test_the_password_is_in_no_argument_list_log_or_repr(broker: PrivateBroker) -> None:
    secret = BrokerUrl.parse(broker.url).password
    log = broker.status().log
    open_and_close(BrokerUrl.parse(broker.url))
    wait_until(lambda: "user 'rpcsvc' authenticated" in log.read_text())  # it is written a moment later

    arguments = [" ".join(process.cmdline()) for process in of_node(broker.folder)]
    logs = [path.read_text() for path in log.parent.iterdir()]

    assert len(secret) >= 32
    assert len(arguments) >= 2
    assert len(logs) >= 2
    assert not [text for text in (*arguments, *logs) if secret in text]
    assert secret not in repr(broker) + repr(broker.status()) + str(broker.status())


def test_only_its_user_can_read_its_files(broker: PrivateBroker) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(broker.folder) == 0o700
    files = [path for path in broker.folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if mode(path) & 0o077]


def test_clients_find_the_running_node_by_its_folder(broker: PrivateBroker) -> None:
    status = broker.status()

    assert private_node_url(broker.folder) == broker.url
    assert status.running
    assert (status.pid, status.port) == (broker.pid, broker.port)
    assert str(status.url) == f"amqp://rpcsvc:***@127.0.0.1:{broker.port}/"


def test_starting_a_running_one_changes_nothing(broker: PrivateBroker) -> None:
    pid = broker.pid

    PrivateBroker(broker.folder).start()

    assert broker.pid == pid
    with pytest.raises(BrokerStartFailed, match="runs already"):
        PrivateBroker(broker.folder, port=random_free_port()).start()


def test_it_answers_and_a_closed_port_does_not(broker: PrivateBroker) -> None:
    url = BrokerUrl.parse(broker.url)
    nobody = dataclasses.replace(url, port=random_free_port())

    assert answers(url)
    assert answers(dataclasses.replace(url, user="nobody"))
    assert not answers(nobody)
    with pytest.raises(ConnectionFailed, match="no AMQP broker can be reached"):
        open_and_close(nobody)


def test_waiting_for_a_running_node_ends_with_the_timeout(broker: PrivateBroker) -> None:
    assert not broker.wait(0.05)


# ---- one beside it, started, killed, started again, stopped: each begins with it as the one before has left it


def test_two_starters_at_once_start_one_node(another: PrivateBroker) -> None:
    another.stop()
    errors: list[Exception] = []

    def start() -> None:
        try:
            PrivateBroker(another.folder).start()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert [process.name() for process in of_node(another.folder)].count("beam.smp") == 1


def test_a_second_node_is_killed_and_comes_back_with_its_port_and_data_while_the_first_runs_on(
    broker: PrivateBroker, second: PrivateBroker
) -> None:
    first_pid = broker.pid
    if not second.status().running:
        second.start()
    port, url = second.port, second.url

    assert BrokerUrl.parse(second.url).password != BrokerUrl.parse(broker.url).password
    open_and_close(BrokerUrl.parse(url))

    began = time.monotonic()
    second.kill()
    assert time.monotonic() - began < scaled(3)

    assert of_node(second.folder) == []
    assert not (second.folder / "node.json").exists()
    assert private_node_url(second.folder) is None
    assert not second.status().running
    assert second.wait(1)
    with pytest.raises(BrokerError, match="no broker runs"):
        _ = second.pid
    assert (second.port, second.url) == (port, url), "a stopped one still knows where it will be"

    PrivateBroker(second.folder).start()  # told no port: it takes the one it had

    assert second.port == port
    open_and_close(BrokerUrl.parse(url))

    second.stop()
    second.stop()

    assert of_node(second.folder) == []
    assert is_free(port)
    assert not second.status().running
    assert broker.pid == first_pid
    open_and_close(BrokerUrl.parse(broker.url))


def test_a_node_whose_epmd_was_late_is_tried_again_on_the_port_it_is_to_have(
    second: PrivateBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.stop()
    (tmp_path / "rabbitmq-env").touch()
    program = tmp_path / "rabbitmq-server"
    program.write_text(
        "#!/bin/sh\n"
        f'if mkdir "{tmp_path}/tried" 2>/dev/null; then\n'
        "  echo \"Protocol 'inet_tcp': register/listen error: econnrefused\"; exit 1\n"
        "fi\n"
        f'exec "{find_server()}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("RPCSVC_RABBITMQ_HOME", str(tmp_path))

    PrivateBroker(second.folder, port=second.port).start()

    assert (tmp_path / "tried").exists()
    open_and_close(BrokerUrl.parse(second.url))


# One that is told its port, and tried again, is the one whose epmd was late.
@pytest.mark.parametrize(
    "told", [pytest.param(True, id="told its port", marks=pytest.mark.long), pytest.param(False, id="not told")]
)
def test_it_waits_for_the_port_it_had_which_a_killed_node_may_hold_a_moment_longer(
    second: PrivateBroker, *, told: bool
) -> None:
    if not second.status().running:
        second.start()
    port = second.port
    second.kill()
    held = socket.create_server(("127.0.0.1", port))
    letting_go = threading.Timer(0.4, held.close)
    letting_go.start()

    PrivateBroker(second.folder, port=port if told else None).start()

    letting_go.join()
    assert second.port == port


def test_a_command_for_a_node_that_is_gone_starts_no_epmd_for_it(second: PrivateBroker) -> None:
    if not second.status().running:
        second.start()
    environment = RabbitCtl(second).environment()
    second.kill()
    with pytest.raises(RuntimeError, match="list_queues"):
        run_tool("rabbitmqctl", ("list_queues",), second.folder, environment)
    assert marked("ERL_EPMD_PORT", environment["ERL_EPMD_PORT"]) == []


def test_a_note_of_a_process_that_is_gone_or_another_one_counts_as_not_running(second: PrivateBroker) -> None:
    second.kill()
    node = {"url": second.url, "created": psutil.Process().create_time()}

    for pid in (os.getpid(), 2**31 - 1, -1):  # another process; none; nonsense
        (second.folder / "node.json").write_text(json.dumps({**node, "pid": pid}))
        assert not second.status().running
    (second.folder / "node.json").write_text("{half a no")
    assert not second.status().running

    second.kill()
    assert psutil.pid_exists(os.getpid()), "nobody was killed for a stale note"
