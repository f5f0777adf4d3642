"""Every option is written once: constructors, flags, messages and documentation agree with the tables."""

from __future__ import annotations

import inspect
import math
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from option_tables import PAGES, TABLES, with_tables

from rpcsvc import AsyncRpcClient, ConfigurationError, RpcClient, RpcServer, cli
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli import call
from rpcsvc.cli.flags import given
from rpcsvc.settings.client import ClientOptions
from rpcsvc.settings.kinds import Seconds, Size, Truth, Whole
from rpcsvc.settings.options import SSL_CONTEXT, URL, Option, check_options, documented, option, options_of
from rpcsvc.settings.server import BUILT_IN, DEFAULT_START_TIMEOUT, LOAD_TIMEOUT, ServerOptions

SERVER = {option.name: option for option in options_of(ServerOptions)}
CLIENT = {option.name: option for option in options_of(ClientOptions)}
FLAGS = {name: option for name, option in SERVER.items() if name != "registry"}

WHOLE = [0, -1, 1.0, True, "1", [1]]
TIME = [0, -1, -0.5, math.nan, math.inf, 1e9, 10**400, True, "1", b"1", [1]]
TIME_OR_NONE = [-1, math.nan, -math.inf, 1e9, False, "", "0", []]
MESSAGE = [0, 1023, 2**26 + 1, 2000.0, True, "16M", "", None]
NAMES = ["", "a\nb", "a\0b", "x" * 256, "\udcff", 7, None, b"q", ["q"]]

WRONG: dict[str, list[Any]] = {
    "registry": ["", "heavy", "heavy.py:registry", ":", 7, None, object()],
    "queue": NAMES,
    "queue_type": ["", "stream", "Quorum", 1, None, ["quorum"]],
    "casts": [0, 1, None, "no"],
    "casts_from": ["task_queue", 7, None, [7], [""], b"x", ["a\nb"]],
    "cast_queue_type": ["", "stream", "Quorum", 1, None],
    "cast_max_length": WHOLE,
    "dead_ttl": TIME,
    "workers": [*WHOLE, 10_001],
    "threads": [*WHOLE, 1_001],
    "cast_workers": [*WHOLE, 10_001],
    "prefetch": [*WHOLE, 65_536, None],
    "callback_queues": ["replies.*", 7, None, [7], [""], b"x"],
    "max_request": MESSAGE,
    "max_result": MESSAGE,
    "send_tracebacks": [0, 1, None, "no", "yes", []],
    "time_limit": TIME,
    "soft_time_limit": TIME,
    "memory_limit": [0, -1, 2**20 - 1, 2.0**30, True, "512M"],
    "cancel_grace": [*TIME_OR_NONE, math.inf, None],
    "start_timeout": TIME,
    "preload": [0, 1, None, "no", "yes"],
    "blas_threads": [*WHOLE, 10_001],
    "max_calls_per_worker": WHOLE,
    "max_restarts": [-1, 1.0, True, "1"],
    "restart_window": [*TIME, None],
    "connect_timeout": [*TIME, None],
}
WRONG_FOR_CLIENTS: dict[str, list[Any]] = {
    "queue": NAMES,
    "timeout": [each for each in TIME if each != math.inf],
    "connect_timeout": [*TIME, None],
    "wait_for_server": [*TIME_OR_NONE, None],
    "patience": [*TIME_OR_NONE, None],
    "max_in_flight": [*WHOLE, None],
    "pack": [0, 1, None, "no"],
    "max_request": MESSAGE,
}
WRONG_WORDS = {
    "queue": ["", "amq.mine", "x" * 256],
    "queue_type": ["stream", ""],
    "casts_from": ["", "x" * 256],
    "cast_queue_type": ["stream", ""],
    "cast_max_length": ["0", "many"],
    "dead_ttl": ["0", "inf", "x"],
    "workers": ["0", "-1", "two", "1.5", "10001", ""],
    "threads": ["0", "-1", "two", "1001", ""],
    "cast_workers": ["0", "-1", "two", "10001", ""],
    "prefetch": ["0", "65536", "x"],
    "callback_queues": [""],
    "max_request": ["0", "1023", "65M", "all", "1.5M"],
    "max_result": ["0", "1G", "x"],
    "time_limit": ["0", "-1", "nan", "inf", "soon", ""],
    "soft_time_limit": ["0", "x"],
    "memory_limit": ["0", "1023K", "512MB", "lots"],
    "cancel_grace": ["-1", "inf", "x"],
    "start_timeout": ["0", "x"],
    "preload": ["maybe", "True", ""],
    "blas_threads": ["0", "x"],
    "max_calls_per_worker": ["0", "x"],
    "max_restarts": ["-1", "x"],
    "restart_window": ["0", "x"],
    "connect_timeout": ["0", "inf", "x"],
}
RIGHT: dict[str, tuple[Any, list[str]]] = {
    "queue": ("prices", ["prices"]),
    "queue_type": ("quorum", ["quorum"]),
    "casts": (False, []),
    "casts_from": (("task_queue", "hello"), ["task_queue", "hello"]),
    "cast_queue_type": ("classic", ["classic"]),
    "cast_max_length": (1000, ["1000"]),
    "dead_ttl": (86400.0, ["86400"]),
    "workers": (3, ["3"]),
    "threads": (32, ["32"]),
    "cast_workers": (3, ["3"]),
    "prefetch": (4, ["4"]),
    "callback_queues": (("a.*", "b"), ["a.*", "b"]),
    "max_request": (2**20, ["1M"]),
    "max_result": ("auto", ["auto"]),
    "send_tracebacks": (False, []),
    "time_limit": (2.5, ["2.5"]),
    "soft_time_limit": (1.5, ["1.5"]),
    "memory_limit": (2**30, ["1g"]),
    "cancel_grace": (0.0, ["0"]),
    "start_timeout": (7.0, ["7"]),
    "preload": (False, ["no"]),
    "blas_threads": (2, ["2"]),
    "max_calls_per_worker": (9, ["9"]),
    "max_restarts": (0, ["0"]),
    "restart_window": (20.0, ["20"]),
    "connect_timeout": (3.0, ["3"]),
}


