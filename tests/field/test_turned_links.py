"""A release is a folder behind a link: the link is turned, SIGHUP is sent, and the new release is served."""

from __future__ import annotations

import os
import signal
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.modules import serving, write
from support.processes import COMMAND, ServerProcess, wait_until

import rpcsvc
from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode

VERSION = """
import helper


@registry.function
def version() -> list[str]:
    with open("data") as file:
        return [helper.VERSION, file.read(), os.path.basename(os.getcwd()), sys.executable]
"""


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Two releases, and a link that leads to the first."""
    for number in ("1", "2"):
        folder = tmp_path / "releases" / number
        (folder / "lib").mkdir(parents=True)
        write(folder, "app", VERSION)
        (folder / "lib" / "helper.py").write_text(f"VERSION = 'code {number}'\n")
        (folder / "data").write_text(f"data {number}")
    (tmp_path / "current").symlink_to("releases/1")
    return tmp_path


def turn(folder: Path) -> None:
    """As `ln -sfn` does."""
    (folder / "new").symlink_to("releases/2")
    (folder / "new").rename(folder / "current")


def reload(server: ServerProcess) -> None:
    before = server.output.count("the registry is reloaded")
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.output.count("the registry is reloaded") > before, within=30)


@pytest.mark.parametrize("path", ["lib", "./lib", "current/lib", "releases/1/lib"])
def test_the_folder_that_a_server_was_started_in_is_the_one_of_that_name(
    broker: PrivateBroker, releases: Path, queue: str, path: str
) -> None:
    searched = path if path in ("lib", "./lib") else str(releases / path)
    with (
        serving(
            broker.url,
            queue,
            releases / "current",
            "app",
            "--workers",
            "1",
            environ={"PYTHONPATH": f"{searched}:{Path(rpcsvc.__file__).parents[1]}"},
        ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("version")[:3] == ["code 1", "data 1", "1"]
        turn(releases)
        reload(server)
        assert client.call("version")[:3] == ["code 2", "data 2", "2"]


def test_so_is_one_after_the_loss_of_the_fork_server(broker: PrivateBroker, releases: Path, queue: str) -> None:
    with (
        serving(broker.url, queue, releases / "current", "app", "--workers", "1", environ=path_to("lib")) as server,
        RpcClient(broker.url, queue=queue, timeout=20, wait_for_server=10) as client,
    ):
        assert client.call("version")[:3] == ["code 1", "data 1", "1"]
        turn(releases)
        fork_server = next(process for process in server.family() if process.ppid() == server.pid)
        fork_server.kill()
        wait_until(lambda: "the fork server has ended" in server.output)
        assert client.call("version")[:3] == ["code 2", "data 2", "2"]


def path_to(*folders: str) -> dict[str, str]:
    return {"PYTHONPATH": ":".join([*folders, str(Path(rpcsvc.__file__).parents[1])])}


def test_without_a_name_for_the_folder_it_stays_what_it_is(broker: PrivateBroker, releases: Path, queue: str) -> None:
    environ = {**path_to("lib"), "PWD": "/nowhere"}
    with (
        serving(broker.url, queue, releases / "current", "app", "--workers", "1", environ=environ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        turn(releases)
        reload(server)
        assert client.call("version")[:3] == ["code 1", "data 1", "1"]


def test_a_folder_that_is_gone_does_not_keep_a_reload_from_failing_with_a_sentence(
    broker: PrivateBroker, releases: Path, queue: str
) -> None:
    with (
        serving(broker.url, queue, releases / "current", "app", "--workers", "1", environ=path_to("lib")) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        (releases / "current").unlink()
        server.signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in server.output, within=30)
        assert client.call("version")[:2] == ["code 1", "data 1"]
        assert "Traceback" not in server.output.split("Error")[0]


def with_a_venv(releases: Path) -> Sequence[str]:
    """The command, by the relative path of an environment of the release's own."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    for number in ("1", "2"):
        folder = releases / "releases" / number / ".venv"
        venv.create(folder, symlinks=True)
        (site,) = folder.glob("lib/*/site-packages")
        (site / "others.pth").write_text("\n".join([str(Path(rpcsvc.__file__).parents[1]), *packages]))
        (site / "installed.py").write_text(f"VERSION = 'installed {number}'")
    return (".venv/bin/python", "-m", "rpcsvc")


def test_the_interpreter_and_what_is_installed_are_those_of_the_new_release(
    broker: PrivateBroker, releases: Path, queue: str
) -> None:
    command = with_a_venv(releases)
    for number in ("1", "2"):
        code = VERSION.replace("helper", "installed")
        write(releases / "releases" / number, "app", code)
    with (
        serving(broker.url, queue, releases / "current", "app", "--workers", "1", command=command) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("version")[0] == "installed 1"
        turn(releases)
        reload(server)
        version, _, _, executable = client.call("version")
        assert version == "installed 2"
        assert executable == os.fspath(releases / "current" / ".venv/bin/python")


def test_another_version_of_rpcsvc_is_told_at_a_reload_and_the_old_workers_go_on(
    broker: PrivateBroker, releases: Path, queue: str
) -> None:
    (releases / "installed").mkdir()
    (releases / "installed" / "rpcsvc").symlink_to(Path(rpcsvc.__file__).parent)
    with (
        serving(
            broker.url,
            queue,
            releases / "current",
            "app",
            "--workers",
            "1",
            environ={"PYTHONPATH": f"lib:{releases / 'installed'}", "PYTHONSAFEPATH": ""},
            command=COMMAND,
        ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        replace_by_another_version(releases / "installed")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "the registry is not reloaded" in server.output, within=30)
        assert "rpcsvc 99.0 is installed here now" in server.output
        assert "restart it to use the new one" in server.output
        assert client.call("version")[0] == "code 1"
        assert ExitCode.OK == 0


def replace_by_another_version(folder: Path) -> None:
    """A copy of the package, of links but for the file that says the version."""
    package = Path(rpcsvc.__file__).parent
    new = folder / "rpcsvc.new"
    new.mkdir()
    for path in package.iterdir():
        if path.name not in ("_version.py", "__pycache__"):
            (new / path.name).symlink_to(path)
    (new / "_version.py").write_text('__version__ = "99.0"\n')
    (folder / "rpcsvc").unlink()
    new.rename(folder / "rpcsvc")
