"""A private broker from a shell, and one that does not start: what is said, and what is left."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.processes import is_running

from rpcsvc.broker import PrivateBroker, answers, ports
from rpcsvc.broker.ports import is_free, random_free_port
from rpcsvc.broker.processes import of_node
from rpcsvc.errors import BrokerError, BrokerStartFailed, ConfigurationError
from rpcsvc.settings import BrokerUrl


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is not there yet, with a space in its name. What runs in it afterwards is killed, and a failure."""
    base = Path(tempfile.mkdtemp(prefix="rpcsvc-test-")).resolve()
    folder = base / "own broker"
    yield folder
    left = of_node(folder)
    PrivateBroker(folder).kill()
    shutil.rmtree(base)
    assert not left, "the test left a broker running"


def password(broker: PrivateBroker) -> str:
    return BrokerUrl.parse(broker.url).password


# ---- from a shell


def run_command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rpcsvc", "broker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_start_status_and_stop_from_a_shell_and_a_pipe_from_start_ends(folder: Path) -> None:
    port = random_free_port()
    where = ("--dir", str(folder))

    # capture_output reads to the end of the pipes: this returns only if the node does not hold them.
    started = run_command("start", *where, "--port", str(port))
    is_up = answers(BrokerUrl.parse(PrivateBroker(folder).url))
    status = run_command("status", *where)
    shown = run_command("status", *where, "--show-url")
    stopped = run_command("stop", *where)
    after = run_command("status", *where)

    secret = password(PrivateBroker(folder))
    assert is_up, "it outlives its starter"
    assert (started.returncode, status.returncode, stopped.returncode, after.returncode) == (0, 0, 0, 3)
    assert started.stdout == status.stdout
    assert f"amqp://rpcsvc:***@127.0.0.1:{port}/" in status.stdout
    assert f"amqp://rpcsvc:{secret}@127.0.0.1:{port}/" in shown.stdout
    assert secret not in started.stdout + started.stderr + status.stdout
    assert "has stopped" in stopped.stdout
    assert "no private RabbitMQ runs" in after.stdout
    assert [len(done.stdout.splitlines()) for done in (started, status, stopped, after)] == [1, 1, 1, 1]


def start_in_foreground(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "rpcsvc", "broker", "run", "--dir", str(folder), "--port", str(random_free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "runs at" in line, line
    return process


def _interrupt_and_terminate(process: subprocess.Popen[str], broker: PrivateBroker) -> None:
    """Ctrl-C, and what some supervisors say right behind it: it stops in order all the same."""
    node, log = psutil.Process(broker.pid), broker.status().log
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    assert not is_running(node)
    assert "stopped" in log.read_text().lower()


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (_interrupt_and_terminate, 0, "has ended"),
        (lambda _, broker: os.kill(broker.pid, signal.SIGKILL), 6, "ended by itself"),
    ],
    ids=["ctrl-c", "node lost"],
)
def test_in_the_foreground_ctrl_c_stops_the_node_and_its_loss_is_told(
    folder: Path, end: Callable[[subprocess.Popen[str], PrivateBroker], None], code: int, words: str
) -> None:
    with start_in_foreground(folder) as process:
        end(process, PrivateBroker(folder))
        output, _ = process.communicate(timeout=30)

    assert process.returncode == code, output
    assert words in output
    assert password(PrivateBroker(folder)) not in output
    assert not PrivateBroker(folder).status().running
    PrivateBroker(folder).stop()  # a lost node's epmd


# ---- what does not start


def test_a_taken_port_is_said_before_anything_is_started(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerStartFailed, match=f"port {port} of 127.0.0.1 is taken"):
            PrivateBroker(folder, port=port).start()


@pytest.mark.long
def test_a_temporary_broker_whose_port_was_taken_meanwhile_starts_on_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", random_free_port())) as listener:
        taken = listener.getsockname()[1]
        first = iter([taken])
        monkeypatch.setattr(ports, "random_free_port", lambda: next(first, None) or random_free_port())
        looks = iter([True])  # at the first look it is free, and later no more
        monkeypatch.setattr(ports, "is_free", lambda port: is_free(port) or (port == taken and next(looks, False)))

        with PrivateBroker.temporary(prefix="rpcsvc-test-") as broker:
            assert broker.port not in {taken, ports.DEFAULT_PORT}


def test_a_start_that_fails_shows_the_log_and_leaves_nothing_behind(folder: Path) -> None:
    broker = PrivateBroker(folder, port=random_free_port(), config={"no.such.option": "1"})

    with pytest.raises(BrokerStartFailed, match="ended during its start") as caught:
        broker.start()

    assert "no.such.option" in str(caught.value)
    assert password(broker) not in str(caught.value)
    assert of_node(folder) == []


def test_a_start_that_takes_too_long_leaves_nothing_behind(folder: Path) -> None:
    with pytest.raises(BrokerStartFailed, match="not ready in time"):
        PrivateBroker(folder, port=random_free_port()).start(timeout=0.4)

    assert of_node(folder) == []
    assert not PrivateBroker(folder).status().running


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "node.json").write_text("mine")

    with pytest.raises(ConfigurationError, match="not empty"):
        PrivateBroker(folder).start()
    PrivateBroker(folder).stop()
    PrivateBroker(folder).kill()

    assert (folder / "node.json").read_text() == "mine"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert [entry.name for entry in folder.iterdir()] == ["node.json"]


def test_without_rabbitmq_the_shell_names_the_ways_to_get_one(folder: Path, tmp_path: Path) -> None:
    done = run_command("start", "--dir", str(folder), env={**os.environ, "RPCSVC_RABBITMQ_HOME": str(tmp_path)})

    assert done.returncode == 6
    assert "RPCSVC_RABBITMQ_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


def test_a_node_that_was_never_started_has_no_url_and_stopping_it_is_fine(folder: Path) -> None:
    broker = PrivateBroker(folder)

    broker.stop()
    broker.kill()

    assert repr(broker) == f"<PrivateBroker in {folder}: stopped>"
    with pytest.raises(BrokerError, match="never started"):
        _ = broker.url