def _cases(wrong: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{index}") for name in wrong for index, value in enumerate(wrong[name])
    ]


def _parse(command: str, *words: str) -> Namespace:
    return cli._parser().parse_args([command, *words])


def _flag(option: Option) -> str:
    return option.kind.off if isinstance(option.kind, Truth) and option.kind.off else option.flag


def _says(error: str, name: str, value: Any) -> bool:
    """Whether a sentence begins with what was given, and shows the value (of one that is huge or empty, its kind)."""
    shown = repr(value[0] if isinstance(value, list | tuple) and value else value)
    huge = len(shown) > 100 and ("at most" in error or "beyond" in error)
    return error.startswith(name) and (shown in error or huge or "empty" in error or type(value).__name__ in error)


# ---- one truth --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "options", "besides"),
    [
        (RpcServer, SERVER, ()),
        (RpcClient, CLIENT, ()),
        (AsyncRpcClient, CLIENT, ("max_in_flight",)),
    ],
)
def test_the_constructors_take_what_the_tables_hold_with_the_same_defaults(
    cls: type, options: dict[str, Option], besides: tuple[str, ...]
) -> None:
    parameters = dict(inspect.signature(cls).parameters)

    assert {name: parameter.default for name, parameter in parameters.items()} == {
        **{name: option.default for name, option in options.items() if name not in besides},
        URL.name: None,
        SSL_CONTEXT.name: None,
    }
    assert all(parameter.annotation is not parameter.empty for parameter in parameters.values())


def test_every_option_of_the_server_has_a_flag_and_the_same_default() -> None:
    options = _parse("serve")

    assert given(options, ServerOptions) == {
        name: [] if option.default == () else option.default for name, option in SERVER.items()
    }
    assert options.registry == BUILT_IN


