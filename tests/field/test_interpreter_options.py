"""The interpreter's options reach the functions; what they print and log is there at once; `ps` tells who is who."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.modules import serving, write
from support.processes import wait_until

from rpcsvc import FunctionRaised, RpcClient
from rpcsvc.broker import PrivateBroker

FLAGS = """
import warnings


@registry.function
def flags() -> dict[str, object]:
    named = ("dev_mode", "optimize", "isolated", "ignore_environment", "no_user_site", "dont_write_bytecode")
    found = {name: int(getattr(sys.flags, name)) for name in named}
    return {**found, "x": sorted(sys._xoptions), "w": list(sys.warnoptions), "u": sys.stdout.write_through}


@registry.function
def warn() -> None:
    warnings.warn("be careful", ResourceWarning)
"""


def interpreter(*options: str) -> tuple[str, ...]:
    return (sys.executable, *options, "-m", "rpcsvc")


@pytest.mark.parametrize("how", [(), ("--preload", "no")], ids=["preloaded", "each worker"])
def test_options_reach_the_functions(broker: PrivateBroker, tmp_path: Path, queue: str, how: tuple[str, ...]) -> None:
    write(tmp_path, "flagged", FLAGS)
    command = interpreter("-u", "-O", "-B", "-s", "-X", "dev", "-X", "utf8", "-W", "error::ResourceWarning")
    with (
        serving(broker.url, queue, tmp_path, "flagged", "--workers", "1", *how, command=command) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("flags") == {
            "dev_mode": 1,
            "optimize": 1,
            "isolated": 0,
            "ignore_environment": 0,
            "no_user_site": 1,
            "dont_write_bytecode": 1,
            "x": ["dev", "utf8"],
            "w": ["default", "error::ResourceWarning"],
            "u": True,
        }
        with pytest.raises(FunctionRaised, match="ResourceWarning: be careful"):
            client.call("warn")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "the registry is reloaded" in server.output, within=30)
        assert client.call("flags")["optimize"] == 1


def test_without_any_there_are_none(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    write(tmp_path, "flagged", FLAGS)
    environ = {"PYTHONUNBUFFERED": "", "PYTHONDONTWRITEBYTECODE": ""}
    with (
        serving(broker.url, queue, tmp_path, "flagged", "--workers", "1", environ=environ),
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        found = client.call("flags")
        assert (found["dev_mode"], found["optimize"], found["x"], found["w"], found["u"]) == (0, 0, [], [], False)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_server_works_without_a_warning_where_each_would_be_an_error(
    broker: PrivateBroker, tmp_path: Path, queue: str, workers: str
) -> None:
    write(tmp_path, "strict", "")
    command = interpreter("-X", "dev", "-W", "error")
    with (
        serving(broker.url, queue, tmp_path, "strict", "--workers", workers, command=command) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("pid") > 0
        server.signal(signal.SIGHUP)
        wait_until(lambda: "the registry is reloaded" in server.output, within=30)
        assert client.call("pid") > 0
        server.signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert "Warning" not in server.output
        assert "Exception ignored" not in server.output


PRINTS = """
import logging
log = logging.getLogger(__name__)
log.info("it is imported")


@registry.function
def say(text: str, end: str) -> None:
    print(text, end=end)


@registry.function
def say_and_wait(text: str) -> None:
    print(text)
    time.sleep(60)


@registry.function
def tell(text: str) -> None:
    log.info(text)
    log.debug("quiet " + text)
"""


class TestWhatFunctionsSay:
    @pytest.fixture
    def said(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> Path:
        write(tmp_path, "prints", PRINTS)
        return tmp_path

    def test_a_line_is_there_while_the_function_goes_on_and_the_rest_when_it_has_ended(
        self, broker: PrivateBroker, said: Path, queue: str
    ) -> None:
        environ = {"PYTHONUNBUFFERED": ""}
        with (
            serving(broker.url, queue, said, "prints", "--workers", "1", environ=environ) as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            client.call("say", "no end of line", "")
            wait_until(lambda: "no end of line" in server.output)
            call = client.submit("say_and_wait", "a whole line")
            wait_until(lambda: "a whole line\n" in server.output)
            call.cancel()

    def test_lines_of_several_workers_stay_whole(self, broker: PrivateBroker, said: Path, queue: str) -> None:
        environ = {"PYTHONUNBUFFERED": ""}
        with (
            serving(broker.url, queue, said, "prints", "--workers", "3", environ=environ) as server,
            RpcClient(broker.url, queue=queue, timeout=20, pack=False) as client,
        ):
            for future in [client.submit("say", "x" * 70, "\n") for _ in range(200)]:
                future.result()
            wait_until(lambda: server.output.count("x" * 70 + "\n") == 200)

    def test_a_functions_log_is_shown_with_time_level_and_worker(
        self, broker: PrivateBroker, said: Path, queue: str
    ) -> None:
        with (
            serving(broker.url, queue, said, "prints", "--workers", "1") as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            client.call("tell", "hello")
            wait_until(lambda: "hello" in server.output)
            assert re.search(r"^\d{4}-\d\d-\d\d .* INFO rpcsvc: import: prints: it is imported$", server.output, re.M)
            assert re.search(r"^\d{4}-\d\d-\d\d .* INFO rpcsvc: worker 1: prints: hello$", server.output, re.M)
            assert "quiet" not in server.output

    def test_with_v_its_details_too(self, broker: PrivateBroker, said: Path, queue: str) -> None:
        command = (sys.executable, "-m", "rpcsvc", "-v")
        with (
            serving(broker.url, queue, said, "prints", "--workers", "1", command=command) as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            client.call("tell", "hello")
            wait_until(lambda: "DEBUG rpcsvc: worker 1: prints: quiet hello" in server.output)

    @pytest.mark.parametrize("where", ["at import", "in worker_init"])
    def test_a_registry_that_sets_up_logging_has_it_its_way(
        self, broker: PrivateBroker, said: Path, queue: str, where: str
    ) -> None:
        set_up = "logging.basicConfig(format='mine %(message)s', level=logging.DEBUG)"
        code = f"\n@registry.worker_init\ndef init() -> None:\n    {set_up}\n" if "init" in where else f"\n{set_up}\n"
        write(said, "prints", PRINTS + code)
        with (
            serving(broker.url, queue, said, "prints", "--workers", "1") as server,
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            client.call("tell", "hello")
            wait_until(lambda: "mine quiet hello\n" in server.output)
            assert "prints: hello" not in server.output


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes keep the command line they were started with")
def test_ps_tells_server_fork_server_and_workers_apart(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    write(tmp_path, "heavy", "")
    with serving(broker.url, queue, tmp_path, "heavy", "--workers", "2") as server:
        family = {process.pid for process in server.family()}
        words = ["ps", "-ww", "-o", "comm=,args=", "-p", ",".join(map(str, [server.pid, *sorted(family)]))]
        shown = [line.split(None, 1) for line in subprocess.check_output(words, text=True).splitlines()]
        assert sorted(line for _, line in shown[1:]) == [
            "rpcsvc: fork server of heavy:registry",
            "rpcsvc: worker 1 of heavy:registry",
            "rpcsvc: worker 2 of heavy:registry",
        ]
        assert {name for name, _ in shown[1:]} == {"rpcsvc-fork", "rpcsvc-w1", "rpcsvc-w2"}
        assert "rpcsvc serve heavy:registry" in shown[0][1]
        assert psutil.Process(server.pid).environ()["PWD"] == os.fspath(tmp_path)
