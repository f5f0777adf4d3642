"""What a scenario acts upon: the broker, the network, the servers and their workers, and the time it has.

    clients --> client_network --> broker <-- server_network <-- servers --> workers

The two networks are there only for scenarios that ask for them. Rules: a fault is written down before it is done, and
its cure after. A scenario runs in the runner's own thread and may sleep; `every` and `sleep` end when its time is up.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import pika
import pika.exceptions
import psutil
from support.ctl import RabbitCtl

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import FaultProxy

from .cluster import Cluster
from .crowd import Crowd
from .history import Cured, History, Injected, Measured, Struck, now
from .load import Load
from .pools import Server, Servers

_QUEUE_EMPTY_WITHIN = 3.0
"""Seconds after the last call."""


class Stage:
    """Everything of one run; use it as a context manager. Leaving it ends every process it started.

    Attributes:
        queue: the queue that is served.
        servers: the servers; `servers.running`, `servers.start()`, `stop`, `kill`.
        chance: the run's source of chance.
        folder: where everything is written.
        seconds: that the scenario was given.
    """

    def __init__(
        self,
        broker: PrivateBroker | Cluster,
        folder: Path,
        *,
        servers: int,
        workers: int,
        server_options: tuple[str, ...] = (),
        networks: bool = False,
        url_options: str = "",
        seed: int = 0,
        environ: Mapping[str, str],
        prepare: Callable[[Stage], None] | None = None,
    ) -> None:
        self._broker = broker
        self.queue = f"chaos-{uuid.uuid4().hex[:12]}"
        self.folder = folder
        self.chance = random.Random(seed)
        self._seed = seed
        self._exit = contextlib.ExitStack()
        self._history = History(folder / "stage.jsonl")
        self._networks: tuple[FaultProxy, FaultProxy] | None = None
        self._wanted = (servers, workers, server_options, networks)
        self._environ = environ
        self._prepare = prepare
        self._client_url = broker.url + url_options
        self.seconds = self._end = 0.0
        self._crowd: Crowd | None = None
        self.servers: Servers

    def __enter__(self) -> Self:
        servers, workers, options, networks = self._wanted
        with contextlib.ExitStack() as exits:
            exits.callback(self._history.close)
            exits.callback(self._delete_queue)
            if self._prepare is not None:
                self._prepare(self)
            url = self._client_url
            if networks:
                near, far = (exits.enter_context(FaultProxy("127.0.0.1", self.broker.port)) for _ in range(2))
                self._networks = (near, far)
                self._client_url, url = near.url(url), far.url(url)
            self.servers = Servers(
                url, self.queue, workers=workers, options=options, folder=self.folder, environ=self._environ
            )
            exits.callback(self.servers.close)
            self.servers.start(servers)
            self._exit = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    # ---- the broker

    @property
    def broker(self) -> PrivateBroker:
        """The run's broker."""
        assert isinstance(self._broker, PrivateBroker), "the scenario has asked for a cluster"
        return self._broker

    @property
    def cluster(self) -> Cluster:
        """The run's cluster."""
        assert isinstance(self._broker, Cluster), "the scenario has to ask for a cluster"
        return self._broker

    @property
    def rabbitmqctl(self) -> RabbitCtl:
        """The operator's commands for the broker."""
        return RabbitCtl(self.broker)

    # ---- the network

    @property
    def client_network(self) -> FaultProxy:
        """Between the clients and the broker."""
        assert self._networks is not None, "the scenario has to ask for networks"
        return self._networks[0]

    @property
    def server_network(self) -> FaultProxy:
        """Between the servers and the broker."""
        assert self._networks is not None, "the scenario has to ask for networks"
        return self._networks[1]

    # ---- time

    def begin(self, seconds: float) -> None:
        """The scenario's time begins."""
        self.seconds = seconds
        self._end = now() + seconds

    @property
    def remaining(self) -> float:
        """Seconds until the scenario's time is up."""
        return max(0.0, self._end - now())

    def sleep(self, seconds: float) -> None:
        """Wait, until the time is up at most."""
        time.sleep(max(0.0, min(seconds, self.remaining)))

    def every(self, seconds: float) -> Iterator[int]:
        """Rounds, each beginning so long after the one before it began, until the time is up. The first is at once."""
        number = 0
        while True:
            due = now() + seconds
            yield number
            number += 1
            self.sleep(max(0.0, due - now()))
            if not self.remaining:
                return

    def until(self, condition: Callable[[], bool], *, patience: float = 4.0) -> None:
        """Wait for something that should be so about when the time is up; give up after that time `patience` times.

        Raises:
            TimeoutError: it was not so.
        """
        end = now() + patience * max(self.remaining, 1.0)
        while not condition():
            if now() > end:
                raise TimeoutError("the scenario did not get through with what it had to do")
            time.sleep(0.05)

    # ---- faults

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """A fault lasts as long as the block; what happens in it, and its cure, is the block's own work.

        Calls that are made after the block have to succeed within the figure for the recovery.
        """
        self._history.write(Injected(now(), name))
        try:
            yield
        finally:
            self._history.write(Cured(now(), name))

    def strike(self, number: signal.Signals) -> Server | None:
        """Send a signal to a worker chosen by chance; its server, or None where there is no worker at the moment."""
        pools = [(server, worker) for server in self.servers.running for worker in server.pool()]
        if not pools:
            return None
        server, worker = self.chance.choice(pools)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._history.write(Struck(now(), server.number, worker.pid, number.name))
            worker.send_signal(number)
        return server

    # ---- the load

    def change_load(self, **members: object) -> None:
        """Go on under a load that differs in these members of `Load`: rate, mix, timeouts."""
        assert self._crowd is not None
        self._crowd.change(**members)

    @property
    def calls(self) -> int:
        """How many calls the clients have made."""
        assert self._crowd is not None
        return self._crowd.count()

    # ---- what the runner uses

    def load(self, load: Load) -> Crowd:
        """Let the clients loose."""
        self._crowd = Crowd(self._client_url, self.queue, load, self.folder, seed=self._seed, environ=self._environ)
        self._exit.callback(self._crowd.kill)
        return self._crowd

    def measure(self, when: str) -> None:
        """Write down what the servers and the queue hold. What is still queued has a moment to go."""
        self.servers.measure(when)
        if when == "after":
            end = now() + _QUEUE_EMPTY_WITHIN
            while (queued := self.queued) and now() < end:
                time.sleep(0.1)
            self._history.write(Measured(now(), "broker", when, queued=queued))

    @property
    def queued(self) -> int:
        """How many messages are in the queue that no server has taken; 0 where there is no queue or broker."""
        for url in self._nodes():
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection = pika.BlockingConnection(pika.URLParameters(url))
                try:
                    declared = connection.channel().queue_declare(self.queue, passive=True)
                    return int(declared.method.message_count)
                finally:
                    with contextlib.suppress(pika.exceptions.AMQPError):
                        connection.close()
        return 0

    def _nodes(self) -> list[str]:
        if isinstance(self._broker, Cluster):
            return self._broker.urls
        return [self._broker.url] if self._broker.status().running else []

    def histories(self) -> list[Path]:
        """The files of the history."""
        return sorted(self.folder.glob("*.jsonl"))

    def _delete_queue(self) -> None:
        # The broker may be another run's next; one that is down has nothing to clean.
        if isinstance(self._broker, PrivateBroker) and self._broker.status().running:
            with contextlib.suppress(RuntimeError):
                self.rabbitmqctl.delete_queue(self.queue)

    def __repr__(self) -> str:
        return f"<Stage: {self.servers!r}, queue {self.queue!r}, {self.remaining:.1f} s remaining>"