def test_the_call_from_a_shell_has_flags_of_the_client() -> None:
    assert given(_parse("call", "f"), ClientOptions) == {name: CLIENT[name].default for name in call.FLAGS}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_given_reaches_the_server_by_both_ways(name: str) -> None:
    value, words = RIGHT[name]
    flag = _flag(FLAGS[name])
    options = _parse("serve", *(part for word in words for part in (flag, word)), *([] if words else [flag]))

    assert getattr(RpcServer(**{name: value})._options, name) == value
    assert getattr(RpcServer(**given(options, ServerOptions))._options, name) == value


def test_every_option_of_the_server_is_tried() -> None:
    assert set(WRONG) == set(SERVER)
    assert set(RIGHT) == set(FLAGS)
    assert set(WRONG_FOR_CLIENTS) == set(CLIENT)
    assert set(WRONG_WORDS) | {"casts", "send_tracebacks"} == set(FLAGS)


@pytest.mark.parametrize("cls", [RpcServer, RpcClient])
def test_the_docstrings_tell_of_each_option(cls: type) -> None:
    assert cls.__doc__ is not None
    for name in inspect.signature(cls).parameters:
        assert f"\n    {name} (" in cls.__doc__
    assert "{options}" not in cls.__doc__
    assert "connect_timeout (seconds; 10): how long" in cls.__doc__


@pytest.mark.parametrize("name", FLAGS)
def test_the_help_of_a_flag_has_its_default_and_unit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parse("serve", "--help")
    shown = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    option = FLAGS[name]
    if not isinstance(option.kind, Truth) or not option.kind.off:
        assert f"{option.flag} {option.kind.unit}" in shown
        assert f"{option.help} ({option.shown_default})".replace("- ", "-") in shown


def test_the_pages_hold_the_tables_of_options_as_they_are() -> None:
    texts = {page: page.read_text("utf-8") for page in PAGES}

    # python tests/unit/settings/option_tables.py writes them
    assert [page.name for page, text in texts.items() if with_tables(text) != text] == []
    for name in TABLES:
        assert sum(f"<!-- options: {name} -->" in text for text in texts.values()) == 1


def test_a_table_that_is_not_as_it_should_be_is_found() -> None:
    page = "# Page\n<!-- options: call -->\n| stale |\n<!-- end of options -->\nand more\n"

    assert with_tables(page) == f"# Page\n<!-- options: call -->\n{TABLES['call']}<!-- end of options -->\nand more\n"


# ---- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), _cases(WRONG))
def test_a_server_names_the_option_that_is_wrong_and_shows_its_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RpcServer(**{name: value})
    assert _says(str(caught.value), name, value), str(caught.value)


@pytest.mark.parametrize("cls", [RpcClient, AsyncRpcClient])
@pytest.mark.parametrize(("name", "value"), _cases(WRONG_FOR_CLIENTS))
def test_a_client_names_the_option_that_is_wrong_and_shows_its_value(cls: type, name: str, value: Any) -> None:
    if name not in inspect.signature(cls).parameters:
        return
    with pytest.raises(ConfigurationError) as caught:
        cls(**{name: value})
    assert _says(str(caught.value), name, value), str(caught.value)


