"""Hosts that lack what most have: a folder that may be written to, /proc, /dev, a home, a name for the user, UTF-8.

Where the kernel lets us (namespaces of mounts), the host really lacks it. Elsewhere Python's view of it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.modules import ended, serving, write
from support.processes import COMMAND, wait_until

import rpcsvc
from rpcsvc import RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode

UNKNOWN_USER = 54321
MOUNTS = {
    "a read-only root": "mount -o remount,bind,ro / && if findmnt -n /tmp; then mount -o remount,bind,ro /tmp; fi",
    "no /proc": "mount -t tmpfs -o ro none /proc",
    "no /dev": "mount -t tmpfs -o ro none /dev",
    "no /dev/shm": "mount -t tmpfs -o ro none /dev/shm",
}
FAKES = {
    "a read-only root": "import tempfile; tempfile._candidate_tempdir_list = lambda: []",
    "no /proc": (
        "import builtins, os\n"
        "def lacking(real):\n"
        "    def wrapped(path, *args, **options):\n"
        "        if str(path).startswith('/proc'): raise FileNotFoundError(2, 'No such file', path)\n"
        "        return real(path, *args, **options)\n"
        "    return wrapped\n"
        "builtins.open, os.open, os.listdir = lacking(builtins.open), lacking(os.open), lacking(os.listdir)"
    ),
    "no /dev": "import os; os.devnull = '/dev/nothing-of-that-name'",
    "no /dev/shm": "",
}

NO_MEMORY = """
import errno, os


def lacking(*_):
    raise OSError(errno.{code}, os.strerror(errno.{code}))


