"""The operator's commands against a private node: what rabbitmqctl does, run as the node's own user is.

The node has an Erlang cookie, a port mapper and a HOME of its own; with the node's own environment RabbitMQ's program
finds all three, and neither root nor the system's RabbitMQ is involved. A command takes about a quarter of a second.
"""

from __future__ import annotations

import json
import os
import subprocess

from rpcsvc.broker import PrivateBroker, config, install

_TIMEOUT = 60.0


class RabbitCtl:
    """Commands for the node of a private broker, which must run."""

    def __init__(self, broker: PrivateBroker) -> None:
        self._broker = broker
        self._layout = config.Layout(broker.folder)

    def __call__(self, *command: str) -> str:
        """Run one command; what it prints.

        Raises:
            RuntimeError: it failed; with what it printed.
        """
        done = subprocess.run(
            [install.find_server().parent / "rabbitmqctl", "-q", *command],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        node = json.loads(self._layout.node_file.read_text())
        environment = config.environment(self._layout, os.environ, install.search_path(), node["epmd_port"], cpus=1)
        # Meant for the node: the command would take its name.
        del environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
        return environment

    def close_all_connections(self) -> None:
        """Close every client's connection from the broker's side."""
        self("close_all_connections", "on purpose")

    def stop_app(self) -> None:
        """Stop RabbitMQ inside the node, which goes on."""
        self("stop_app")

    def start_app(self) -> None:
        """Start it again."""
        self("start_app")

    def memory_alarm(self, on: bool) -> None:
        """Raise or end the memory alarm: publishers are blocked meanwhile."""
        self("set_vm_memory_high_watermark", "0.0000001" if on else "0.6")

    def disk_alarm(self, on: bool) -> None:
        """Raise or end the disk alarm."""
        self("set_disk_free_limit", "1000000GB" if on else "50MB")

    def delete_queue(self, name: str) -> None:
        """Delete a queue, whatever is in it; one that is not there is fine."""
        if name in self.queues():
            self("delete_queue", name)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange; one that is not there is fine."""
        self("eval", f'rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"{name}">>), false, <<"chaos">>).')

    def queues(self) -> dict[str, int]:
        """Every queue, and how many messages are in it (ready and not acked)."""
        rows = (
            line.rsplit("\t", 1) for line in self("list_queues", "--no-table-headers", "name", "messages").splitlines()
        )
        return {name: int(count) for name, count in rows}

    def __repr__(self) -> str:
        return f"<RabbitCtl of {self._broker!r}>"
