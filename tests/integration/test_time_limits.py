"""A function that takes too long ends, whatever it does, and its caller is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import RpcClient, TimeLimitExceeded
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled


@pytest.mark.parametrize(
    "how", ["a loop", "C code that keeps the interpreter's lock", "a deadlock", "a stopped process"]
)
def test_the_hard_limit_ends_a_function_whatever_it_does_and_the_pool_goes_on(client: RpcClient, how: str) -> None:
    started = time.monotonic()
    beside = [client.submit("sleep", 0.8) for _ in range(2)]
    with pytest.raises(TimeLimitExceeded, match="time limit"):
        client.call("hold_on", how)
    assert 0.4 < time.monotonic() - started < scaled(1.5)
    assert [future.result() for future in beside] == [0.8, 0.8]
    assert [client.call("fib", 30) for _ in range(10)] == [832040] * 10


def test_the_soft_limit_raises_inside_the_function_which_tidies_up(client: RpcClient, tmp_path: Path) -> None:
    note = tmp_path / "note"
    before = {client.call("pid") for _ in range(20)}
    with pytest.raises(TimeLimitExceeded, match=r"tidy_up: ran longer than its soft limit of 0\.3 s"):
        client.call("tidy_up", str(note), False)
    assert note.read_text() == "tidied\n"
    assert client.call("tidy_up", str(note), True) == "what there was by then"
    assert {client.call("pid") for _ in range(20)} <= before, "no worker had to die for it"


def test_a_function_that_is_quick_enough_notices_nothing_of_its_limits(client: RpcClient) -> None:
    assert [client.call("double_slowly", number) for number in range(12)] == [2 * number for number in range(12)]
    time.sleep(0.6)
    assert client.call("double_slowly", 1) == 2


def test_in_a_map_only_the_item_that_takes_too_long_fails(client: RpcClient) -> None:
    results = list(client.map("double_slowly", range(200), return_exceptions=True))
    assert isinstance(results.pop(13), TimeLimitExceeded)
    assert results == [2 * number for number in range(200) if number != 13]


def test_a_server_has_limits_for_functions_without_their_own(broker: PrivateBroker, queue: str) -> None:
    options = ("--workers", "2", "--queue", queue, "--time-limit", "1", "--soft-time-limit", "0.3")
    with ServerProcess(broker.url, *options) as server, RpcClient(broker.url, queue=queue) as client:
        with pytest.raises(TimeLimitExceeded, match="soft"):
            client.call("sleep", 30)
        with pytest.raises(TimeLimitExceeded, match="killed"):
            client.call("never_mind")
        assert client.call("fib", 30) == 832040
        wait_until(lambda: len(server.family()) == 3)


def test_limits_that_make_no_sense_are_refused(broker: PrivateBroker) -> None:
    with ServerProcess(broker.url, "--time-limit", "1", "--soft-time-limit", "2", ready=False) as server:
        assert server.wait() == 2
        assert "below the hard one" in server.output