@pytest.mark.parametrize(("name", "word"), _cases(WRONG_WORDS))
def test_the_command_line_names_the_flag_that_is_wrong_and_shows_its_value(
    name: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = FLAGS[name].flag
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", flag, word])

    out, error = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    usage, _, sentence = error.partition("rpcsvc serve: error: ")
    assert usage.startswith("usage: rpcsvc serve")
    assert _says(sentence, flag, FLAGS[name].kind.read(word)), sentence


@pytest.mark.parametrize(
    ("name", "word"), [("timeout", "0"), ("wait_for_server", "-1"), ("patience", "x"), ("queue", "")]
)
def test_a_call_from_a_shell_names_the_flag_too(name: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["call", "f", CLIENT[name].flag, word])
    assert f"rpcsvc call: error: {CLIENT[name].flag}" in capsys.readouterr().err


@pytest.mark.parametrize("cls", [RpcServer, RpcClient, AsyncRpcClient])
@pytest.mark.parametrize("url", [7, b"amqp://h", ["amqp://h", 7], [], "http://h", "amqp://"])
def test_a_url_that_is_none_is_refused_by_every_constructor(cls: type, url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^url: (the broker|the list|several)"):
        cls(url=url)


@pytest.mark.parametrize("command", [["serve"], ["call", "fib", "30"], ["bench"]])
def test_a_url_that_is_none_is_told_under_its_flag(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--url", "http://ann:s3cr3t@h"]) == 2
    assert "rpcsvc: --url: the broker's URL begins with 'http:'" in capsys.readouterr().err


@pytest.mark.parametrize("cls", [RpcServer, RpcClient, AsyncRpcClient])
def test_a_context_that_is_none_is_refused_by_every_constructor(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=r"ssl_context must be an ssl\.SSLContext, not 'verify'"):
        cls(url="amqps://h", ssl_context="verify")


def test_a_soft_limit_above_the_hard_one_is_told_under_the_names_that_were_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^soft_time_limit must be below the hard one, time_limit, .*: 5 is not below 3"
    ):
        RpcServer(soft_time_limit=5, time_limit=3)
    assert cli.main(["serve", "--soft-time-limit", "5", "--time-limit", "3"]) == 2
    assert (
        "--soft-time-limit must be below the hard one, --time-limit, or it would never come: 5 is not"
        in capsys.readouterr().err
    )


# ---- what is made of them ---------------------------------------------------------------------------------------


def test_a_workers_time_to_start_depends_on_who_imports_the_registry() -> None:
    assert ServerOptions().ready_within == DEFAULT_START_TIMEOUT
    assert ServerOptions(preload=False).ready_within == LOAD_TIMEOUT
    assert ServerOptions(preload=False, start_timeout=5).ready_within == 5


def test_the_cpus_are_shared_among_the_workers_unless_told_otherwise() -> None:
    assert ServerOptions(workers=3).processes == 3
    assert ServerOptions().processes >= 1
    assert [ServerOptions(workers=n).cast_slots for n in (1, 2, 5)] == [1, 1, 4]
    assert [ServerOptions(workers=n, threads=8).cast_slots for n in (1, 2, 5)] == [7, 8, 32]
    assert [ServerOptions(workers=2, threads=8, cast_workers=n).cast_slots for n in (1, 2, 5)] == [8, 16, 16]
    assert ServerOptions(workers=10_000).threads_each == 1
    assert ServerOptions(workers=3, blas_threads=8).threads_each == 8


def test_an_entry_of_a_docstring_has_the_unit_the_default_and_what_the_option_is_for() -> None:
    @dataclass(frozen=True)
    class Plan:
        pause: float = option(2.5, Seconds(), "how long nothing is done")
        size: int | None = option(None, Size(), "of the whole", otherwise="no bound")

    @documented(*options_of(Plan))
    class Planned:
        """A plan.

        Args:
            {options}
        """

    assert inspect.getdoc(Planned) == (
        "A plan.\n\nArgs:\n"
        "    pause (seconds; 2.5): how long nothing is done.\n"
        "    size (bytes; no bound): of the whole."
    )


def test_what_is_no_option_is_left_alone() -> None:
    @dataclass(frozen=True)
    class Plan:
        what: str = ""
        often: int = option(1, Whole(), "how often")

        def __post_init__(self) -> None:
            check_options(self)

    class Bare:
        pass

    assert [each.name for each in options_of(Plan)] == ["often"]
    assert Plan(what="x", often=2).what == "x"
    assert documented(*options_of(Plan))(Bare).__doc__ is None  # as with python -OO


@pytest.mark.parametrize("port", [0, -1, 65_536, "5672", True, 1.5])
def test_a_port_of_the_private_broker_that_is_none_is_refused(port: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"^port must be a whole number from 1 to 65535, not {port!r}"):
        PrivateBroker(tmp_path, port=port)
