"""`rpcsvc call`: from the words of a command line to arguments, and from a result to text."""

from __future__ import annotations

import argparse
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.cli import call
from rpcsvc.cli.parsing import Parser
from rpcsvc.settings import DEFAULT_QUEUE, DEFAULT_TIMEOUT
from rpcsvc.wire import values

BOUNDED = examples(60)
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def _parse(*words: str) -> argparse.Namespace:
    parser = Parser()
    call.add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["call", *words])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("30", 30),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("true", True),
        ("null", None),
        ('"30"', "30"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ('{"$bytes": "AAE="}', b"\x00\x01"),
        ("hello", "hello"),
        ("True", "True"),
        ("", ""),
        ("[1, 2", "[1, 2"),
        ("30 31", "30 31"),
        ("007", "007"),
        ("grüße", "grüße"),
        ('"a=b"', "a=b"),
        ("2+2=4", "2+2=4"),
        ("=x", "=x"),
        ("my-name=x", "my-name=x"),
    ],
)
def test_a_word_is_json_or_else_text(word: str, value: Any) -> None:
    args, kwargs = call.parse_arguments([word])

    assert (args, kwargs) == ([value], {})
    assert type(args[0]) is type(value)


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("n=30", "n", 30),
        ("name=Ann", "name", "Ann"),
        ('name="30"', "name", "30"),
        ("n=", "n", ""),
        ("formula=a=b", "formula", "a=b"),
        ("größe=1", "größe", 1),
        ("_=null", "_", None),
    ],
)
def test_a_word_with_a_name_before_the_sign_is_a_keyword_argument(word: str, name: str, value: Any) -> None:
    assert call.parse_arguments([word]) == ([], {name: value})


def test_positional_and_keyword_arguments_keep_their_order() -> None:
    args, kwargs = call.parse_arguments(["1", "b=2", "three", "a=4"])

    assert args == [1, "three"]
    assert list(kwargs.items()) == [("b", 2), ("a", 4)]


@BOUNDED
@given(st.lists(VALUES, max_size=4), st.dictionaries(st.sampled_from(["a", "n", "größe"]), VALUES))
def test_any_value_can_be_written_on_a_command_line(args: list[Any], kwargs: dict[str, Any]) -> None:
    words = [values.encode(value).decode() for value in args]
    words += [f"{name}={values.encode(value).decode()}" for name, value in kwargs.items()]

    assert call.parse_arguments(words) == (args, kwargs)


@BOUNDED
@given(st.binary(max_size=20))
def test_any_word_that_a_shell_can_pass_is_some_argument(word: bytes) -> None:
    args, kwargs = call.parse_arguments([word.decode("utf-8", "surrogateescape")])

    assert len(args) + len(kwargs) == 1


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (832040, "832040"),
        (-(10**5000), "-1" + "0" * 5000),
        ("two\nlines", "two\nlines"),
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        ([1, "é"], '[1,"é"]'),
        (b"\x00", '{"$bytes":"AA=="}'),
        (math.inf, '{"$float":"inf"}'),
    ],
    ids=range(9),
)
def test_text_is_printed_as_it_is_and_everything_else_as_json(result: Any, text: str) -> None:
    assert call._text(result)[0] == text


def test_options_have_the_defaults_of_the_client() -> None:
    options = _parse("fib", "30")

    assert (options.method, options.arguments) == ("fib", ["30"])
    assert (options.timeout, options.queue) == (DEFAULT_TIMEOUT, DEFAULT_QUEUE)
    assert (options.wait_for_server, options.url) == (0.0, None)
    assert options.run is call.run


def test_options_may_stand_before_and_behind_the_arguments() -> None:
    options = _parse("--timeout", "2.5", "f", "1", "-2", "x=3", "--queue", "prices", "--url", "amqp://h")

    assert (options.method, options.arguments) == ("f", ["1", "-2", "x=3"])
    assert (options.timeout, options.queue, options.url) == (2.5, "prices", "amqp://h")


def test_behind_two_dashes_everything_is_an_argument() -> None:
    assert _parse("f", "--", "--timeout", "-x").arguments == ["--timeout", "-x"]


@pytest.mark.parametrize("words", [[], ["f", "--timeout", "soon"], ["f", "--unknown"]])
def test_a_command_line_that_is_wrong_ends_with_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _parse(*words)

    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
