"""What a command line that is wrong is answered with, and where arguments may stand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rpcsvc import cli
from rpcsvc.errors import ConnectionFailed, NoServer, RpcError, TlsFailed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "say what to do: rpcsvc serve, call, cast, dead, publish, events, bench or broker"),
        ("fib 30", "invalid choice: 'fib'"),
        ("fib 30", "a function is called by rpcsvc call METHOD"),
        ("call", "say which function to call: rpcsvc call METHOD [ARGUMENT ...], for instance rpcsvc call fib 30"),
        ("call --queue q", "say which function to call"),
        ("call f --time-out 3", "no option '--time-out'; did you mean --timeout? rpcsvc call --help lists them"),
        ("call f --time-out=3", "no option '--time-out'; did you mean --timeout?"),
        ("call f -x", "text that begins with '-' stands behind '--'"),
        ("call f --timeout soon", "--timeout must be a number of seconds, not str: 'soon'; for instance --timeout 2.5"),
        ("call f --timeout", "argument --timeout: expected one argument"),
        ("serve --jobs 3", "there is no option '--jobs'; rpcsvc serve --help lists them"),
        (
            "serve --workers two",
            "must be a whole number from 1 to 10000, not 'two'; for instance --workers 4",
        ),
        ("serve a:r b:r", "'b:r' is one argument too many; a pool serves one registry: rpcsvc serve [MODULE:REGISTRY]"),
        ("bench fib 30 --in-fligt 3", "did you mean --in-flight?"),
        ("broker", "say what to do with the private node: rpcsvc broker start, stop, status or run"),
        ("broker begin", "invalid choice: 'begin'"),
        ("broker start --prot 5", "no option '--prot'; did you mean --port? rpcsvc broker start --help lists them"),
        ("broker start --port x", "--port must be a whole number from 1 to 65535, not 'x'; for instance --port 5672"),
        ("broker start --port 70000", "--port must be a whole number from 1 to 65535, not 70000"),
        ("bench --serve 0", "--serve must be a whole number from 1 to 10000, not 0"),
        ("broker stop now", "'now' is one argument too many"),
    ],
)
def test_a_command_line_that_is_wrong_is_told_what_to_type(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words.split())

    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert sentence in err
    assert err.count("error:") == 1


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("f 3 --queue q x", ["3", "x"]),
        ("--queue q f 3 x", ["3", "x"]),
        ("f --queue q", []),
        ("f -2 --queue q -3.5", ["-2", "-3.5"]),
        ("f 3 --queue q -- --timeout --", ["3", "--timeout", "--"]),
        ("--queue q -- f --timeout", ["--timeout"]),
    ],
)
def test_arguments_stand_before_between_and_behind_options(words: str, arguments: list[str]) -> None:
    options = cli._parser().parse_args(["call", *words.split()])

    assert (options.method, options.arguments, options.queue) == ("f", arguments, "q")


def test_the_load_of_a_benchmark_is_written_in_the_same_way() -> None:
    options = cli._parser().parse_args(["bench", "fib", "--duration", "1", "30", "--serve", "2", "x=4"])

    assert (options.method, options.arguments, options.serve) == ("fib", ["30", "x=4"], 2)
    options = cli._parser().parse_args(["bench", "--serve", "2"])
    assert (options.method, options.arguments) == (None, [])


@pytest.mark.parametrize(
    ("error", "words", "environ", "sentence"),
    [
        (
            ConnectionFailed("no"),
            "call f",
            {},
            " No broker was named, and no private one runs: start one (rpcsvc broker",
        ),
        (
            ConnectionFailed("no"),
            "call f",
            {"RPCSVC_URL": "amqp://h"},
            " (that is where RPCSVC_URL says the broker is)",
        ),
        (ConnectionFailed("no"), "serve --url amqp://h", {"RPCSVC_URL": "amqp://i"}, " (that is where --url says"),
        (ConnectionFailed("no"), "broker start", {}, " No broker was named"),
        (NoServer("q", "why"), "call f", {}, "; in this command: --wait-for-server SECONDS"),
    ],
)
def test_an_error_is_followed_by_what_to_type(
    error: RpcError, words: str, environ: dict[str, str], sentence: str
) -> None:
    options = cli._parser().parse_args(words.split())

    assert cli.advice(error, options, environ).startswith(sentence)


@pytest.mark.parametrize("error", [TlsFailed("no"), RpcError("no")])
def test_an_error_that_says_it_all_is_followed_by_nothing(error: RpcError) -> None:
    assert cli.advice(error, cli._parser().parse_args(["call", "f"]), {}) == ""


def test_a_benchmark_is_not_told_to_wait_for_a_server() -> None:
    assert cli.advice(NoServer("q", "why"), cli._parser().parse_args(["bench"]), {}) == ""


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["serve", "a:r"], ("rpcsvc.client", "rpcsvc.bench")),
        (["-v", "call", "bench"], ("rpcsvc.server", "rpcsvc.bench", "rpcsvc.workers")),
        (["broker", "status"], ("rpcsvc.client", "rpcsvc.server", "pika")),
    ],
)
def test_a_subcommand_begins_without_what_only_others_need(words: list[str], without: tuple[str, ...]) -> None:
    program = f"import sys; from rpcsvc import cli; cli._parser({words}).parse_args({words}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert "argparse" in done.stdout.split()
    assert not set(without) & set(done.stdout.split())


def test_the_help_of_the_command_names_every_subcommand() -> None:
    told = cli._parser(["--help"]).format_help()

    assert [name for name in (*cli.COMMANDS, "completion") if f"\n    {name} " not in told] == []
