"""Standard streams that are closed, full, broken or narrow, under each command: the work is done all the same, and what
could not be printed is told by a sentence, if there is anywhere to say it, and by the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from support.processes import REGISTRY, ServerProcess, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode

HERE = Path(__file__).parent.parent / "integration"
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
BROKEN = "broken"
CLOSINGS = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(broker: PrivateBroker, server: ServerProcess, tmp_path: Path) -> Run:
    """A line of a shell; `rpcsvc` in it is the command, on this file's server."""

    def run(line: str, environ: Mapping[str, str] = MappingProxyType({})) -> subprocess.CompletedProcess[str]:
        function = f'rpcsvc() {{ "{sys.executable}" -m rpcsvc "$@"; }}; '
        return subprocess.run(
            ["bash", "-c", function + line.replace("--q", f"--queue {server.queue}")],
            env={**os.environ, "RPCSVC_URL": broker.url, "XDG_STATE_HOME": str(tmp_path), **environ},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    return run


# ---- a result


@needs_full
def test_a_result_that_finds_no_room_is_told_after_the_function_ran(shell: Run, tmp_path: Path) -> None:
    done = shell(f"rpcsvc call write_then_sleep {tmp_path / 'ran'} x 0 --q >/dev/full")

    assert (tmp_path / "ran").read_text() == "x\n"
    assert done.returncode == ExitCode.NOT_PRINTED
    assert done.stderr == (
        "rpcsvc: write_then_sleep has run, but its result cannot be printed: "
        "standard output cannot be written: No space left on device\n"
    )


def test_a_result_that_nobody_reads_is_told_too(shell: Run) -> None:
    done = shell('{ sleep 0.3; rpcsvc call fib 30 --q; echo "$?" >&2; } | head -c 0')

    assert (
        "fib has run, but its result cannot be printed: standard output cannot be written: Broken pipe" in done.stderr
    )
    assert done.stderr.endswith(f"{ExitCode.NOT_PRINTED:d}\n")


@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_call_works_with_closed_streams(shell: Run, closing: str) -> None:
    done = shell(f"rpcsvc call fib 30 --q {closing}")

    if ">&-" in closing.replace("2>&-", ""):
        assert done.returncode == ExitCode.NOT_PRINTED
        assert ("it is closed" in done.stderr) == ("2>&-" not in closing)
    else:
        assert (done.returncode, done.stdout) == (ExitCode.OK, "832040\n")


@pytest.mark.parametrize(
    ("environ", "word", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, '\'["ü", "😀"]\'', '["\\u00fc","\\ud83d\\ude00"]'),
        ({"PYTHONIOENCODING": "latin-1"}, "ü", "\udcfc"),
        ({"LC_ALL": "C"}, "ü", "ü"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "'[\"ü\"]'", '["\\u00fc"]'),
    ],
)
def test_a_result_is_printed_exactly_in_the_letters_that_there_are(
    shell: Run, environ: dict[str, str], word: str, printed: str
) -> None:
    done = shell(f"rpcsvc call echo {word} --q", environ)

    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.OK, f"{printed}\n", "")


def test_text_that_standard_output_has_no_letters_for_is_not_printed_otherwise(shell: Run) -> None:
    done = shell("rpcsvc call echo 'schön' --q", {"PYTHONIOENCODING": "ascii"})

    assert (done.returncode, done.stdout) == (ExitCode.NOT_PRINTED, "")
    assert done.stderr.startswith("rpcsvc: echo has run, but its result cannot be printed: ascii has no ")
    assert "set PYTHONIOENCODING=utf-8" in done.stderr


@needs_full
def test_an_error_that_cannot_be_said_has_its_exit_code_all_the_same(shell: Run) -> None:
    assert shell("rpcsvc call raise_error oh --q 2>/dev/full").returncode == ExitCode.FAILED
    assert shell("rpcsvc call fib x --q 2>&-").returncode == ExitCode.USAGE
    assert shell("rpcsvc call --nonsense 2>/dev/full").returncode == ExitCode.USAGE


# ---- everything else that is printed


