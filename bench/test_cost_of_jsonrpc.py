"""What a message costs: requests and responses of one call, of a batch, and of an `rpc.map`."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.answer import MapResult, encode_response, read_answer
from rpcsvc.wire.many.request import params, read
from rpcsvc.wire.names import MAP

IDS = [str(number) for number in range(100)]

REQUEST = jsonrpc.encode_request("7", "fib", b"[30]")


def test_a_request_is_made(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "request"
    assert benchmark(lambda: jsonrpc.encode_request("7", "fib", jsonrpc.encode_params([30], {}))) == REQUEST


def test_a_request_is_parsed(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "request"
    message = benchmark(jsonrpc.parse, REQUEST)
    assert isinstance(message, jsonrpc.Request)
    assert (message.method, list(message.args)) == ("fib", [30])


def test_a_response_is_made(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "response"
    assert benchmark(jsonrpc.encode_result, "7", 832040) == b'{"jsonrpc":"2.0","id":"7","result":832040}'


def test_a_response_is_read(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "response"
    assert benchmark(jsonrpc.decode_response, b'{"jsonrpc":"2.0","id":"7","result":832040}') == 832040


def test_a_batch_of_100_is_parsed(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "100 calls in one message"
    message = benchmark(jsonrpc.parse, b"[" + b",".join([REQUEST] * 100) + b"]")
    assert isinstance(message, jsonrpc.Batch)
    assert len(message.members) == 100


def test_a_map_of_100_is_parsed(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "100 calls in one message"
    body = jsonrpc.encode_request("7", MAP, params("fib", [b"[30]"] * 100, IDS))

    def parse() -> int:
        message = jsonrpc.parse(body)
        assert isinstance(message, jsonrpc.Request)
        return read(message.args, message.kwargs).count

    assert benchmark(parse) == 100


def test_a_map_of_100_is_made_of_rows(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "100 calls in one message"
    made = benchmark(params, "fib", [b"[30]"] * 100, IDS)
    assert values.decode(made) == {"method": "fib", "ids": IDS, "rows": [[30]] * 100}


def test_the_answer_to_a_map_of_100_is_made_and_read(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "100 calls in one message"
    outcome = MapResult([832040] * 100, [], 0.0001, False)

    def there_and_back() -> list[int]:
        return read_answer(jsonrpc.decode_response(encode_response("7", outcome)), 100).results

    assert benchmark(there_and_back) == [832040] * 100
