"""`rpcsvc bench` before anything is measured: its extra, and command lines that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rpcsvc import cli
from rpcsvc.cli.exits import ExitCode


@pytest.mark.parametrize("library", ["hdrh", "rich", "matplotlib"])
def test_without_its_extra_it_says_how_to_get_it(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith(("rpcsvc.bench.", library)):
            monkeypatch.delitem(sys.modules, name)
    for module in ("command", "report", "plots"):
        monkeypatch.delattr(f"rpcsvc.bench.{module}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)

    assert cli.main(["bench", "--report", "page.html"]) == ExitCode.USAGE

    sentence = capsys.readouterr().err
    assert f"this needs {library}" in sentence
    assert "pip install 'rpcsvc[bench]'" in sentence
    assert len(sentence.splitlines()) == 1


def test_what_draws_is_not_needed_where_nothing_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rpcsvc.bench.plots", "rpcsvc.bench.report", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)

    assert cli.main(["bench", "--sweep", "threads=1"]) == ExitCode.USAGE

    assert "a sweep is written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--clients", "0"], "--clients must be a whole number from 1 to 1000, not 0"),
        (["--rate", "-1"], "--rate must be a number from 0.001 to 1000000, not -1.0"),
        (["--rate", "fast"], "--rate must be a number from 0.001 to 1000000, not 'fast'; for instance --rate 2.5"),
        (["--duration", "0"], "--duration must be a number from 0.1 to 4294967, not 0.0"),
        (["--warm-up", "-1"], "--warm-up must be above 0 and at most 4294967 seconds, or 0 for none, not -1.0"),
        (["--arrivals", "bursts"], "--arrivals must be 'poisson' or 'constant', not 'bursts'"),
        (["--timeout", "0"], "--timeout must be above 0"),
        (["fib", "30", "timeout=0"], "timeout must be above 0"),
        (["--sweep", "threads=1"], "a sweep is written"),
        (["--sweep", "workers=1,2"], "--serve N"),
        (["--sweep", "payload=1", "--sweep", "payload=2"], "each sweep is given once"),
        (["--rate", "10", "--sweep", "in-flight=1"], "without --rate"),
        (["--json", "/nowhere/at/all.json"], "cannot be written"),
    ],
    ids=str,
)
def test_a_command_line_that_cannot_be_measured_is_refused_at_once(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(["bench", "--url", "amqp://127.0.0.1:1", *words])
    except SystemExit as end:  # the command line itself was wrong
        code = end.code
    assert code == ExitCode.USAGE
    assert sentence in capsys.readouterr().err


def test_a_report_is_not_written_over_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--report", str(tmp_path)]) == ExitCode.USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_a_broker_that_was_named_and_does_not_answer_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--url", "amqp://ann:s3cr3t@127.0.0.1:1", "--serve", "1"]) == ExitCode.NO_BROKER
    sentence = capsys.readouterr().err
    assert "no broker answers at amqp://ann:***@127.0.0.1:1/" in sentence
    assert "s3cr3t" not in sentence
