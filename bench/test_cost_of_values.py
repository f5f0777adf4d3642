"""What it costs to turn values into JSON and back, beside orjson alone, which would change some of them.

`pytest bench --benchmark-enable` measures; without the option each runs once and only its result is checked.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.functions import fib
from rpcsvc.wire import values

PLAIN: dict[str, Any] = {
    "one int": [30],
    "a record": {"id": 7, "name": "Möbius", "tags": ["a", "b"], "score": 0.5, "parent": None},
    "10,000 ints": list(range(10_000)),
    "1,000 records": [{"id": n, "name": f"item {n}", "score": n / 7} for n in range(1000)],
}
TAGGED: dict[str, Any] = {
    "a tuple": (1, "two"),
    "an int of 70 bits": 2**69,
    "fib(10^5)": fib(10**5),
    "1,000 tuples": [(n, str(n)) for n in range(1000)],
    "a MiB of bytes": bytes(range(256)) * 4096,
}


def cases(group: dict[str, Any]) -> list[Any]:
    return [pytest.param(name, value, id=name) for name, value in group.items()]


@pytest.mark.parametrize(("name", "value"), [*cases(PLAIN), *cases(TAGGED)])
def test_a_value_is_encoded(benchmark: BenchmarkFixture, name: str, value: Any) -> None:
    benchmark.group = f"encode {name}"
    assert values.decode(benchmark(values.encode, value)) == value


@pytest.mark.parametrize(("name", "value"), [*cases(PLAIN), *cases(TAGGED)])
def test_a_value_is_decoded(benchmark: BenchmarkFixture, name: str, value: Any) -> None:
    benchmark.group = f"decode {name}"
    assert benchmark(values.decode, values.encode(value)) == value


@pytest.mark.parametrize(("name", "value"), cases(PLAIN))
def test_a_plain_value_is_encoded_by_orjson_alone(benchmark: BenchmarkFixture, name: str, value: Any) -> None:
    benchmark.group = f"encode {name}"
    assert benchmark(orjson.dumps, value) == values.encode(value)


@pytest.mark.parametrize(("name", "value"), cases(PLAIN))
def test_a_plain_value_is_decoded_by_orjson_alone(benchmark: BenchmarkFixture, name: str, value: Any) -> None:
    benchmark.group = f"decode {name}"
    assert benchmark(orjson.loads, orjson.dumps(value)) == value
