"""The comparison of one-way work: how it is counted, and the loops of its clients."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.peers import counts, load, load_one_way
from bench.peers.counts import Counts
from bench.peers.everyone import PEERS
from bench.peers.load_one_way import Hearing
from bench.peers.modes import MODES
from bench.peers.one_way import OneWay, counted
from bench.peers.peer import Setup
from bench.peers.processes import ROOT
from bench.peers.runner import has_row
from bench.peers.table import OURS, Run, rows_of, table_of

ONE_BY_ONE, PIPELINED, EXECUTED, TO_TEN = (MODES[key] for key in "igkn")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(counts.FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What measurements count, without a runner that answers them."""
    ended: list[int] = []
    monkeypatch.setattr(load, "WARM_UP", 0.01)
    monkeypatch.setattr(load.Measurement, "begin", lambda self: setattr(self, "calls", 0))
    monkeypatch.setattr(load.Measurement, "end", lambda self: ended.append(self.calls))
    return ended


def setup_of(kind: str, *, in_flight: int = 1, subscribers: int = 0) -> Setup:
    return Setup(
        mode="i",
        kind=kind,
        function="fib",
        workers=1,
        prefetch=1,
        in_flight=in_flight,
        maps=False,
        queue_type="classic",
        subscribers=subscribers,
        queue="q",
        seconds=0.05,
        calls=1000,
    )


class _Broker:
    """Confirms everything, and counts it."""

    def __init__(self) -> None:
        self.published = 0
        self._lock = threading.Lock()

    def call(self, _: Any) -> None:
        with self._lock:
            self.published += 1

    def cast_many(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            self.call(argument)

    fill = cast_many


def test_what_processes_count_is_added_up(folder: Path) -> None:
    program = "from bench.peers.one_way import counted; [counted(30) for _ in range(3)]"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    found = Counts(folder)
    found.look()

    assert (found.total, found.started, len(found)) == (6, 2, 2)


def test_a_forked_process_counts_for_itself(folder: Path) -> None:
    program = (
        "import os; from bench.peers.one_way import counted; counted(30); child = os.fork(); "
        "os.waitpid(child, 0) if child else counted(30); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    found = Counts(folder)
    found.look()

    assert (found.total, found.started, len(found)) == (2, 2, 2)


def test_the_slowest_subscriber_is_what_counts_and_one_that_heard_nothing_is_one() -> None:
    numbers = counts.new_counts(3)
    found = Counts()
    found.look()
    assert (found.least, found.started, len(found)) == (0, 0, 3)

    numbers[0], numbers[1] = 5, 2
    assert (found.least, found.started, found.total) == (0, 2, 7)

    numbers[2] = 4
    assert (found.least, found.started, found.total) == (2, 3, 11)


def test_a_counted_function_has_its_value() -> None:
    assert counted(30) == 832040


@pytest.mark.parametrize("loop", [load_one_way.one_by_one, load_one_way.pipelined])
def test_casts_are_counted_as_they_are_confirmed(loop: Any, measured: list[int]) -> None:
    broker = _Broker()

    loop(OneWay(), broker, setup_of("cast"))

    assert 0 < measured[0] <= broker.published


def test_where_a_client_can_await_one_confirm_alone_threads_cast_side_by_side(measured: list[int]) -> None:
    broker, peer = _Broker(), OneWay()
    peer.threads = 3

    load_one_way.threaded(peer, broker, setup_of("cast"))

    assert 0 < measured[0] <= broker.published


def test_no_event_is_published_that_a_slow_subscriber_would_have_to_drop() -> None:
    numbers = counts.new_counts(2)
    hearing = Hearing(setup_of("event", subscribers=2))

    published = [hearing.may_publish() for _ in range(load_one_way.WINDOW + 5)]
    assert published == [True] * load_one_way.WINDOW + [False] * 5

    numbers[0] = 10
    assert not hearing.may_publish()
    numbers[1] = 3
    assert [hearing.may_publish() for _ in range(4)] == [True, True, True, False]


def test_an_event_that_was_heard_twice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = counts.new_counts(2)
    hearing = Hearing(setup_of("event", subscribers=2))
    assert hearing.may_publish()
    numbers[0], numbers[1] = 1, 2

    with pytest.raises(load.WrongResult, match="1 events, and 3 were heard"):
        hearing.check_all()


def test_calls_and_one_way_work_are_rows_of_their_own_modes() -> None:
    names = {key: [peer.name for peer in PEERS if has_row(peer, mode)] for key, mode in MODES.items()}

    assert "Nameko" in names["a"]
    assert names["g"] == names["l"] == ["ours", "pika tutorial", "aio-pika", "Celery", "Dramatiq", "limit (C)"]
    assert names["o"] == ["ours", "pika tutorial", "aio-pika", "limit (C)"]
    assert all(len(set(rows)) == len(rows) for rows in names.values())


def test_both_types_of_queue_are_measured_alike() -> None:
    pairs = [(MODES[quorum], MODES[classic]) for quorum, classic in ("gh", "ij", "kl")]

    for quorum, classic in pairs:
        assert (quorum.queue_type, classic.queue_type) == ("quorum", "classic")
        assert (quorum.kind, quorum.in_flight, quorum.prefetch) == (classic.kind, classic.in_flight, classic.prefetch)


def test_the_table_names_what_is_counted_and_the_interval_of_the_ratios() -> None:
    def run(peer: str, kind: str, round_: int, rate: int) -> Run:
        return Run(peer=peer, kind=kind, mode=TO_TEN.key, round=round_, calls=rate, seconds=1.0)

    runs = [run(OURS, "ours", round_, 1000 + round_) for round_ in range(6)]
    runs += [run("them", "peer", round_, 500) for round_ in range(6)]
    runs += [run("C", "limit", round_, 2000) for round_ in range(6)]

    text = table_of(TO_TEN, rows_of(TO_TEN, runs))

    assert "events/s" in text
    assert "µs/event" in text
    assert "times the best peer, them; 95 % interval of the median 2.000 - 2.010" in text
    assert "times the limit; 95 % interval of the median 0.500 - 0.502" in text
    assert "casts/s" in table_of(
        EXECUTED, rows_of(EXECUTED, [Run(peer="C", kind="limit", mode="k", round=1, calls=1, seconds=1.0)])
    )
