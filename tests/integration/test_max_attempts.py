"""A call whose worker dies over it is tried as often as its function says, and never more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.processes import ServerProcess
from ticks import in_one_tick

from rpcsvc import RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def starts(path: Path) -> Counter[int]:
    return Counter(map(int, path.read_text().split()))


def test_a_call_is_tried_once_unless_its_function_says_otherwise(client: RpcClient, path: Path) -> None:
    with pytest.raises(WorkerLost):
        client.call("die_at_first", str(path), 1, 1)
    assert starts(path) == {1: 1}


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_call_that_takes_its_worker_down_is_tried_again_until_it_succeeds(
    client: RpcClient, path: Path, deaths: int
) -> None:
    assert client.call("die_at_first_3", str(path), 1, deaths) == 1
    assert starts(path) == {1: deaths + 1}


def test_a_call_that_always_takes_its_worker_down_is_answered_after_its_attempts(client: RpcClient, path: Path) -> None:
    with pytest.raises(WorkerLost) as caught:
        client.call("die_at_first_3", str(path), 1, 99)
    assert caught.value.exit_code == 7
    assert starts(path) == {1: 3}


@pytest.mark.parametrize(("method", "tried"), [("die_at_first", 1), ("die_at_first_3", 3)])
def test_in_a_message_of_many_only_the_culprit_is_tried_again(
    client: RpcClient, path: Path, method: str, tried: int
) -> None:
    deaths = [99 if n == 5 else 0 for n in range(10)]
    ends = list(client.map(method, [str(path)] * 10, range(10), deaths, chunksize=10, return_exceptions=True))
    assert isinstance(ends.pop(5), WorkerLost)
    assert ends == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert starts(path)[5] == tried


def test_a_culprit_of_a_message_of_many_may_succeed_in_the_end(client: RpcClient, path: Path) -> None:
    deaths = [2 if n in (3, 5) else 0 for n in range(10)]
    assert list(client.map("die_at_first_3", [str(path)] * 10, range(10), deaths, chunksize=10)) == list(range(10))


def test_calls_that_were_packed_are_tried_as_often(client: RpcClient, path: Path) -> None:
    for _ in range(3):
        for future in in_one_tick(
            client, lambda: [client.submit("die_at_first_3", str(path), 1000, 0) for _ in range(200)]
        ):
            future.result()
    path.unlink()
    deaths = [99 if n == 50 else 2 if n == 150 else 0 for n in range(200)]
    futures = in_one_tick(
        client, lambda: [client.submit("die_at_first_3", str(path), n, each) for n, each in enumerate(deaths)]
    )
    for number, future in enumerate(futures):
        if number == 50:
            assert isinstance(future.exception(), WorkerLost)
        else:
            assert future.result() == number
    assert starts(path)[50] == starts(path)[150] == 3


def test_a_call_that_is_never_done_leaves_the_pool_well(broker: PrivateBroker, queue: str, path: Path) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue),
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        for number in range(3):
            with pytest.raises(WorkerLost):
                client.call("die_at_first_3", str(path), number, 99)
        assert client.call("fib", 30) == 832040
    assert starts(path) == {0: 3, 1: 3, 2: 3}
