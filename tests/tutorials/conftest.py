"""The tutorials' programs, ours and the originals, run as their readers run them, with the originals' names.

Each test has a virtual host of its own: `hello`, `task_queue`, `logs` are nobody else's there, and are as the tutorial
declares them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from support.ctl import RabbitCtl
from support.terminal import Start, Terminal

from rpcsvc.broker import PrivateBroker

TUTORIALS = Path(__file__).parents[2] / "clients" / "tutorials"
ORIGINALS = Path(__file__).with_name("originals.py")


@pytest.fixture
def url(broker: PrivateBroker) -> Iterator[str]:
    """The URL of a virtual host that is this test's own."""
    with RabbitCtl(broker).vhost(f"tutorial-{uuid.uuid4().hex[:8]}") as url:
        yield url


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """Ends all programs of a test when it ends, the last one first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def original(url: str, started: ExitStack) -> Start:
    """Starts a program of the tutorials: `original("new_task", "First task.")`, `original("send", older=True)`."""

    def start(name: str, *arguments: str, older: bool = False) -> Terminal:
        flags = ["--older"] if older else []
        return started.enter_context(Terminal(ORIGINALS, *flags, name, *arguments, url=url))

    return start


@pytest.fixture
def ours(url: str, started: ExitStack) -> Start:
    """Starts a program of ours: `ours("two/new_task.py", "First task.")`; `exchange` names one of the tutorials'."""

    def start(path: str, *arguments: str, exchange: str | None = None, to: Path | None = None) -> Terminal:
        environ = {} if exchange is None else {"EXCHANGE": exchange}
        return started.enter_context(Terminal(TUTORIALS / path, *arguments, url=url, environ=environ, to=to))

    return start


@pytest.fixture
def channel(url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """A channel of pika's, for what neither side's programs do."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield connection.channel()
