"""Coroutine functions: on one event loop in each worker, as many at a time as it has threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import FunctionRaised, RpcClient, TimeLimitExceeded, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled


@pytest.fixture(params=[1, 16], ids=["one thread", "16 threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def caller(broker: PrivateBroker, queue: str, threads: int) -> Iterator[RpcClient]:
    options = ("--queue", queue, "--workers", "2", "--threads", str(threads))
    with (
        ServerProcess(broker.url, *options, registry="coroutines:registry") as server,
        RpcClient(broker.url, queue=queue, timeout=scaled(30), pack=False) as client,
    ):
        yield client
        print(server.output)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_as_many_wait_at_once_as_there_are_threads(caller: RpcClient, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    futures = [caller.submit("wait_noting", str(path), n, 1.0) for n in range(2 * threads)]
    assert [future.result() for future in futures] == list(range(2 * threads))
    assert {line.split()[1] for line in lines(path)[: 2 * threads]} == {"begun"}
    places = [caller.submit("where") for _ in range(16)]
    assert len({tuple(place.result()[:2]) for place in places}) <= 2, "one loop in each worker"
    assert caller.call("plainly", 3) == 3
    assert caller.call("echo_of_a_program") == "hello"
    assert list(caller.map("wait", [0.001] * 20, range(20))) == list(range(20))


def test_each_is_told_of_its_own_call_in_all_that_it_awaits(caller: RpcClient) -> None:
    futures = [caller.submit("about_me", 0.05) for _ in range(32)]
    told = [future.result() for future in futures]
    assert all(call == [call[0]] * 3 and call[0][1] == "about_me" for call in told)
    assert len({call[0][0] for call in told}) == 32


def test_a_soft_limit_cancels_the_task_which_tidies_up(caller: RpcClient, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    with pytest.raises(TimeLimitExceeded) as caught:
        caller.call("over_softly", str(path))
    assert caught.value.data == {"seconds": 0.2, "soft": True}
    assert lines(path) == ["0 begun", "0 cancelled", "0 tidied"]
    assert caller.call("give_what_there_is") == "what there is"


def test_a_cancel_cancels_the_task_and_its_worker_lives_on(caller: RpcClient, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    before = {tuple(future.result()) for future in [caller.submit("where") for _ in range(8)]}
    future = caller.submit("wait_noting", str(path), 5, 60)
    wait_until(lambda: lines(path) == ["5 begun"])
    future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    wait_until(lambda: lines(path) == ["5 begun", "5 cancelled", "5 tidied"])
    after = {tuple(future.result()) for future in [caller.submit("where") for _ in range(8)]}
    assert len(before | after) <= 2


@pytest.mark.parametrize(
    "kind", ["TimeoutError", "SystemExit", "KeyboardInterrupt", "CancelledError", "TimeLimitExceeded"]
)
def test_whatever_it_raises_is_its_callers_and_the_loop_goes_on(caller: RpcClient, kind: str) -> None:
    for _ in range(3):
        with pytest.raises(FunctionRaised, match=kind):
            caller.call("fail", kind)
    assert caller.call("leave_a_task_that_exits") == "left"
    assert [caller.call("wait", 0.01, n) for n in range(4)] == list(range(4))


def test_the_time_limit_holds_for_one_that_blocks_the_loop(caller: RpcClient) -> None:
    with pytest.raises(TimeLimitExceeded):
        caller.call("block")
    with pytest.raises(WorkerLost):
        caller.call("die")
    assert caller.call("wait", 0, "goes on") == "goes on"


def test_a_child_that_one_has_forked_answers_nothing(caller: RpcClient) -> None:
    assert [caller.call("fork_and_return") for _ in range(3)] == [7] * 3


def test_casts_are_done_too(caller: RpcClient, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    caller.cast("wait_noting", str(path), 1, 0.01)
    wait_until(lambda: lines(path) == ["1 begun", "1 tidied"])
