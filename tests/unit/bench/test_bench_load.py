"""The plan of a measurement, and how it is read from a command line."""

from __future__ import annotations

import json

import pytest

from rpcsvc.bench.load import TIMES, Load, Sweep, encode_arguments, parse_size, parse_sweep, size_label
from rpcsvc.errors import ConfigurationError


def test_arguments_travel_to_a_client_process_as_they_are() -> None:
    args, kwargs = [1, 2**70, (1, b"\x00"), float("inf"), "\udcff"[:0]], {"deep": [None]}
    load = Load(method="echo", arguments=encode_arguments(args, kwargs))

    again = Load(**json.loads(json.dumps(load.to_json())))

    assert again == load
    assert again.call() == ("echo", args, kwargs)


def test_a_payload_is_one_argument_of_that_many_bytes() -> None:
    load = Sweep("payload", (3,)).applied(Load(method="fib", arguments="[[30],{}]", threads=2), 3)

    assert load.call() == ("echo", [b"\0\0\0"], {})
    assert load.threads == 2
    assert load.title == "echo(3 B of bytes)"


def test_a_closed_loop_is_one_call_at_a_time_unless_told_otherwise() -> None:
    assert Load(method="fib").most_under_way == 1
    assert Load(method="fib", in_flight=7).most_under_way == 7


def test_an_open_loop_bounds_what_is_under_way_by_number_and_by_bytes() -> None:
    small = Load(method="fib", rate=10.0)
    large = Load(method="echo", rate=10.0, payload=2**20, threads=2)

    assert small.most_under_way == 10_000
    assert large.most_under_way == 128  # 256 MiB of one process, for two threads
    assert Load(method="echo", rate=10.0, payload=2**30).most_under_way == 1


def test_the_shape_says_how_many_calls_are_under_way_altogether() -> None:
    load = Load(method="fib", clients=2, threads=3, in_flight=10)
    assert load.shape == f"closed loop, 2 clients {TIMES} 3 threads {TIMES} 10 in flight = 60 calls under way"
    assert f"1,500 calls/s (Poisson arrivals), 1 client {TIMES} 1 thread" in Load(method="fib", rate=1500.0).shape
    assert "evenly spaced" in Load(method="fib", rate=2.0, arrivals="constant").shape


def test_the_title_shows_a_call_and_shortens_a_long_one() -> None:
    assert Load(method="f", arguments=encode_arguments([30, "a"], {"n": 1.5})).title == 'f(30, "a", n=1.5)'
    assert len(Load(method="f", arguments=encode_arguments([10**5000], {})).title) < 70


@pytest.mark.parametrize(
    ("text", "sweep"),
    [
        ("workers=1,2,4", Sweep("workers", (1, 2, 4))),
        ("in-flight=1,10,10,100", Sweep("in-flight", (1, 10, 100))),
        ("payload=0,1k,64K,1M", Sweep("payload", (0, 1024, 65536, 1048576))),
    ],
)
def test_a_sweep_is_a_name_and_values(text: str, sweep: Sweep) -> None:
    assert parse_sweep(text) == sweep


@pytest.mark.parametrize(
    "text",
    ["", "workers", "workers=", "workers=0", "workers=1,x", "workers=-1", "threads=1", "payload=1x", "payload=2G"],
)
def test_what_is_no_sweep_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sweep|whole|size"):
        parse_sweep(text)


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("512", 512), ("1k", 1024), ("3M", 3 * 2**20), ("1g", 2**30)])
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("size", "label"), [(0, "0 B"), (1000, "1000 B"), (1024, "1 KiB"), (3 * 2**20, "3 MiB")])
def test_a_size_is_written_in_the_largest_whole_unit(size: int, label: str) -> None:
    assert size_label(size) == label


@pytest.mark.parametrize(
    "wrong",
    [
        {"clients": 0},
        {"threads": -1},
        {"in_flight": 0},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": 1e9},
        {"arrivals": "bursts"},
        {"warm_up": -1.0},
        {"warm_up": float("inf")},
        {"duration": 0.0},
        {"duration": float("nan")},
        {"timeout": 0.0},
        {"payload": -1},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_carried_out_is_refused(wrong: dict[str, object]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"^{name} must be .*not {value!r}"):
        Load(method="fib", **wrong)
