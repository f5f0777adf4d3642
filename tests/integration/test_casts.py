"""Casts on a real broker: each is done at least once, or is a letter that says why it was not, whatever goes away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, is_running, wait_until
from support.strangers import Stranger

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker

REGISTRY = "casting:registry"
CLASSIC = ("--cast-queue-type", "classic")
quorum_and_classic = pytest.mark.parametrize("kind", [(), CLASSIC], ids=["quorum", "classic"])
"""For what depends on how a queue counts deliveries: when servers die."""
quorum_first = pytest.mark.parametrize(
    "kind", [pytest.param((), id="quorum"), pytest.param(CLASSIC, id="classic", marks=pytest.mark.long)]
)


class Trace:
    """What functions have written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    @property
    def lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def wait_for(self, lines: int, within: float = 20.0) -> list[str]:
        wait_until(lambda: len(self.lines) >= lines, within=within)
        return self.lines


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def stranger(broker: PrivateBroker, queue: str) -> Stranger:
    return Stranger(broker.url, queue)


@pytest.fixture
def serve(broker: PrivateBroker, queue: str) -> Callable[..., ServerProcess]:
    """A pool of two workers on the test's queue, to be entered."""

    def serve(*options: str, workers: int = 2, url: str = broker.url) -> ServerProcess:
        return ServerProcess(url, "--workers", str(workers), "--queue", queue, *options, registry=REGISTRY)

    return serve


def is_empty(stranger: Stranger, queue: str | None = None) -> bool:
    """Whether nothing is ready in a queue, and nothing will be, once its consumers have gone."""
    return stranger.count(queue or f"{stranger.queue}.casts") == 0


def wait_for_letters(stranger: Stranger, count: int, queue: str | None = None) -> None:
    wait_until(lambda: stranger.count(f"{queue or stranger.queue}.dead") == count, within=20)


def kill(server: ServerProcess) -> None:
    """SIGKILL, and the end of its family, which it would have seen to."""
    family = server.family()
    server.signal(signal.SIGKILL)
    server.wait()
    wait_until(lambda: not any(map(is_running, family)))


# ---- what becomes of one


