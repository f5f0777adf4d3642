"""What an operator may do to a private broker while others use it: RabbitMQ's own commands, pointed at its node.

The node has an Erlang cookie, a port mapper and a HOME of its own; with the node's environment the commands find all
three, and neither root nor the system's RabbitMQ is involved. A command takes about a quarter of a second.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rpcsvc.broker import PrivateBroker, config, install


def run_tool(tool: str, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What one of RabbitMQ's programs prints.

    It reads nothing: from RabbitMQ 4 on, one that asks for a password waits for ever where no terminal answers. And it
    starts no epmd: one that is asked of a node that is gone would, and that would belong to nobody and stay.

    Args:
        environment: of the node that it is asked about, its name included.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    # The node's name is the node's own; and a command is no process of the node, and is not killed with it.
    not_for_it = ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", config.MARK)
    flags = f"{environment.get('ERL_AFLAGS', '')} -start_epmd false"
    done = subprocess.run(
        [str(install.find_server().with_name(tool)), "--quiet", *words],
        env={name: value for name, value in environment.items() if name not in not_for_it} | {"ERL_AFLAGS": flags},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{tool} {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


class RabbitCtl:
    """Commands for the node of a private broker, which must run."""

    def __init__(self, broker: PrivateBroker) -> None:
        self._broker = broker
        self._layout = config.Layout(broker.folder)

    def __call__(self, *words: str, tool: str = "rabbitmqctl") -> str:
        """What a command prints.

        Args:
            words: the command and its arguments; a password is one of them.
            tool: which of RabbitMQ's programs.

        Raises:
            RuntimeError: it failed; with what it printed.
        """
        return run_tool(tool, words, self._layout.folder, self.environment())

    def environment(self) -> dict[str, str]:
        """The node's, by which the commands find it."""
        epmd_port = json.loads(self._layout.node_file.read_bytes())["epmd_port"]
        return config.environment(self._layout, os.environ, install.search_path(), epmd_port, cpus=1)

    @property
    def version(self) -> tuple[int, ...]:
        """RabbitMQ's version, (4, 0, 5) for instance."""
        return tuple(int(number) for number in re.findall(r"\d+", self("version"))[:3])

    # ---- connections

    def close_all_connections(self) -> None:
        """Close every connection, with 320 CONNECTION_FORCED."""
        self("close_all_connections", "on purpose")

    def stop_app(self) -> None:
        """Stop RabbitMQ inside the node, which goes on."""
        self("stop_app")

    def start_app(self) -> None:
        """Start it again."""
        self("start_app")

    def change_password(self, password: str) -> None:
        """Give the node's one user another password."""
        self("change_password", "rpcsvc", password)

    def set_consumer_timeout(self, seconds: int) -> None:
        """Give deliveries on channels that are opened from now on so long to be acked; RabbitMQ looks once a second.

        From 4.3 on classic queues know no such limit.
        """
        self("eval", f"application:set_env(rabbit, consumer_timeout, {seconds * 1000}).")
        self.set_channel_tick(1.0)

    def set_channel_tick(self, seconds: float) -> None:
        """How often RabbitMQ looks for deliveries that are not acked, on channels that are opened from now on."""
        self("eval", f"application:set_env(rabbit, channel_tick_interval, {round(seconds * 1000)}).")

    # ---- alarms

    def set_memory_alarm(self, on: bool) -> None:
        """Raise or end the memory alarm: publishers are blocked meanwhile."""
        self("set_vm_memory_high_watermark", *(("absolute", "1") if on else ("0.6",)))

    def set_disk_alarm(self, on: bool) -> None:
        """Raise or end the disk alarm, likewise."""
        self("set_disk_free_limit", "1000000GB" if on else "50MB")

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """The broker has too little memory, while this lasts."""
        self.set_memory_alarm(True)
        try:
            yield
        finally:
            self.set_memory_alarm(False)

    @contextmanager
    def disk_alarm(self) -> Iterator[None]:
        """The broker has too little disk, while this lasts."""
        self.set_disk_alarm(True)
        try:
            yield
        finally:
            self.set_disk_alarm(False)

    # ---- queues and exchanges

    def delete_queue(self, name: str) -> None:
        """Delete a queue, whosever it is and whatever is in it; one that is not there is fine."""
        resource = f'rabbit_misc:r(<<"/">>, queue, <<"{name}">>)'
        self(
            "eval",
            f"case rabbit_amqqueue:lookup({resource}) of"
            ' {ok, Q} -> rabbit_amqqueue:delete(Q, false, false, <<"test">>); _ -> gone end.',
        )

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange; one that is not there is fine."""
        self("eval", f'rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"{name}">>), false, <<"test">>).')

    def queues(self) -> dict[str, int]:
        """Every queue, and how many messages are in it, ready or not acked."""
        lines = self("list_queues", "--no-table-headers", "name", "messages").splitlines()
        return {name: int(count) for name, _, count in (line.partition("\t") for line in lines if line)}

    def __repr__(self) -> str:
        return f"<RabbitCtl of {self._broker!r}>"
