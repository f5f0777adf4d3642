"""`rpcsvc broker run | start | stop | status`: the private RabbitMQ node from a shell.

Each says in one line what it did.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..broker import NodeStatus, PrivateBroker
from ..settings.kinds import PORT
from .exits import ExitCode
from .flags import reader
from .parsing import Parser


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add `broker` with its four commands. Each sets `run`: from the parsed arguments to an exit code."""
    broker = subparsers.add_parser(
        "broker",
        help="a private RabbitMQ node on this machine, without root",
        missing="say what to do with the private node: rpcsvc broker start, stop, status or run",
    )
    commands = broker.add_subparsers(dest="broker_command", metavar="COMMAND", required=True)
    for name, what, command in (
        ("run", "start the node and stay until it ends; SIGINT and SIGTERM stop it", _run),
        ("start", "start the node in the background", _start),
        ("stop", "stop the node", _stop),
        ("status", "say whether the node runs, and where", _status),
    ):
        parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        parser.add_argument("--dir", type=Path, metavar="DIR", help="the node's folder (default: in your state folder)")
        if name in ("run", "start"):
            parser.add_argument(
                "--port",
                type=reader("--port", PORT),
                metavar="PORT",
                help="the AMQP port (default: its last one, 5672, or a free one)",
            )
        if name != "stop":
            parser.add_argument("--show-url", action="store_true", help="show the URL with its password")
        parser.set_defaults(run=command)


def _run(options: argparse.Namespace) -> int:
    def started(status: NodeStatus) -> None:
        print(_sentence(status, show_url=options.show_url), flush=True)

    PrivateBroker(options.dir, port=options.port).run(started)
    print("the private RabbitMQ has ended", flush=True)
    return ExitCode.OK


def _start(options: argparse.Namespace) -> int:
    broker = PrivateBroker(options.dir, port=options.port)
    broker.start()
    print(_sentence(broker.status(), show_url=options.show_url))
    return ExitCode.OK


def _stop(options: argparse.Namespace) -> int:
    broker = PrivateBroker(options.dir)
    ran = broker.status().running
    broker.stop()
    print(f"the private RabbitMQ in {broker.folder} {'has stopped' if ran else 'was not running'}")
    return ExitCode.OK


def _status(options: argparse.Namespace) -> int:
    status = PrivateBroker(options.dir).status()
    print(_sentence(status, show_url=options.show_url))
    return ExitCode.OK if status.running else ExitCode.NOT_RUNNING


def _sentence(status: NodeStatus, *, show_url: bool) -> str:
    if status.url is None:
        return f"no private RabbitMQ runs in {status.folder}"
    url = status.url.reveal() if show_url else str(status.url)
    return f"the private RabbitMQ runs at {url} (pid {status.pid}, folder {status.folder})"