@quorum_first
def test_a_cast_is_done_and_acked(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve(*kind) as server:
        assert f"casts from '{stranger.queue}.casts'" in server.output
        for n in range(20):
            stranger.cast("note", str(trace), f"{n}", message_id=f"m{n}")
        trace.wait_for(20)
    assert sorted(trace.lines, key=int) == [str(n) for n in range(20)]
    assert is_empty(stranger)


def test_a_function_is_told_which_cast_it_is(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve():
        stranger.cast("tell", str(trace), message_id="m", headers={"trace": "t"})
        assert trace.wait_for(1) == ["cast m 1 t"]


@quorum_first
def test_one_that_raises_waits_longer_each_time_and_runs_again(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve(*kind):
        stranger.cast("fail_twice", str(trace), message_id="m")
        first, second, third = map(float, trace.wait_for(3))
        assert second - first >= 1.0
        assert third - second >= 2.0
        wait_until(lambda: is_empty(stranger))
        assert stranger.letters() == []


def test_one_that_raises_until_its_attempts_are_over_is_a_letter(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve():
        stranger.cast("fail_always", str(trace), message_id="m", headers={"trace": "t"}, timestamp=1_700_000_000)
        wait_for_letters(stranger, 1)
        (letter,) = stranger.letters()
    assert trace.lines == ["failed", "failed"]
    assert (letter.letter_id, letter.method, letter.attempts) == ("m", "fail_always", 2)
    assert letter.error == "fail_always raised OSError: never"
    assert "casting.py" in letter.traceback
    assert letter.first_published == 1_700_000_000_000
    assert letter.died is not None
    assert abs(letter.died / 1000 - time.time()) < 60
    assert (letter.came_from, letter.headers) == (f"{stranger.queue}.casts", {"trace": "t"})
    assert letter.host == os.uname().nodename


def test_one_whose_function_asks_for_another_time_runs_then_though_it_must_not_run_twice(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve():
        stranger.cast("later_once", str(trace), 1.5, message_id="m")
        first, second = map(float, trace.wait_for(2))
        assert second - first >= 1.5
        wait_until(lambda: is_empty(stranger))
        assert stranger.letters() == []


def test_one_that_nobody_knows_or_that_is_nothing_is_a_letter(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve():
        stranger.cast("nowhere")
        stranger.cast("note", 7)
        stranger.publish(f"{stranger.queue}.casts", b"Hello", b"[]", b"\xff", b"")
        wait_for_letters(stranger, 6)
        letters = stranger.letters()
    assert sorted(letter.error_type for letter in letters) == [
        "InvalidParams",
        "InvalidRequest",
        "MethodNotFound",
        *["ParseError"] * 3,
    ]
    assert trace.lines == []


# ---- workers die


@quorum_first
def test_one_that_takes_its_worker_down_runs_again_and_is_a_letter_in_the_end(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, tmp_path: Path
) -> None:
    once, always = Trace(tmp_path / "once"), Trace(tmp_path / "always")
    with serve(*kind):
        stranger.cast("kill_worker", str(once), 1, message_id="once")
        stranger.cast("kill_worker", str(always), 100, message_id="always")
        assert len(set(once.wait_for(2))) == 2
        wait_for_letters(stranger, 1)
        (letter,) = stranger.letters()
    assert (letter.letter_id, letter.attempts, len(always.lines)) == ("always", 3, 3)
    assert "SIGKILL" in letter.error


def test_what_must_not_run_twice_is_a_letter_when_its_worker_dies(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    with serve():
        stranger.cast("kill_worker_once", str(trace), message_id="m")
        wait_for_letters(stranger, 1)
        (letter,) = stranger.letters()
    assert len(trace.lines) == 1
    assert letter.error_type == "OutcomeUnknown"
    assert "SIGKILL" in letter.error


# ---- servers die


@quorum_and_classic
def test_a_cast_of_a_server_that_is_killed_is_done_by_another(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path
) -> None:
    with serve(*kind) as first:
        stranger.cast("pass_gate", str(trace), "x", str(gate), message_id="m")
        trace.wait_for(1)
        kill(first)
    with serve(*kind):
        trace.wait_for(2)
        gate.touch()
        assert trace.wait_for(3) == ["begun x", "begun x", "done x"]
        wait_until(lambda: is_empty(stranger))
        assert stranger.letters() == []


@quorum_and_classic
def test_what_must_not_run_twice_is_a_letter_when_its_server_was_killed(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path
) -> None:
    with serve(*kind) as first:
        stranger.cast("pass_gate_once", str(trace), "x", str(gate), message_id="m")
        trace.wait_for(1)
        kill(first)
    with serve(*kind):
        wait_for_letters(stranger, 1)
        (letter,) = stranger.letters()
    assert trace.lines == ["begun x"]
    assert letter.error_type == "OutcomeUnknown"


def test_a_cast_that_takes_down_servers_is_a_letter_in_the_end(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path
) -> None:
    """On a classic queue: a quorum queue counts by itself, up to 20."""
    stranger.declare(f"{stranger.queue}.casts")
    stranger.cast("pass_gate", str(trace), "x", str(gate), message_id="m")
    for attempt in (1, 2, 3):
        with serve("--cast-queue-type", "classic") as server:
            trace.wait_for(attempt)
            kill(server)
    with serve("--cast-queue-type", "classic"):
        wait_for_letters(stranger, 1)
        (letter,) = stranger.letters()
    assert (letter.attempts, trace.lines) == (3, ["begun x"] * 3)
    assert "its server" in letter.error


# ---- the connection goes, the broker restarts, the queue is deleted


def test_what_runs_while_the_connection_goes_is_done_once(
    broker: PrivateBroker, serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path
) -> None:
    with serve() as server:
        stranger.cast("pass_gate_once", str(trace), "x", str(gate), message_id="m")
        trace.wait_for(1)
        RabbitCtl(broker).close_all_connections()
        wait_until(lambda: "connected after" in server.output)
        gate.touch()
        assert trace.wait_for(2) == ["begun x", "done x"]
        stranger.cast("note", str(trace), "on it goes")
        assert trace.wait_for(3)[-1] == "on it goes"
        wait_until(lambda: is_empty(stranger))
        assert stranger.letters() == []


@quorum_first
def test_casts_outlive_a_restart_of_the_broker(
    kind: tuple[str, ...],
    broken_broker: PrivateBroker,
    serve: Callable[..., ServerProcess],
    stranger: Stranger,
    trace: Trace,
    gate: Path,
) -> None:
    with serve(*kind) as server:
        stranger.cast("pass_gate", str(trace), "first", str(gate), message_id="first")
        stranger.cast("fail_twice", f"{trace}-later", message_id="later")
        trace.wait_for(1)
        for n in range(10):
            stranger.cast("note", str(trace), str(n), message_id=str(n))
        broken_broker.stop()
        broken_broker.start()
        gate.touch()
        wait_until(lambda: "done first" in trace.lines and {str(n) for n in range(10)} <= set(trace.lines), within=60)
        Trace(Path(f"{trace}-later")).wait_for(3, within=60)
        wait_until(lambda: is_empty(stranger))
        assert stranger.letters() == [], server.output


@quorum_first
def test_the_queue_of_casts_comes_back_when_it_is_deleted(
    kind: tuple[str, ...],
    broker: PrivateBroker,
    serve: Callable[..., ServerProcess],
    stranger: Stranger,
    trace: Trace,
    gate: Path,
) -> None:
    with serve(*kind, workers=3):
        stranger.cast("pass_gate", str(trace), "x", str(gate), message_id="m")
        trace.wait_for(1)
        RabbitCtl(broker).delete_queue(f"{stranger.queue}.casts")
        wait_until(lambda: stranger.count(f"{stranger.queue}.casts") == 0, within=20)
        stranger.cast("note", str(trace), "it is back")
        wait_until(lambda: "it is back" in trace.lines)
        gate.touch()
        wait_until(lambda: "done x" in trace.lines)
        stranger.cast("fail_twice", f"{trace}-later", message_id="later")
        Trace(Path(f"{trace}-later")).wait_for(3)


def test_copies_find_their_way_when_the_levels_were_deleted(
    broker: PrivateBroker, serve: Callable[..., ServerProcess], stranger: Stranger, tmp_path: Path
) -> None:
    first, second = Trace(tmp_path / "first"), Trace(tmp_path / "second")
    with serve():
        stranger.cast("fail_twice", str(first), message_id="first")
        first.wait_for(3)
        for level in range(20):
            RabbitCtl(broker).delete_exchange(f"rpcsvc.delay.{level}")
        stranger.cast("fail_twice", str(second), message_id="second")
        second.wait_for(3)


def test_a_letter_finds_its_way_when_its_queue_was_deleted(
    broker: PrivateBroker, serve: Callable[..., ServerProcess], stranger: Stranger
) -> None:
    with serve():
        RabbitCtl(broker).delete_exchange("rpcsvc.dead")
        stranger.cast("nowhere", message_id="m")
        wait_for_letters(stranger, 1)


# ---- draining


def test_a_drain_finishes_casts(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path
) -> None:
    with serve(workers=3) as server:
        for name in ("x", "y", "z"):
            stranger.cast("pass_gate", str(trace), name, str(gate), message_id=name)
        trace.wait_for(2)
        server.signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.output)
        gate.touch()
        assert server.wait() == 0
    begun, done = ({line.split()[1] for line in trace.lines if line.startswith(how)} for how in ("begun", "done"))
    assert begun == done
    assert stranger.count(f"{stranger.queue}.casts") == 3 - len(done), "what was not begun is for others"


@quorum_first
def test_many_quick_casts_are_held_ahead_and_a_drain_in_the_midst_does_each_once(
    kind: tuple[str, ...], serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    many = 3000
    with serve(*kind, "--no-casts"):
        stranger.declare(f"{stranger.queue}.casts", **({} if kind else {"x-queue-type": "quorum"}))
        body = '{"jsonrpc":"2.0","method":"note","params":["%s","%d"]}'
        bodies = [(body % (trace, n)).encode() for n in range(many)]
        stranger.publish(f"{stranger.queue}.casts", *bodies)
    with serve(*kind) as server:
        trace.wait_for(many // 3)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert len(trace.lines) < many
    with serve(*kind):
        trace.wait_for(many, within=60)
        wait_until(lambda: is_empty(stranger))
    assert sorted(map(int, trace.lines)) == list(range(many))


# ---- queues of others


@contextmanager
def task_queue(stranger: Stranger, **properties: object) -> Iterator[str]:
    name = f"task-{stranger.queue}"
    stranger.declare(name, **properties)  # type: ignore[arg-type]
    yield name


@pytest.mark.parametrize(
    "declared",
    [{"durable": False}, {"durable": True}, {"durable": True, "x-queue-type": "quorum"}],
    ids=["transient", "durable", "quorum"],
)
def test_plain_text_of_strangers_is_for_the_default_function(
    declared: dict[str, object],
    broker_version: tuple[int, ...],
    serve: Callable[..., ServerProcess],
    stranger: Stranger,
    trace: Trace,
) -> None:
    if declared == {"durable": False} and broker_version >= (4, 3):
        pytest.skip("no longer allowed")
    with task_queue(stranger, **declared) as tasks, serve("--casts-from", tasks) as server:
        assert f"casts from '{stranger.queue}.casts', '{tasks}'\n" in server.output
        stranger.publish(
            tasks, f"{trace}\nHello World...".encode(), f"{trace}\n안녕 30".encode(), f"{trace}\n\xff".encode("latin-1")
        )
        stranger.cast("note", str(trace), "a request is one", queue=tasks)
        assert set(trace.wait_for(4)) == {
            "str Hello World...",
            "str 안녕 30",
            "bytes \xff",
            "a request is one",
        }
        stranger.cast("fail_twice", f"{trace}-later", queue=tasks)
        first, second, _ = map(float, Trace(Path(f"{trace}-later")).wait_for(3))
        assert second - first >= 1.0
        stranger.cast("nowhere", queue=tasks)
        wait_for_letters(stranger, 1, tasks)
        (letter,) = stranger.letters(tasks)
        assert letter.came_from == tasks
    assert is_empty(stranger, tasks)


def test_a_queue_of_others_may_come_later(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace
) -> None:
    tasks = f"task-{stranger.queue}"
    with serve("--casts-from", tasks) as server:
        assert f"'{tasks}' (not there yet)" in server.output
        stranger.declare(tasks)
        stranger.cast("note", str(trace), "here", queue=tasks)
        assert trace.wait_for(1) == ["here"]


# ---- without casts, and without the rights


def test_without_casts_there_is_no_queue_for_them(serve: Callable[..., ServerProcess], stranger: Stranger) -> None:
    with serve("--no-casts") as server:
        assert "casts" not in server.output
    assert stranger.count(f"{stranger.queue}.casts") == -1


@pytest.fixture
def user(broker: PrivateBroker, queue: str) -> Iterator[Callable[[str, str, str], str]]:
    """A user with the rights that are given, by the URL."""
    ctl = RabbitCtl(broker)

    def make(configure: str, write: str, read: str) -> str:
        ctl("add_user", queue, "secret")
        ctl("set_permissions", queue, configure, write, read)
        return broker.url.replace(broker.url.partition("//")[2].partition("@")[0], f"{queue}:secret")

    yield make
    ctl("delete_user", queue)


def test_who_may_not_declare_them_serves_calls_as_before_and_is_told_once(
    broker: PrivateBroker, serve: Callable[..., ServerProcess], queue: str, user: Callable[[str, str, str], str]
) -> None:
    url = user(rf"^({queue}|rpcsvc\.control|rpcsvc\.events|amq\.gen.*)$", ".*", ".*")
    with serve(url=url) as server, RpcClient(broker.url, queue=queue, timeout=20) as client:
        assert "casts from" not in server.output
        assert client.call("pid") > 0
        RabbitCtl(broker).close_all_connections()
        wait_until(lambda: "connected after" in server.output)
        assert client.call("pid") > 0
        assert server.output.count("are not served") == 1


def test_who_may_not_bind_a_queue_of_others_tries_its_casts_again_at_once(
    serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, user: Callable[[str, str, str], str]
) -> None:
    with task_queue(stranger) as tasks:
        # Binding a queue takes the right to write to it.
        url = user(".*", rf"^(?!{tasks}$).*$", ".*")
        with serve("--casts-from", tasks, url=url) as server:
            assert f"'{tasks}' (without delays)" in server.output
            stranger.cast("fail_twice", str(trace), queue=tasks)
            first, _, third = map(float, trace.wait_for(3))
            assert third - first < 2.5
            stranger.cast("nowhere", queue=tasks)
            wait_for_letters(stranger, 1, tasks)


def test_calls_go_first(serve: Callable[..., ServerProcess], stranger: Stranger, trace: Trace, gate: Path) -> None:
    with serve() as server, RpcClient(stranger.url, queue=stranger.queue, timeout=20) as client:
        for name in ("x", "y", "z"):
            stranger.cast("pass_gate", str(trace), name, str(gate))
        trace.wait_for(1)
        assert client.call("pid") in {process.pid for process in psutil.Process(server.pid).children(recursive=True)}
        assert trace.lines == ["begun x"], "one of two workers has casts at most"
        gate.touch()
        trace.wait_for(6)
