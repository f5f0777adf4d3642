"""The release before this one beside it: its pools with today's clients, its clients with today's pools.

It comes out of this repository's own history.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping

import pika
import pytest
from support.processes import HERE, ServerProcess

import rpcsvc
from rpcsvc.broker import PrivateBroker

REVISION = "aaa3477f07ba66a065bc04dd8a504d13552a8313"
"""0.1.0, as it was used from checkouts."""
REGISTRY = "across:registry"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which `rpcsvc` is the release before."""
    command = ["git", "-C", str(HERE.parents[1]), "archive", "--format=tar", f"{REVISION}:rpcsvc"]
    archived = subprocess.run(command, capture_output=True, check=False)
    if archived.returncode:
        pytest.fail(
            f"the release before this one, revision {REVISION[:7]}, is not in this checkout's history; in a shallow"
            f" clone type git fetch --unshallow ({archived.stderr.decode(errors='replace').strip()})"
        )
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as package:
        package.extractall(folder / "rpcsvc", filter="data")
    return {"PYTHONPATH": str(folder)}


def start_client(broker: PrivateBroker, queue: str, prompt: str, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "across.py", queue, prompt],
        cwd=HERE,
        env={**os.environ, **environ, "RPCSVC_URL": broker.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def printed(client: subprocess.Popen[str]) -> str:
    """What a client printed that ended well."""
    output, _ = client.communicate(timeout=100)
    assert client.returncode == 0, output
    return output.strip()


@pytest.mark.parametrize("older", ["pool", "client"])
def test_a_pool_and_a_client_of_neighbouring_releases_work_together(
    older: str, broker: PrivateBroker, queue: str, earlier: Mapping[str, str]
) -> None:
    sides = {"pool": {}, "client": {}, older: earlier}
    with ServerProcess(
        broker.url, "--workers", "1", "--queue", queue, registry=REGISTRY, environ=sides["pool"]
    ) as server:
        versions = printed(start_client(broker, queue, "all", sides["client"]))
        assert "Traceback" not in server.output
    now = rpcsvc.__version__
    assert versions == ("0.1.0 asked " + now if older == "client" else now + " asked 0.1.0")


def test_pools_are_upgraded_one_by_one_while_clients_of_both_releases_call(
    broker: PrivateBroker, queue: str, earlier: Mapping[str, str]
) -> None:
    options = ("--workers", "1", "--queue", queue)
    with ServerProcess(broker.url, *options, registry=REGISTRY, environ=earlier) as before:
        clients = [start_client(broker, queue, "calls", environ) for environ in (earlier, {})]
        with ServerProcess(broker.url, *options, registry=REGISTRY) as after:
            before.signal(signal.SIGTERM)
            assert before.wait(30) == 0
            assert [printed(client) for client in clients] == ["0.1.0", rpcsvc.__version__]
            assert "Traceback" not in before.output + after.output


def test_a_queue_of_another_kind_is_none_for_an_earlier_pool(
    broker: PrivateBroker, queue: str, earlier: Mapping[str, str]
) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-max-length": 1000})
        options = ("--workers", "1", "--queue", queue)
        with ServerProcess(broker.url, *options, registry=REGISTRY, environ=earlier, ready=False) as server:
            assert server.wait(30) == 6
        channel.queue_delete(queue)
