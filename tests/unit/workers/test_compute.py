"""The calls of an `rpc.map` in a worker: each has a result or an error of its own, whatever the others do."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapped import map_answer, map_body, map_result, serving
from support.examples import examples

from rpcsvc.errors import FunctionRaised, InternalError, InvalidParams, MethodNotFound, ResultNotEncodable
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.wire.many.request import read
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside.dispatch import Rules, dispatch
from rpcsvc.workers.inside.many import compute

BOUNDED = examples(40)


def half(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


# ---- results and errors by index --------------------------------------------------------------------------------


def test_columns_give_the_results_in_the_order_of_the_calls() -> None:
    answer = map_answer(serving(lambda a, b: a - b), columns=[[10, 20, 30], [1, 2, 3]])

    assert (answer.results, answer.errors) == ([9, 18, 27], {})


def test_rows_may_differ_in_length_where_the_function_has_defaults() -> None:
    def f(a: int, b: int = 100, *rest: int) -> list[int]:
        return [a, b, *rest]

    answer = map_answer(serving(f), rows=[[1], [2, 3], [4, 5, 6]])

    assert (answer.results, answer.errors) == ([[1, 100], [2, 3], [4, 5, 6]], {})


def test_a_call_that_raises_is_an_error_at_its_index_and_the_others_go_on() -> None:
    answer = map_answer(serving(half), columns=[[0, 1, 2, 3, 4]])

    assert answer.results == [0, None, 1, None, 2]
    assert answer.errors.keys() == {1, 3}
    error = answer.errors[3]
    assert isinstance(error, FunctionRaised)
    assert str(error) == "f raised ValueError: 3 is odd"
    assert "in half" in error.remote_traceback
    assert "bulk/compute.py" not in error.remote_traceback


def test_a_traceback_stays_at_home_where_the_server_keeps_it() -> None:
    answer = map_answer(serving(half), Rules(send_tracebacks=False), columns=[[1]])

    assert answer.errors[0].data.keys() == {"type", "message"}


@pytest.mark.parametrize("params", [{"columns": [[1, "two", 3]]}, {"rows": [[1], ["two"], [3]]}], ids=repr)
def test_an_argument_that_does_not_fit_is_an_error_of_its_own_call_which_has_not_run(params: dict[str, Any]) -> None:
    ran: list[int] = []

    def f(n: int) -> int:
        ran.append(n)
        return n

    answer = map_answer(serving(f), **params)

    assert answer.results == [1, None, 3]
    assert isinstance(answer.errors[1], InvalidParams)
    assert "'n' must be int, not str" in str(answer.errors[1])
    assert ran == [1, 3]


def test_too_many_columns_are_errors_of_each_call() -> None:
    answer = map_answer(serving(half), columns=[[0, 2], [0, 2]])

    assert answer.results == [None, None]
    assert {type(error) for error in answer.errors.values()} == {InvalidParams}


def test_a_row_that_does_not_bind_is_an_error_of_its_own() -> None:
    answer = map_answer(serving(half), rows=[[0], [], [2]])

    assert answer.results == [0, None, 1]
    assert "missing a required argument" in str(answer.errors[1])


def test_what_the_function_raises_is_its_own_even_if_it_looks_like_ours() -> None:
    def f() -> NoReturn:
        raise InvalidParams("of a call that the function made itself")

    assert isinstance(map_answer(serving(f), rows=[[]]).errors[0], FunctionRaised)


def test_a_check_that_fails_by_itself_is_a_fault_of_the_server() -> None:
    class Hostile(type):
        def __instancecheck__(cls, instance: object) -> bool:
            raise RuntimeError("no")

    class Thing(metaclass=Hostile):
        pass

    def f(thing: Thing) -> None: ...

    f.__annotations__["thing"] = Thing
    answer = map_answer(serving(f), rows=[[1], [2]])

    assert {type(error) for error in answer.errors.values()} == {InternalError}


class Liar(Exception):
    """Nothing that it says of itself can be relied on."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Liar, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
def test_an_exception_however_hostile_harms_its_own_call_only(error: type[BaseException]) -> None:
    def f(n: int) -> int:
        if n == 1:
            raise error
        return n

    answer = map_answer(serving(f), columns=[[0, 1, 2]])

    assert answer.results == [0, None, 2]
    assert isinstance(answer.errors[1], FunctionRaised)


def test_a_result_that_cannot_travel_is_an_error_of_its_own_call() -> None:
    answer = map_answer(serving(lambda n: object() if n == 1 else {n}), columns=[[0, 1, 2]])

    assert answer.results == [{0}, None, {2}]
    assert isinstance(answer.errors[1], ResultNotEncodable)
    assert "object" in str(answer.errors[1])


