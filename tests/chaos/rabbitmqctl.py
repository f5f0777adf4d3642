"""What an operator may do to a private broker while others use it: close, stop, alarm, delete.

RabbitMQ's own command does it, with the node's environment: its cookie, its epmd. Each takes about half a second.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from rpcsvc.broker import PrivateBroker, config, install


def rabbitmqctl(broker: PrivateBroker, *words: str, within: float = 60.0) -> str:
    """What `rabbitmqctl words…` prints. Raises AssertionError if it fails."""
    layout = config.Layout(broker.folder)
    epmd_port = json.loads(layout.node_file.read_bytes())["epmd_port"]
    environment = config.environment(layout, os.environ, install.search_path(), epmd_port, 1)
    del environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]  # the node's name is not for the command
    del environment[config.MARK]  # the command is no process of the node, and is not killed with it
    done = subprocess.run(
        [str(install.find_server().with_name("rabbitmqctl")), "--quiet", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode == 0, f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def close_all_connections(broker: PrivateBroker) -> None:
    """Close every connection, with 320 CONNECTION_FORCED."""
    rabbitmqctl(broker, "close_all_connections", "a test")


def stop_app(broker: PrivateBroker) -> None:
    """Stop RabbitMQ, and leave its node running."""
    rabbitmqctl(broker, "stop_app")


def start_app(broker: PrivateBroker) -> None:
    """Start RabbitMQ in its node again."""
    rabbitmqctl(broker, "start_app")


def delete_queue(broker: PrivateBroker, name: str) -> None:
    """Delete a queue, whosever it is and whatever is in it; one that is not there is fine."""
    resource = f'rabbit_misc:r(<<"/">>, queue, <<"{name}">>)'
    rabbitmqctl(
        broker,
        "eval",
        f'case rabbit_amqqueue:lookup({resource}) of {{ok, Q}} -> rabbit_amqqueue:delete(Q, false, false, <<"test">>);'
        " _ -> gone end.",
    )


def change_password(broker: PrivateBroker, password: str) -> None:
    """Give the node's one user another password."""
    rabbitmqctl(broker, "change_password", "rpcsvc", password)


def set_consumer_timeout(broker: PrivateBroker, seconds: int) -> None:
    """Give deliveries on channels that are opened from now on so long to be acked; RabbitMQ looks once a second."""
    rabbitmqctl(
        broker,
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {seconds * 1000}),"
        " application:set_env(rabbit, channel_tick_interval, 1000).",
    )


def queues(broker: PrivateBroker) -> dict[str, int]:
    """The queues, each with its number of messages, ready or not acked."""
    lines = rabbitmqctl(broker, "list_queues", "--no-table-headers", "name", "messages").splitlines()
    return {name: int(count) for name, _, count in (line.partition("\t") for line in lines if line)}


@contextmanager
def memory_alarm(broker: PrivateBroker) -> Iterator[None]:
    """The broker has too little memory, while this lasts."""
    rabbitmqctl(broker, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        yield
    finally:
        rabbitmqctl(broker, "set_vm_memory_high_watermark", "0.6")


@contextmanager
def disk_alarm(broker: PrivateBroker) -> Iterator[None]:
    """The broker has too little disk, while this lasts."""
    rabbitmqctl(broker, "set_disk_free_limit", "1000000GB")
    try:
        yield
    finally:
        rabbitmqctl(broker, "set_disk_free_limit", "50MB")