os.memfd_create = lacking
"""


def has_namespaces() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def lacking(what: str) -> tuple[str, ...]:
    """Runs a program on a host that lacks something."""
    return ("unshare", "-m", "sh", "-c", f'{MOUNTS[what]} >&2; exec "$@"', "sh") if has_namespaces() else ()


def pretending(folder: Path, what: str) -> dict[str, str]:
    """The environment in which Python believes the same, where that cannot be had."""
    if has_namespaces():
        return {}
    (folder / "sitecustomize.py").write_text(FAKES[what])
    return {"PYTHONPATH": f"{folder}:{Path(rpcsvc.__file__).parents[1]}"}


def as_unknown_user() -> tuple[str, ...]:
    """Runs a program as a user that the system has no name for; it may read what root may."""
    if os.getuid() != 0:
        return ()
    reading = "+dac_override,+dac_read_search"
    user = (f"--reuid={UNKNOWN_USER}", f"--regid={UNKNOWN_USER}", "--clear-groups")
    return ("setpriv", *user, f"--inh-caps={reading}", f"--ambient-caps={reading}")


@pytest.mark.parametrize("what", MOUNTS)
def test_a_pool_serves_on_a_host_that_lacks(broker: PrivateBroker, tmp_path: Path, queue: str, what: str) -> None:
    write(tmp_path, "poor", "")
    command = (*lacking(what), *COMMAND)
    options = ("--workers", "2", "--memory-limit", "512M", "--time-limit", "20")
    environ = pretending(tmp_path, what)
    with (
        serving(broker.url, queue, tmp_path, "poor", *options, command=command, environ=environ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        with pytest.raises(WorkerLost):
            client.call("die")
        assert client.call("pid") > 0
        wait_until(lambda: client.call("pid") > 0)
        assert "Traceback" not in server.output


@pytest.mark.parametrize("what", MOUNTS)
def test_a_client_calls_from_a_host_that_lacks(broker: PrivateBroker, tmp_path: Path, queue: str, what: str) -> None:
    write(tmp_path, "poor", "")
    with serving(broker.url, queue, tmp_path, "poor", "--workers", "1"):
        done = subprocess.run(
            [*lacking(what), *COMMAND, "call", "--queue", queue, "rpc.ping"],
            env={**os.environ, "RPCSVC_URL": broker.url, **pretending(tmp_path, what)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "pong\n"), done.stderr


class TestWithoutAHome:
    def run(self, *words: str, **environ: str) -> tuple[int, str]:
        fake = "" if os.getuid() == 0 else "import pwd\ndef lacking(uid): raise KeyError(uid)\npwd.getpwuid = lacking\n"
        code = f"{fake}import sys; from rpcsvc.cli import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [*as_unknown_user(), sys.executable, "-c", code, *words],
            env={"PATH": os.environ["PATH"], **environ},
            cwd=Path(rpcsvc.__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout

    def test_a_user_of_no_name_and_no_home_calls(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
        write(tmp_path, "poor", "")
        with serving(broker.url, queue, tmp_path, "poor", "--workers", "1"):
            assert self.run("call", "--queue", queue, "rpc.ping", RPCSVC_URL=broker.url) == (0, "pong\n")

    def test_and_serves(self, broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
        write(tmp_path, "poor", "")
        command = (*as_unknown_user(), "env", "-u", "HOME", *COMMAND)
        with (
            serving(broker.url, queue, tmp_path, "poor", "--workers", "1", command=command),
            RpcClient(broker.url, queue=queue, timeout=20) as client,
        ):
            assert client.call("pid") > 0

    def test_without_a_broker_named_it_looks_where_rabbitmq_is_by_default(self) -> None:
        code, output = self.run("serve", "--connect-timeout", "0.2", "--queue", "none-of-that-name")
        if code == ExitCode.NO_BROKER:
            assert "Traceback" not in output
            assert "127.0.0.1:5672" in output

    @pytest.mark.parametrize("words", ["start", "status", "stop", "run"])
    def test_a_private_broker_needs_a_place_and_says_how_one_is_named(self, words: str) -> None:
        code, output = self.run("broker", words)
        assert code == ExitCode.USAGE
        assert "no home folder" in output
        assert "--dir, or XDG_STATE_HOME" in output
        assert "Traceback" not in output


def test_without_memory_to_share_and_without_a_folder_a_server_says_so(
    broker: PrivateBroker, tmp_path: Path, queue: str
) -> None:
    write(tmp_path, "poor", "")
    lacks_memory = (
        "import errno, os\ndef lacking(*_): raise OSError(errno.ENOSYS, 'none here')\nos.memfd_create = lacking\n"
    )
    (tmp_path / "sitecustomize.py").write_text(lacks_memory + FAKES["a read-only root"])
    environ = {"PYTHONPATH": f"{tmp_path}:{Path(rpcsvc.__file__).parents[1]}"}
    with serving(broker.url, queue, tmp_path, "poor", ready=False, environ=environ) as server:
        code, output = ended(server)
    assert code == ExitCode.POOL_FAILED
    assert "name a folder that may be written to: TMPDIR" in output
    assert "Traceback" not in output


def test_without_memfd_a_file_does(broker: PrivateBroker, tmp_path: Path, queue: str) -> None:
    write(tmp_path, "poor", "")
    lacks_memory = (
        "import errno, os\ndef lacking(*_): raise OSError(errno.EPERM, 'forbidden')\nos.memfd_create = lacking\n"
    )
    (tmp_path / "sitecustomize.py").write_text(lacks_memory + "os.pidfd_open = lacking\n")
    environ = {"PYTHONPATH": f"{tmp_path}:{Path(rpcsvc.__file__).parents[1]}"}
    with (
        serving(broker.url, queue, tmp_path, "poor", "--workers", "1", environ=environ),
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        with pytest.raises(WorkerLost):
            client.call("die")
        assert client.call("pid") > 0


@pytest.mark.parametrize(
    "locale", ["C", *(pytest.param(name, marks=pytest.mark.long) for name in ("POSIX", "nowhere.UTF-8"))]
)
def test_names_that_ascii_lacks_are_served_and_shown_in_any_locale(
    broker: PrivateBroker, tmp_path: Path, queue: str, locale: str
) -> None:
    code = "\nimport logging\n\n@registry.function\ndef größe() -> str:\n    logging.info('zählt €')\n    return '€'\n"
    path = tmp_path / "words.py"
    path.write_text(f"import os\nfrom rpcsvc import Registry\nregistry = Registry()\n{code}", encoding="utf-8")
    environ = {"LC_ALL": locale, "LANG": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with (
        serving(broker.url, queue, tmp_path, "words", "--workers", "1", environ=environ) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert client.call("größe") == "€"
        wait_until(lambda: "INFO rpcsvc: worker 1: root: z" in server.output)
        assert "Traceback" not in server.output
        assert "Logging error" not in server.output