def test_raised_errors_and_results_that_cannot_travel_come_together() -> None:
    answer = map_answer(serving(lambda n: [1 // n, 10, lambda: 0][n]), columns=[[0, 1, 2]])

    assert answer.results == [None, 10, None]
    assert [type(answer.errors[index]) for index in (0, 2)] == [FunctionRaised, ResultNotEncodable]


@BOUNDED
@given(st.lists(st.integers() | st.text(max_size=5) | st.none() | st.floats(allow_nan=False), min_size=1, max_size=20))
def test_each_call_ends_as_it_would_alone(arguments: list[Any]) -> None:
    registry = serving(half)
    answer = map_answer(registry, columns=[arguments])

    for index, argument in enumerate(arguments):
        alone = dispatch(registry, encode_request("7", "f", encode_params([argument], {}))) or b""
        if index in answer.errors:
            with pytest.raises(type(answer.errors[index])) as caught:
                decode_response(alone)
            assert str(caught.value) == str(answer.errors[index])
        else:
            assert answer.results[index] == decode_response(alone)


# ---- the message as a whole -------------------------------------------------------------------------------------


def test_an_unknown_method_is_an_error_of_the_whole_message() -> None:
    with pytest.raises(MethodNotFound, match="there is no function 'g' here; there are: f"):
        map_result(serving(half), method="g", columns=[[1]])


def test_the_protocols_own_methods_cannot_be_mapped() -> None:
    for method in (MAP, "rpc.ping"):
        with pytest.raises(MethodNotFound):
            map_result(serving(half), method=method, rows=[[]])


def test_params_by_position_are_refused() -> None:
    with pytest.raises(InvalidParams):
        decode_response(dispatch(serving(half), encode_request("7", MAP, b'["f",[[1]]]')) or b"")


def test_a_notification_runs_and_is_not_answered() -> None:
    ran: list[int] = []
    body = b'{"jsonrpc":"2.0","method":"rpc.map","params":{"method":"f","columns":[[1,2]]}}'

    assert dispatch(serving(ran.append), body) is None
    assert ran == [1, 2]


def test_results_that_are_too_large_together_are_one_error() -> None:
    registry = serving(lambda size: "x" * size)

    with pytest.raises(ResultNotEncodable, match="at most 1024"):
        map_result(registry, Rules(max_result=1024), columns=[[400, 400, 400]])
    assert map_answer(registry, Rules(max_result=1024), columns=[[400, 400]]).results == ["x" * 400] * 2


@pytest.mark.parametrize(("idempotent", "data"), [(True, {}), (False, {"may_run_again": False})])
def test_the_error_says_if_the_calls_must_not_be_made_again_one_by_one(idempotent: bool, data: dict[str, Any]) -> None:
    with pytest.raises(ResultNotEncodable) as caught:
        map_result(serving(lambda n: "x" * n, idempotent=idempotent), Rules(max_result=1024), columns=[[600, 600]])
    assert {name: value for name, value in caught.value.data.items() if name not in ("size", "limit")} == data
    assert caught.value.data["size"] > caught.value.data["limit"] == 1024


def test_the_time_of_the_calls_is_measured_and_nothing_else() -> None:
    ticks = iter([100.0, 100.25])
    response = dispatch(serving(half), map_body(columns=[[2, 4, 6]]), Rules(), None, lambda: next(ticks))

    assert decode_response(response or b"")["seconds"] == 0.25


def test_the_size_of_the_results_is_told_as_they_travel() -> None:
    result = map_result(serving(lambda n: "x" * n), columns=[[1, 10]])

    assert result["bytes"] == len('["x","xxxxxxxxxx"]')


@pytest.mark.parametrize("idempotent", [True, False])
def test_calls_of_a_function_that_must_not_run_twice_had_better_travel_alone(idempotent: bool) -> None:
    assert map_answer(serving(half, idempotent=idempotent), columns=[[2]]).alone is not idempotent


def test_the_index_of_the_running_call_is_noted_before_it_runs() -> None:
    progress = [99]
    seen: list[int] = []

    def f(n: int) -> None:
        seen.append(progress[0])

    dispatch(serving(f), map_body(columns=[[7, 7, 7]]), Rules(), progress)
    assert seen == [0, 1, 2]


def test_exact_columns_are_looked_at_once_and_not_at_each_call() -> None:
    """What makes tiny calls cheap: the types of a whole column tell that every call fits."""
    (function,) = serving(half)
    looked: list[Any] = []

    class Watched:
        name, call, idempotent = "f", staticmethod(half), True

        def accepts(self, columns: Any) -> bool:
            return function.accepts(columns)

        def check(self, args: Any, kwargs: Any) -> None:
            looked.append(args)

    asked = read((), {"method": "f", "columns": [[2, 4]]})
    outcome = compute(asked, Watched(), [0], lambda: 0.0, send_tracebacks=False)  # type: ignore[arg-type]
    assert (outcome.results, looked) == ([1, 2], [])

    compute(read((), {"method": "f", "columns": [[2, True]]}), Watched(), [0], lambda: 0.0, send_tracebacks=False)  # type: ignore[arg-type]
    assert looked == [(2,), (True,)]
