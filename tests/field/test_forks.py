"""A function forks: the child is nobody's second worker, and what is the worker's own is not the child's."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from support.pools import lines, pool_of, until

from rpcsvc.wire.jsonrpc import encode_batch, encode_params, encode_request
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.pipe import CALL, NO_RESPONSE, READY, RESULT, frame
from rpcsvc.workers.work import Answer, Lost

FORKERS = "forkers:registry"
ENDS = [
    ("returns", 0),
    ("exits", 0),
    ("exits with 3", 3),
    ("exits with a sentence", 1),
    ("raises", 1),
    ("is interrupted", 1),
    ("closes a generator", 1),
]


def calls(*each: tuple[Any, ...], size: int = 1, rules: Rules | None = None) -> list[Any]:
    """What calls come to that are made one after the other: their results, and that each worker lives on."""

    async def main() -> list[Any]:
        async with pool_of(size, target=FORKERS, rules=rules) as pool:
            before = pool.pids
            results = [await pool.call(*call).result() for call in each]
            assert pool.pids == before
            return results

    return asyncio.run(main())


@pytest.mark.parametrize("method", ["fork", "fork_in_c"])
@pytest.mark.parametrize(("how", "status"), ENDS)
def test_a_child_that_comes_back_from_the_function_ends_and_every_call_gets_its_own_result(
    method: str, how: str, status: int
) -> None:
    # Behind Python's back nobody knows how the function ended.
    wanted = status if method == "fork" else 0
    assert calls((method, how), ("echo", 1), (method, how), ("echo", 2), ("echo", 3)) == [wanted, 1, wanted, 2, 3]


@pytest.mark.parametrize("how", ["returns", "exits", "raises"])
def test_so_does_one_that_a_thread_of_the_function_forked(how: str) -> None:
    assert calls(("fork_in_a_thread", how), ("echo", 1), ("echo", 2)) == [[0], 1, 2]


@pytest.mark.parametrize("method", ["fork_in_a_finalizer", "fork_in_the_check"])
def test_so_does_one_that_was_forked_beside_the_function(method: str) -> None:
    arguments = ["an argument"] if method == "fork_in_the_check" else []
    assert calls((method, *arguments), ("echo", 1), ("echo", 2)) == ["returned", 1, 2]


def test_the_limits_of_the_call_stay_the_workers_when_its_child_comes_back(tmp_path: Path) -> None:
    told, gate = tmp_path / "told", tmp_path / "gate"

    async def main() -> None:
        async with pool_of(target=FORKERS) as pool:
            call = pool.call("fork_within_limits", str(told), str(gate))
            (worker,) = list(pool._workers)
            await until(lambda: lines(told) == ["0"])
            assert worker.row.slots[0].deadline > 0
            assert worker.row.slots[0].memory_limit == 2**33
            gate.touch()
            assert await call.result() > 0

    asyncio.run(main())


@pytest.mark.parametrize(("how", "status"), [("returns", 0), ("exits", 3)])
def test_a_child_that_comes_back_from_the_import_is_no_second_fork_server(
    monkeypatch: pytest.MonkeyPatch, how: str, status: int
) -> None:
    monkeypatch.setenv("CHILD_OF_THE_IMPORT", how)

    async def main() -> None:
        async with pool_of(2, target="forked_import:registry") as pool:
            assert [await pool.call("status").result() for _ in range(3)] == [status] * 3

    asyncio.run(main())


# ---- an answer is that of its call, or of none ----------------------------------------------------------------------


FORGED = {
    "the answer to the call before": frame(RESULT, 1, b'{"jsonrpc":"2.0","id":"7","result":"forged"}'),
    "an answer to a call to come": frame(RESULT, 3, b'{"jsonrpc":"2.0","id":"7","result":"forged"}'),
    "that it is ready": frame(READY, 0),
    "a call": frame(CALL, 2, b""),
    "what is no frame": b"Traceback (most recent call last):\n",
}


@pytest.mark.parametrize("what", FORGED)
def test_a_worker_from_which_anything_comes_but_the_answer_that_is_next_is_replaced(what: str) -> None:
    async def main() -> None:
        async with pool_of(target=FORKERS) as pool:
            assert await pool.call("echo", 1).result() == 1
            before = pool.pids
            broken = pool.call("write_to_the_socket", FORGED[what])
            behind = [pool.call("echo", number) for number in range(5)]
            assert isinstance(await broken.outcome(), Lost)
            assert [await call.result() for call in behind] == [0, 1, 2, 3, 4]
            assert not set(before) & set(pool.pids)
            assert pool.reasons == []

    asyncio.run(main())


def test_an_answer_that_nobody_waits_for_replaces_the_worker_too() -> None:
    """Written by a thread that the function left behind, say, between two calls."""

    async def main() -> None:
        async with pool_of(target=FORKERS) as pool:
            before = pool.pids
            (worker,) = list(pool._workers)
            worker.data_received(frame(NO_RESPONSE, 1))
            assert await pool.call("echo", 1).result() == 1
            assert not set(before) & set(pool.pids)

    asyncio.run(main())


def test_calls_that_somebody_else_has_read_are_computed_by_another_worker() -> None:
    async def main() -> None:
        async with pool_of(target=FORKERS) as pool:
            await pool.call("echo", 0).result()
            (worker,) = list(pool._workers)
            reads = pool.call("read_from_the_socket")
            await until(lambda: worker.row.taken == 2)
            stolen = [pool.call("echo", number) for number in range(3)]
            while stolen and pool._waiting:  # given ahead, as quick ones are
                worker.give(pool._waiting.popleft())
            assert await reads.result() > 0
            assert [await call.result() for call in stolen] == [0, 1, 2]

    asyncio.run(main())


def test_the_child_computes_none_of_the_calls_that_came_with_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "trace")
    asked = {"method": "count_and_fork", "rows": [[path, number] for number in range(4)]}

    async def main() -> None:
        async with pool_of(target=FORKERS) as pool:
            answer = await pool.call("rpc.map", **asked).result()
            assert answer["results"] == [0, 1, 2, 3]
            batch = [encode_request(str(n), "count_and_fork", encode_params((path, n), {})) for n in range(4)]
            outcome = await pool.send(encode_batch(batch)).outcome()
            assert isinstance(outcome, Answer)
            assert await pool.call("echo", "mine").result() == "mine"

    asyncio.run(main())
    assert lines(tmp_path / "trace") == ["0", "1", "2", "3"] * 2


def test_what_parent_and_child_print_is_neither_lost_nor_doubled(capfd: pytest.CaptureFixture[str]) -> None:
    calls(("print_and_fork",), ("echo", 1))
    assert capfd.readouterr().out == "before, child, parent\n"


def test_a_child_that_raises_tells_why(capfd: pytest.CaptureFixture[str]) -> None:
    calls(("fork", "raises"), ("fork", "exits with a sentence"))
    told = capfd.readouterr().err
    assert "ValueError: the child's\n" in told
    assert told.endswith("enough\n")


# ---- what does not cross a fork -------------------------------------------------------------------------------------

PYTHONS_OWN = {
    "SIGTERM": "SIG_DFL",
    "SIGHUP": "SIG_DFL",
    "SIGCHLD": "SIG_DFL",
    "SIGUSR1": "SIG_DFL",
    "SIGUSR2": "SIG_DFL",
    "SIGALRM": "SIG_DFL",
}


@pytest.mark.parametrize("method", ["what_a_child_has", "what_a_child_of_the_import_had"])
def test_a_child_of_a_function_or_of_the_import_has_nothing_of_the_machinery(method: str) -> None:
    (found,) = calls((method,), rules=Rules(soft_time_limit=20))
    interrupt = found["handlers"].pop("SIGINT")
    assert "default_int_handler" in interrupt or interrupt == "SIG_IGN"
    assert found == {"handlers": PYTHONS_OWN, "blocked": [], "wake-up": -1, "sockets": 2}


def test_a_handler_that_the_function_has_set_is_its_childrens_too() -> None:
    assert calls(("what_a_child_has_of_the_functions_own",)) == ["SIG_IGN"]


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_child_processes_can_be_terminated(start: str) -> None:
    """At once: a signal that comes before the child's first step counts too."""
    times = 30 if start == "fork" else 1
    assert calls(*[("terminate", start)] * times) == [-signal.SIGTERM] * times


def test_pools_of_processes_work_within_a_function_and_end() -> None:
    numbers = [-1, 2, -3]
    assert calls(("compute_in_a_pool", numbers), ("compute_in_an_executor", numbers), ("echo", 1)) == [
        [1, 2, 3],
        [1, 2, 3],
        1,
    ]


def test_programs_can_be_terminated() -> None:
    assert calls(("terminate_a_program",)) == [-signal.SIGTERM]
