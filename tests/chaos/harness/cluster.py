"""A RabbitMQ cluster of several nodes on this machine, each of which can be killed and started again.

The nodes are private ones (all files in one folder, all sockets on the loopback interface), but share a cookie and an
epmd, and find each other by a list of names. epmd is started by the first node and is killed with the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pika
from support.ctl import run_tool

from rpcsvc.broker import config, install, ports, probe, processes
from rpcsvc.broker.config import Credentials, Layout
from rpcsvc.errors import ConnectionFailed
from rpcsvc.host.keeper import MARK, keep_folder

_START_TIMEOUT = 120.0


class Cluster:
    """`size` nodes; use it as a context manager.

    Attributes:
        urls: of each node, with the password in it.
    """

    def __init__(self, size: int = 3) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rpcsvc-cluster-")
        self._keeping = contextlib.ExitStack()
        self._keeping.enter_context(keep_folder(Path(self._folder.name)))
        base = Path(self._folder.name).resolve()
        self._layouts = [Layout(base / f"node{number}") for number in range(size)]
        self._names = [f"rpcsvc{number}@localhost" for number in range(size)]
        self._cookie = secrets.token_hex(32)
        self._epmd_port = ports.random_free_port()
        password = secrets.token_hex(24)
        self._credentials = [Credentials("rpcsvc", password, ports.random_free_port()) for _ in range(size)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * size
        self.urls = [each.url(each.port or 0).reveal() for each in self._credentials]

    def __enter__(self) -> Self:
        try:
            # The first node alone: of three that meet each other for the first time, two wait by chance, up to 30 s.
            for number in range(len(self.urls)):
                self.launch(number)
                self.wait_ready(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in range(len(self.urls)):
            self.kill(number)
        self._folder.cleanup()
        self._keeping.close()

    @property
    def url(self) -> str:
        """All of `urls`, as clients and servers take them."""
        return ",".join(self.urls)

    # ---- its nodes

    def launch(self, number: int) -> None:
        """Start a node that does not run; `wait_ready` tells when it is up."""
        layout = self._layouts[number]
        self._write_files(number)
        with layout.startup_log.open("ab") as output:
            self._processes[number] = subprocess.Popen(
                [str(install.find_server())],
                env=self._environment(number),
                cwd=layout.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_ready(self, number: int) -> None:
        """Return when the node takes AMQP connections."""
        url = self._credentials[number].url(self._credentials[number].port or 0)
        process = self._processes[number]
        end = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                probe.open_and_close(url, timeout=2.0)
            except ConnectionFailed:
                assert process is not None
                printed = self._layouts[number].startup_log.read_text(errors="replace")[-2000:]
                assert process.poll() is None, f"node {number} of the cluster ended in its start: {printed}"
                assert time.monotonic() < end, f"node {number} of the cluster is not up: {printed}"
                time.sleep(0.1)
            else:
                return

    def kill(self, number: int) -> None:
        """End a node with SIGKILL, and all that belongs to it; the last one takes epmd with it."""
        process, self._processes[number] = self._processes[number], None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if not any(self._processes):
            for layout in self._layouts:
                processes.kill_all(layout.folder)

    def ctl(self, number: int, *words: str) -> str:
        """What `rabbitmqctl` prints, asked of one node."""
        return run_tool("rabbitmqctl", words, self._layouts[number].folder, self._environment(number))

    def copy_everywhere(self, queue: str) -> None:
        """Have a copy of a queue on every node, before anybody declares it.

        By a policy that mirrors classic queues, as long as there are mirrors; from RabbitMQ 4.0 on as a quorum queue.
        """
        if tuple(int(number) for number in self.ctl(0, "version").split(".")[:2]) < (4, 0):
            policy = json.dumps({"ha-mode": "all", "ha-sync-mode": "automatic"})
            self.ctl(0, "set_policy", "--apply-to", "queues", "mirrored", f"^{queue}$", policy)
            return
        with pika.BlockingConnection(pika.URLParameters(self.urls[0])) as connection:
            arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": len(self.urls)}
            connection.channel().queue_declare(queue, durable=True, arguments=arguments)

    # ---- how

    def _write_files(self, number: int) -> None:
        layout = self._layouts[number]
        for folder in (layout.folder, layout.logs, layout.data):
            folder.mkdir(mode=0o700, exist_ok=True)
        credentials = self._credentials[number]
        extra = {
            "cluster_formation.peer_discovery_backend": "classic_config",
            "cluster_partition_handling": "ignore",
            # Not the others: a node that is new waits a minute for those of its list that do not run.
            **{
                f"cluster_formation.classic_config.nodes.{place}": self._names[known]
                for place, known in enumerate(sorted({0, number}), start=1)
            },
        }
        layout.config_file.write_text(config.rabbitmq_conf(credentials, credentials.port or 0, extra))
        layout.plugins_file.write_text("[].\n")
        if not layout.cookie_file.exists():
            layout.cookie_file.write_text(self._cookie)
            layout.cookie_file.chmod(0o400)

    def _environment(self, number: int) -> dict[str, str]:
        layout, name = self._layouts[number], self._names[number]
        environment = config.environment(layout, os.environ, install.search_path(), self._epmd_port, 2)
        arguments = environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
        return {
            **environment,
            **{name: value for name, value in os.environ.items() if name == MARK},  # they end with the run
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments.replace(config.NODE_NAME, name),
        }