@needs_full
@pytest.mark.parametrize("words", ["--help", "--version", "call --help", "bench --help", "broker --help"])
def test_help_that_finds_no_room_is_told(shell: Run, words: str) -> None:
    done = shell(f"rpcsvc {words} >/dev/full")

    assert done.returncode == ExitCode.NOT_PRINTED
    assert "standard output cannot be written, and what was printed is lost: No space left" in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}])
@pytest.mark.parametrize("words", ["--help", "bench --help", "serve --help", "call --help"])
def test_help_is_written_in_the_letters_that_there_are(shell: Run, words: str, environ: dict[str, str]) -> None:
    done = shell(f"rpcsvc {words}", environ)

    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout.startswith("usage: rpcsvc")


@needs_full
def test_the_status_of_a_broker_that_does_not_run_is_its_exit_code_wherever_it_is_said(shell: Run) -> None:
    for closing in (">/dev/full", *CLOSINGS):
        assert shell(f"rpcsvc broker status {closing}").returncode == ExitCode.NOT_RUNNING


@needs_full
def test_a_measurement_that_cannot_be_shown_is_written_and_told(shell: Run, tmp_path: Path) -> None:
    load = "bench fib 10 --q --duration 0.3 --warm-up 0.1 --json"
    done = shell(f"rpcsvc {load} {tmp_path / 'a.json'} >/dev/full")
    assert done.returncode == ExitCode.NOT_PRINTED
    assert (tmp_path / "a.json").stat().st_size > 1000

    done = shell(f"rpcsvc {load} {tmp_path / 'b.json'} 2>/dev/full")
    assert (done.returncode, "Throughput and latency" in done.stdout) == (ExitCode.OK, True)

    done = shell(f"rpcsvc {load} /dev/full")
    assert done.returncode == ExitCode.NOT_PRINTED
    assert "/dev/full" in done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Throughput and latency" in done.stdout


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_measurement_is_shown_in_the_letters_that_there_are(shell: Run, environ: dict[str, str]) -> None:
    done = shell("rpcsvc bench fib 10 --q --duration 0.3 --warm-up 0.1", environ)

    assert done.returncode == ExitCode.OK, done.stderr
    assert "closed loop, 1 client" in done.stdout


# ---- a server

SERVE = 'exec "$PYTHON" -m rpcsvc serve "$REGISTRY" --workers 1 --queue "$QUEUE"'


@needs_full
@pytest.mark.parametrize("streams", ["2>/dev/full", ">/dev/full 2>/dev/full", *CLOSINGS])
def test_a_server_serves_whatever_its_streams_are(
    broker: PrivateBroker, queue: str, streams: str, tmp_path: Path
) -> None:
    environ = {"PYTHON": sys.executable, "REGISTRY": REGISTRY, "QUEUE": queue, "RPCSVC_URL": broker.url}
    server = subprocess.Popen(["bash", "-c", f"{SERVE} {streams}"], cwd=HERE, env={**os.environ, **environ})
    try:
        with RpcClient(broker.url, queue=queue, wait_for_server=30, timeout=30) as client:
            assert client.call("fib", 30) == 832040
            with pytest.raises(Exception, match="exit code 3"):
                client.call("exit_hard", 3)  # what the server says about it goes nowhere
            assert client.call("fib", 31) == 1346269
        server.terminate()
        assert server.wait(30) == ExitCode.OK
    finally:
        server.kill()
        server.wait()


def test_a_server_whose_log_nobody_reads_any_more_goes_on(broker: PrivateBroker, queue: str) -> None:
    reading, writing = os.pipe()
    environ = {**os.environ, "RPCSVC_URL": broker.url}
    command = [sys.executable, "-m", "rpcsvc", "serve", REGISTRY, "--workers", "1", "--queue", queue]
    server = subprocess.Popen(command, cwd=HERE, env=environ, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        said = b""

        def is_ready() -> bool:
            nonlocal said
            said += os.read(reading, 4096)
            return b"ready:" in said

        wait_until(is_ready, within=30)
        os.close(reading)
        with RpcClient(broker.url, queue=queue, timeout=30) as client:
            with pytest.raises(Exception, match="exit code 3"):
                client.call("exit_hard", 3)
            assert client.call("fib", 30) == 832040
        server.terminate()
        assert server.wait(30) == ExitCode.OK
    finally:
        server.kill()
        server.wait()
