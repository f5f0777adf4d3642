"""Workers with several threads: 32 calls at once in two workers, with limits, cancels and real deaths among them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import (
    FunctionRaised,
    MemoryLimitExceeded,
    RpcClient,
    TimeLimitExceeded,
    WorkerLost,
)
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

THREADS = 16


def serving(
    broker: PrivateBroker, queue: str, *options: str, workers: int = 2, threads: int = THREADS
) -> ServerProcess:
    return ServerProcess(
        broker.url,
        *("--queue", queue, "--workers", str(workers), "--threads", str(threads), *options),
        registry="waiting_calls:registry",
    )


@pytest.fixture
def threaded(broker: PrivateBroker, queue: str) -> Iterator[ServerProcess]:
    with serving(broker, queue) as server:
        yield server
        print(server.output)


@pytest.fixture
def caller(broker: PrivateBroker, queue: str, threaded: ServerProcess) -> Iterator[RpcClient]:
    with RpcClient(broker.url, queue=queue, timeout=scaled(30), pack=False) as client:
        yield client
        assert client.pending == 0, "every call has ended when a test ends"


def workers_of(server: ServerProcess) -> set[int]:
    (fork_server,) = psutil.Process(server.pid).children()
    return {child.pid for child in fork_server.children() if child.status() != psutil.STATUS_ZOMBIE}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def numbers(path: Path, word: str) -> list[int]:
    return [int(line.split()[0]) for line in lines(path) if line.endswith(word)]


def results(futures: list[Future[Any]]) -> list[Any]:
    return [future.result() for future in futures]


# ---- how they run


def test_32_calls_wait_at_once_in_two_workers_and_are_answered_in_the_order_in_which_they_end(
    caller: RpcClient, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    futures = [caller.submit("wait_noting", str(path), n, 1.0 - n / 64) for n in range(32)]
    assert results(futures) == list(range(32))
    assert set(numbers(path, "begun")[:32]) == set(range(32)), "all had begun before one ended"
    assert [line.split()[-1] for line in lines(path)] == ["begun"] * 32 + ["ended"] * 32
    assert numbers(path, "ended")[0] > numbers(path, "ended")[-1]


def test_calls_spread_over_the_workers_and_each_has_its_own_thread(caller: RpcClient) -> None:
    caller.call("wait", 0)
    futures = [caller.submit("wait", 0.3) for _ in range(16)]
    places = results([caller.submit("where") for _ in range(16)])
    results(futures)
    assert len({pid for pid, _ in places}) == 2


def test_each_call_is_told_of_itself_alone_however_many_run_beside_it(caller: RpcClient) -> None:
    futures = [caller.submit("about_me", 0.1) for _ in range(32)]
    told = results(futures)
    assert all(before[:2] == after[:2] and before[1] == "about_me" for before, after in told)
    assert len({before[0] for before, _ in told}) == 32
    assert all(remaining is not None for call in told for *_, remaining in call)
    assert caller.call("call_in_a_thread_of_its_own") is True


def test_exceptions_exits_large_answers_and_maps_are_as_in_workers_with_one_thread(caller: RpcClient) -> None:
    long = [caller.submit("wait", 0.5, n) for n in range(16)]
    with pytest.raises(FunctionRaised, match="SystemExit: 3"):
        caller.call("leave")
    large = [caller.submit("big", 3_000_000 + n) for n in range(4)]
    assert [len(result) for result in results(large)] == [3_000_000 + n for n in range(4)]
    assert list(caller.map("wait", [0.001] * 50, range(50))) == list(range(50))
    assert len(set(results([caller.submit("draw") for _ in range(32)]))) == 32
    assert results(long) == list(range(16))
    assert caller.call("started") == 1


def test_a_child_that_a_function_has_forked_answers_nothing_and_ends(
    caller: RpcClient, threaded: ServerProcess
) -> None:
    beside = [caller.submit("wait", 0.5, n) for n in range(8)]
    assert results([caller.submit("fork_and_return") for _ in range(8)]) == [7] * 8
    assert results(beside) == list(range(8))
    wait_until(lambda: len(threaded.family()) == 3, within=5)


# ---- what ends calls


def test_soft_limits_are_raised_inside_functions_while_others_go_on(caller: RpcClient) -> None:
    beside = [caller.submit("wait", 1.0, n) for n in range(16)]
    over = [caller.submit("over_softly") for _ in range(8)]
    kept = [caller.submit("give_what_there_is") for _ in range(8)]
    for future in over:
        error = future.exception()
        assert isinstance(error, TimeLimitExceeded)
        assert error.data == {"seconds": 0.3, "soft": True}
    assert results(kept) == ["ran longer than its soft limit of 0.3 s"] * 8
    assert results(beside) == list(range(16))


def test_a_function_that_raises_by_itself_when_its_limit_comes_ends_once_and_leaves_its_thread_in_order(
    caller: RpcClient, tmp_path: Path
) -> None:
    for future in [caller.submit("raise_after_a_sleep") for _ in range(96)]:
        assert isinstance(future.exception(), TimeLimitExceeded | FunctionRaised)
    path = tmp_path / "notes"
    assert results([caller.submit("wait_noting", str(path), n, 0.5) for n in range(32)]) == list(range(32))
    assert [line.split()[-1] for line in lines(path)[:32]] == ["begun"] * 32, "all threads are there"
    assert set(results([caller.submit("set_mine", "mine") for _ in range(64)])) == {"nobody's"}


def test_the_hard_limit_ends_its_own_calls_and_those_beside_them_run_again(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    before = workers_of(threaded)
    over = [caller.submit("over_hard") for _ in range(4)]
    beside = [caller.submit("wait_noting", str(path), n, 0.8) for n in range(20)]
    once = [caller.submit("wait_once", str(path), 100 + n, 0.8) for n in range(8)]
    for future in over:
        error = future.exception()
        assert isinstance(error, TimeLimitExceeded)
        assert error.data == {"seconds": 0.5, "soft": False}
    assert results(beside) == list(range(20))
    for future in once:
        assert isinstance(future.exception(), WorkerLost)
        assert "beside it" in str(future.exception())
    begun = numbers(path, "begun")
    assert all(begun.count(100 + n) == 1 for n in range(8)), "what must not run twice did not"
    wait_until(lambda: len(now := workers_of(threaded)) == 2 and not now & before, within=5)


def test_cancelled_calls_are_stopped_and_their_workers_live_on(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    before = workers_of(threaded)
    beside = [caller.submit("wait", 1.5, n) for n in range(16)]
    given_up = [caller.submit("wait_in_steps", str(path), n) for n in range(16)]
    wait_until(lambda: len(numbers(path, "begun")) == 16)
    for future in given_up:
        future.cancel()
    wait_until(lambda: len(numbers(path, "CallCancelled")) == 16)
    assert results(beside) == list(range(16))
    assert results([caller.submit("wait", 0.1, n) for n in range(32)]) == list(range(32))
    assert workers_of(threaded) == before


def test_a_cancelled_call_that_does_not_end_harms_none_beside_it_and_its_worker_ends_after_them(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    with serving(broker, queue, "--cancel-grace", "0.2", workers=1) as server:
        with RpcClient(broker.url, queue=queue, timeout=scaled(30), pack=False) as client:
            (first,) = workers_of(server)
            deaf = client.submit("wait", 60)
            beside = [client.submit("wait_once", str(path), n, 1.5) for n in range(8)]
            wait_until(lambda: len(lines(path)) == 8)
            deaf.cancel()
            assert results(beside) == list(range(8))
            wait_until(lambda: first not in workers_of(server) and len(workers_of(server)) == 1, within=5)
            assert client.call("wait", 0, "goes on") == "goes on"
        assert "is replaced: a call in it goes on that nobody waits for" in server.output


def test_a_call_whose_time_out_passes_in_a_sleep_harms_none_beside_it(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    beside = [caller.submit("wait_once", str(path), n, 4.0) for n in range(16)]
    late = [caller.submit("wait", 60, timeout=scaled(0.3)) for _ in range(4)]
    assert all(future.exception() is not None for future in late)
    assert results(beside) == list(range(16))


def test_a_worker_over_its_memory_is_killed_and_the_calls_in_it_run_alone(broker: PrivateBroker, queue: str) -> None:
    with (
        serving(broker, queue) as server,
        RpcClient(broker.url, queue=queue, timeout=scaled(30), pack=False) as client,
    ):
        small = [client.submit("hold", 60 * 2**20, 0.4) for _ in range(8)]
        large = client.submit("hold", 400 * 2**20, 5.0)
        error = large.exception()
        assert isinstance(error, MemoryLimitExceeded)
        assert error.data["limit"] == 200 * 2**20
        assert results(small) == [60 * 2**20] * 8
        wait_until(lambda: len(workers_of(server)) == 2, within=5)


# ---- deaths


def test_the_one_that_kills_its_worker_again_is_lost_and_the_others_beside_it_run_again_alone(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path, deaths = tmp_path / "notes", tmp_path / "deaths"
    beside = [caller.submit("wait_noting", str(path), n, 0.4) for n in range(24)]
    once = [caller.submit("wait_once", str(path), 100 + n, 0.4) for n in range(4)]
    wait_until(lambda: len(numbers(path, "begun")) == 28)
    killer = caller.submit("die", str(deaths))
    error = killer.exception()
    assert isinstance(error, WorkerLost)
    assert error.signal_number == signal.SIGKILL
    assert len(lines(deaths)) == 2, "once beside others, once alone"
    assert results(beside) == list(range(24))
    outcomes = [future.exception() for future in once]
    assert all(outcome is None or isinstance(outcome, WorkerLost) for outcome in outcomes)
    begun = numbers(path, "begun")
    assert all(begun.count(100 + n) == 1 for n in range(4))
    assert {begun.count(n) for n in range(24)} == {1, 2}
    _assert_alone([line for line in lines(path) if begun.count(int(line.split()[0])) == 2])
    wait_until(lambda: len(workers_of(threaded)) == 2, within=5)


def _assert_alone(notes: list[str]) -> None:
    """The second runs do not overlap in a worker."""
    runs = [line.split() for line in notes]
    ended = [(pid, number, float(at)) for number, pid, at, word in runs if word == "ended"]
    starts = {(pid, number): float(at) for number, pid, at, word in runs if word == "begun"}
    spans = sorted((pid, starts[pid, number], at) for pid, number, at in ended)
    for (one, _, end), (other, start, _) in pairwise(spans):
        assert one != other or start >= end - 0.001


def test_calls_that_crash_only_beside_others_succeed_alone(caller: RpcClient, tmp_path: Path) -> None:
    beside = [caller.submit("wait", 0.3, n) for n in range(30)]
    assert caller.call("die_at_first", str(tmp_path / "runs")) == "alive"
    assert results(beside) == list(range(30))


def test_max_attempts_counts_runs_alone(caller: RpcClient, tmp_path: Path) -> None:
    beside = [caller.submit("wait", 0.4, n) for n in range(8)]
    assert isinstance(caller.submit("die_thrice", str(tmp_path / "deaths")).exception(), WorkerLost)
    assert results(beside) == list(range(8))
    assert len(lines(tmp_path / "deaths")) == 4


def test_several_killers_at_once_each_get_their_own_error_and_nobody_else_does(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    killers = [caller.submit("die", str(tmp_path / "deaths"), 0.2) for _ in range(4)]
    beside = [caller.submit("wait", 0.3, n) for n in range(28)]
    assert all(isinstance(future.exception(), WorkerLost) for future in killers)
    assert results(beside) == list(range(28))
    wait_until(lambda: len(workers_of(threaded)) == 2, within=5)


def test_a_worker_killed_from_outside_loses_no_call_that_may_run_again(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    futures = [caller.submit("wait_noting", str(path), n, 0.5) for n in range(32)]
    wait_until(lambda: len(numbers(path, "begun")) == 32)
    os.kill(min(workers_of(threaded)), signal.SIGKILL)
    assert results(futures) == list(range(32))


def test_a_call_alone_in_its_worker_is_lost_with_it_at_once(caller: RpcClient, tmp_path: Path) -> None:
    assert isinstance(caller.submit("die", str(tmp_path / "deaths")).exception(), WorkerLost)
    assert len(lines(tmp_path / "deaths")) == 1


# ---- casts


def test_casts_leave_a_slot_for_calls_in_a_pool_of_one_worker(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    with (
        serving(broker, queue, workers=1, threads=4),
        RpcClient(broker.url, queue=queue, timeout=scaled(30)) as client,
    ):
        for number in range(6):
            client.cast("wait_noting", str(path), number, 3.0)
        wait_until(lambda: len(lines(path)) == 3)
        began = time.monotonic()
        assert client.call("wait", 0, 1) == 1
        assert time.monotonic() - began < scaled(2.0)
        assert numbers(path, "ended") == []
        wait_until(lambda: len(numbers(path, "ended")) == 6, within=20)


def test_a_cast_beside_one_that_takes_its_worker_down_is_done_and_has_lost_no_attempt(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    with (
        serving(broker, queue, workers=2, threads=8) as server,
        RpcClient(broker.url, queue=queue, timeout=scaled(30)) as client,
    ):
        for number in range(7):
            client.cast("wait_noting", str(path), number, 0.6)
        client.cast("die_as_a_cast", str(tmp_path / "deaths"))
        wait_until(lambda: set(numbers(path, "ended")) == set(range(7)), within=20)
        wait_until(lambda: "is a dead letter" in server.output, within=20)
        assert server.output.count("is a dead letter") == 1


# ---- the life of the pool


def test_a_drain_finishes_what_runs_in_all_threads(broker: PrivateBroker, queue: str, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    with serving(broker, queue) as server, RpcClient(broker.url, queue=queue, pack=False) as client:
        futures = [client.submit("wait_noting", str(path), n, 1.0) for n in range(32)]
        wait_until(lambda: len(lines(path)) == 32)
        server.signal(signal.SIGTERM)
        assert results(futures) == list(range(32))
        assert server.wait() == 0
        assert "draining: 32 calls under way" in server.output


def test_a_reload_lets_the_old_workers_finish(caller: RpcClient, threaded: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    before = workers_of(threaded)
    futures = [caller.submit("wait_noting", str(path), n, 1.5) for n in range(16)]
    wait_until(lambda: len(lines(path)) == 16)
    threaded.signal(signal.SIGHUP)
    wait_until(lambda: "is reloaded" in threaded.output, within=10)
    assert caller.call("where")[0] not in before
    assert results(futures) == list(range(16))
    assert numbers(path, "begun") == list(dict.fromkeys(numbers(path, "begun"))), "none ran twice"


def test_workers_are_replaced_after_so_many_calls_and_none_is_lost(broker: PrivateBroker, queue: str) -> None:
    with (
        serving(broker, queue, "--max-calls-per-worker", "50") as server,
        RpcClient(broker.url, queue=queue, timeout=scaled(30), pack=False) as client,
    ):
        before = workers_of(server)
        assert results([client.submit("wait", 0.01, n) for n in range(400)]) == list(range(400))
        wait_until(lambda: not before & workers_of(server), within=5)


def test_the_log_tells_of_a_failure_how_long_that_call_took(caller: RpcClient, threaded: ServerProcess) -> None:
    beside = [caller.submit("wait", 1.0) for _ in range(4)]
    assert isinstance(caller.submit("over_softly").exception(), TimeLimitExceeded)
    results(beside)
    wait_until(lambda: "(after 0.3" in threaded.output)


def test_a_function_that_hides_its_cancel_is_left_until_it_ends(
    caller: RpcClient, threaded: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    before = workers_of(threaded)
    beside = [caller.submit("wait", 0.8, n) for n in range(31)]
    hiding = caller.submit("hidden", str(path), 0.5)
    wait_until(lambda: lines(path) == ["begun"])
    hiding.cancel()
    with pytest.raises(CancelledError):
        hiding.result()
    wait_until(lambda: lines(path) == ["begun", "through"])
    assert results(beside) == list(range(31))
    assert workers_of(threaded) == before
