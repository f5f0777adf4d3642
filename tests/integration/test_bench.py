"""`rpcsvc bench` on a real pool: every call is accounted for, and everything that was started is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.processes import ServerProcess, is_running, wait_until

from rpcsvc import ConnectionFailed, NoServer, RpcClient
from rpcsvc.bench.stage import a_broker
from rpcsvc.broker import PrivateBroker, answers
from rpcsvc.cli.exits import ExitCode
from rpcsvc.testing import scaled

QUICK = ("--warm-up", "0.1", "--duration", "0.4")
Bench = Callable[..., tuple[int, dict[str, Any], str]]


def _start(url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rpcsvc", "bench", *words],
        env={**os.environ, "RPCSVC_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def bench(broker: PrivateBroker, tmp_path: Path) -> Bench:
    """Run it to its end: exit code, the JSON file, what it printed on standard output."""

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        file = tmp_path / "result.json"
        process = _start(broker.url, *words, "--json", str(file))
        output, errors = process.communicate(timeout=60)
        assert file.exists(), errors
        return process.returncode, json.loads(file.read_text()), output

    return run


def _adds_up(run: dict[str, Any]) -> None:
    calls = run["calls"]
    assert calls["wanted"] == calls["sent"] + calls["never_sent"]
    assert calls["sent"] == calls["succeeded"] + calls["failed"] + calls["unfinished"]
    assert calls["failed"] == sum(run["errors"].values())
    assert calls["succeeded"] == run["latency_us"]["count"]


def test_a_closed_loop_of_processes_threads_and_calls_in_flight(bench: Bench, server: ServerProcess) -> None:
    code, form, output = bench("fib", "30", "--clients", "2", "--threads", "2", "--in-flight", "5", *QUICK)

    run = form["run"]
    assert code == ExitCode.OK
    _adds_up(run)
    assert run["calls"]["failed"] == run["calls"]["unfinished"] == 0
    assert run["calls"]["succeeded"] > 20
    assert run["throughput"] > 0
    latency = run["latency_us"]
    assert (
        0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
    )
    assert "20 calls under way" in output
    # The pool was found by itself: who serves this broker's queue on this machine.
    assert {role: usage["processes"] for role, usage in run["roles"].items()} == {
        "client": 2,
        "server": 2,
        "workers": 3,
        "broker": 1,
    }
    assert all(usage["rss_bytes"] > 0 for usage in run["roles"].values())
    assert run["roles"]["client"]["cpu_us_per_call"] > 0


def test_an_open_loop_keeps_its_rate(bench: Bench, server: ServerProcess) -> None:
    code, form, _ = bench("--rate", "100", "--arrivals", "constant", "--clients", "2", *QUICK)

    run = form["run"]
    assert code == ExitCode.OK
    _adds_up(run)
    assert run["calls"]["wanted"] == 40


def test_an_overload_ends_on_time_and_says_what_was_not_sent(bench: Bench, server: ServerProcess) -> None:
    begun = time.monotonic()

    _, form, output = bench("sleep", "0.05", "--rate", "5000", "--in-flight", "20", "--timeout", "0.2", *QUICK)

    assert time.monotonic() - begun < scaled(15)
    run = form["run"]
    _adds_up(run)
    assert run["calls"]["never_sent"] > 1000
    assert run["calls"]["sent"] <= 400
    assert set(run["errors"]) == {"RpcTimeout"}, "20 under way on 3 workers wait for longer than that"
    assert "were never sent" in output
    assert "RpcTimeout" in output


def test_errors_are_told_by_type(bench: Bench, server: ServerProcess) -> None:
    code, form, output = bench("raise_error", "oh", *QUICK)

    assert code == ExitCode.FAILED, "no call succeeded"
    _adds_up(form["run"])
    assert set(form["run"]["errors"]) == {"FunctionRaised: LookupError"}
    assert "FunctionRaised: LookupError" in output


def test_sweeps_of_a_pool_of_its_own_and_their_report(broker: PrivateBroker, bench: Bench, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    code, form, _ = bench(
        *("--serve", "1", "--sweep", "workers=1,2", "--sweep", "payload=0,1k", "--report", str(page)),
        *("--warm-up", "0.1", "--duration", "0.3"),
    )

    assert code == ExitCode.OK
    assert [(sweep["name"], [point["value"] for point in sweep["points"]]) for sweep in form["sweeps"]] == [
        ("payload", [0, 1024]),
        ("workers", [1, 2]),
    ]
    for sweep in form["sweeps"]:
        for point in sweep["points"]:
            _adds_up(point["run"])
            assert point["run"]["calls"]["succeeded"] > 0
    assert [point["run"]["roles"]["workers"]["processes"] for point in form["sweeps"][1]["points"]] == [1, 2]
    queue = form["run"]["load"]["queue"]
    with RpcClient(broker.url, queue=queue) as client, pytest.raises(NoServer, match="does not exist"):
        client.call("fib", 30)
    text = page.read_text()
    assert text.count("<svg ") == 6
    assert "Throughput against worker processes" in text
    assert "src=" not in text
    assert broker.url.rpartition("@")[0] not in text + json.dumps(form), "the password stays secret"


def test_a_sweep_is_checked_before_anything_is_measured(broker: PrivateBroker, server: ServerProcess) -> None:
    process = _start(broker.url, "echo", "1", "--duration", "300", "--sweep", "payload=0,1G")
    output, errors = process.communicate(timeout=60)

    assert (process.returncode, output) == (ExitCode.USAGE, "")
    assert "measuring" not in errors
    assert "the request takes 1073741" in errors


def test_a_step_of_a_sweep_that_fails_loses_nothing_that_was_measured(bench: Bench) -> None:
    code, form, output = bench("--serve", "1", "--sweep", "workers=1,99999,2", *QUICK)

    assert code == ExitCode.FAILED
    assert form["run"]["calls"]["succeeded"] > 0
    ((sweep,), (failure,)) = form["sweeps"], form["failures"]
    assert [point["value"] for point in sweep["points"]] == [1]
    assert failure.startswith("workers=99999: the pool did not start")
    assert "a sweep is not complete: workers=99999" in output


@pytest.mark.long
def test_where_no_broker_answers_there_is_a_private_one_for_that_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RPCSVC_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("rpcsvc.settings.FALLBACK_URL", "amqp://127.0.0.1:1/")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(ConnectionFailed, match="--serve N"), a_broker(None, may_start=False):
        pass
    with a_broker(None, may_start=True) as broker:
        assert answers(broker.url)
        assert psutil.Process(broker.pid).name().startswith("beam")

    assert not answers(broker.url)
    # In a container whose first process does not reap, what has ended stays in the table as a zombie.
    left = psutil.Process(broker.pid) if psutil.pid_exists(broker.pid or 0) else None
    assert left is None or left.status() == psutil.STATUS_ZOMBIE
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_shows_what_there_is_and_leaves_nothing_behind(broker: PrivateBroker) -> None:
    process = _start(broker.url, "--serve", "2", "--duration", "60", "--warm-up", "0", "--in-flight", "10")
    try:
        assert process.stderr is not None
        assert any("measuring" in line for line in process.stderr), "it ended before it began"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 6, "the keeper, the pool's server, its fork server and workers, and the client process"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody in the foreground gets it
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == ExitCode.INTERRUPTED
    assert "results/s" in output
    assert "interrupted after" in output
    assert "Traceback" not in errors
    wait_until(lambda: not any(is_running(process) for process in family), within=5)


def test_a_call_that_can_never_work_is_told_once(broker: PrivateBroker, server: ServerProcess) -> None:
    for words, code, sentence in (
        (("nope",), ExitCode.USAGE, "no function 'nope'"),
        (("fib", "x"), ExitCode.USAGE, "must be int"),
        (("--queue", "nobody-here"), ExitCode.NO_SERVER, "nobody-here"),
    ):
        process = _start(broker.url, *words)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (code, "")
        assert sentence in errors
