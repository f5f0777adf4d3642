"""One attempt to start a node: write its files, let the server program loose, wait until it takes AMQP connections.

    files ──> sh ──(in a session of its own)──> rabbitmq-server ──exec──> erl ──exec──> the node, same pid
                                                                                         └─> epmd, by itself

The shell between makes the node nobody's child: it outlives its starter, holds none of its pipes open, hears nothing
of its terminal, and leaves no zombie with a starter that lives on.
"""

from __future__ import annotations

import os
import re
import resource
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..deadline import Deadline
from ..errors import BrokerStartFailed, ConnectionFailed
from ..settings import usable_cpus
from . import config, install, ports, probe
from .config import Credentials, Layout
from .files import Running, read_credentials, write_credentials, write_private, write_running
from .processes import belongs, started_at

_STEP = 0.05
_MAX_OPEN_FILES = 65536
"""Enough for any use of one host; epmd's start takes as long as the limit is high (it closes every number)."""
_OWN_PORT_WITHIN = 2.0
"""Seconds that the port which the node had last may take to become free. Then somebody else has it."""
_EXCERPT = 2000
_PASSING = ("eaddrinuse", "register/listen error")
"""What a node prints if its AMQP port or epmd's was taken meanwhile, or if epmd was late: that detaches itself before
it listens, and on a busy machine the node is there first."""
_TIME_AND_PROCESS = re.compile(r"^\d{4}-\d\d-\d\d [\d:.+]+ (?=\[)|(?<=\]) <[\d.]+>", re.MULTILINE)

# $0 is the server program, $1 its log, $2 the number of files it may open.
_DETACH = 'ulimit -n "$2" 2>/dev/null || :; "$0" </dev/null >>"$1" 2>&1 & echo $!'


class BadMoment(BrokerStartFailed):
    """Somebody took a port between the look at it and its use, or the node's epmd was not up when it was asked.

    The next attempt finds other circumstances: another port for epmd, and a look at the AMQP port.
    """


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start.

    Attributes:
        port: the AMQP port that it must have; None: the one it had last, else `usual_port`, else a free one.
        extra: lines of rabbitmq.conf.
    """

    layout: Layout
    server: Path
    port: int | None
    extra: Mapping[str, str]
    usual_port: int | None = ports.DEFAULT_PORT

    def attempt(self, deadline: Deadline, cancelled: Callable[[], bool]) -> Running | None:
        """Start the node and wait for it; None if `cancelled` began to say so. Whatever was started is left running.

        Raises:
            BadMoment: another attempt may do.
            BrokerStartFailed: the port is taken; or it ended, or was not ready by the deadline, and the sentence ends
                with its log.
        """
        known = read_credentials(self.layout) or Credentials("rpcsvc", secrets.token_hex(24))
        if known.port is not None and self.port in (None, known.port):
            self._wait_for_own_port(known.port, deadline)
        port = ports.choose_port(known.port, self.usual_port) if self.port is None else self.port
        if not ports.is_free(port):
            raise BrokerStartFailed(
                f"port {port} of {config.HOST} is taken; choose another one, or none for a free one"
            )
        credentials = replace(known, port=port)
        epmd_port = ports.random_free_port()
        self._write_files(credentials, port)
        pid = self._spawn(epmd_port)
        running = Running(pid, started_at(pid), credentials.url(port))
        if not self._wait_ready(running, credentials, deadline, cancelled):
            return None
        write_running(self.layout, running, epmd_port)
        return running

    def _wait_for_own_port(self, port: int, deadline: Deadline) -> None:
        """The port that the node had: what was killed may hold it a moment longer than its name."""
        patience = Deadline.after(min(_OWN_PORT_WITHIN, deadline.remaining))
        while not ports.is_free(port) and not patience.expired:
            time.sleep(_STEP)

    def _write_files(self, credentials: Credentials, port: int) -> None:
        layout = self.layout
        text = config.rabbitmq_conf(credentials, port, self.extra)
        # The credentials come first: they mark the folder as ours, and must be there before data that knows them.
        write_credentials(layout, credentials)
        write_private(layout.config_file, text)
        write_private(layout.plugins_file, "[].\n")  # no plugins: faster, and no port of theirs
        if not layout.cookie_file.exists():
            write_private(layout.cookie_file, secrets.token_hex(32), mode=0o400)
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        layout.data.mkdir(mode=0o700, exist_ok=True)
        write_private(layout.startup_log, "")

    def _spawn(self, epmd_port: int) -> int:
        layout = self.layout
        started = subprocess.run(  # noqa: S603 every word is ours or a path
            ["/bin/sh", "-c", _DETACH, str(self.server), str(layout.startup_log), str(_open_files())],
            env=config.environment(layout, os.environ, install.search_path(), epmd_port, usable_cpus()),
            cwd=layout.folder,
            umask=0o077,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        try:
            return int(started.stdout)
        except ValueError:
            raise BrokerStartFailed(f"{self.server} cannot be run: {started.stderr.decode(errors='replace')}") from None

    def _wait_ready(
        self, node: Running, credentials: Credentials, deadline: Deadline, cancelled: Callable[[], bool]
    ) -> bool:
        while not cancelled():
            if not belongs(node.pid, node.created, self.layout.folder):
                raise self._failure("ended during its start", credentials)
            if deadline.expired:
                raise self._failure("was not ready in time", credentials)
            try:
                # With its own password: another broker that took the port first would refuse it.
                probe.open_and_close(node.url, timeout=max(0.1, min(2.0, deadline.remaining)))
            except ConnectionFailed:
                time.sleep(_STEP)
            else:
                return True
        return False

    def _failure(self, what: str, credentials: Credentials) -> BrokerStartFailed:
        printed = printed_text(self.layout, credentials.password)
        message = f"the private RabbitMQ {what}. From its log, in {self.layout.logs}:\n{excerpt(printed)}"
        return BadMoment(message) if any(words in printed for words in _PASSING) else BrokerStartFailed(message)


def printed_text(layout: Layout, password: str) -> str:
    """What the node printed, or its log where it printed nothing; without the password, should it ever be in there."""
    for path in (layout.startup_log, layout.log):
        try:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
        if text:
            return text.replace(password, "***")
    return "(empty)"


def excerpt(text: str) -> str:
    """The telling part of a log: around RabbitMQ's own verdict if it came to one (what follows is Erlang's noise)."""
    text = _TIME_AND_PROCESS.sub("", text)
    verdict = text.find("BOOT FAILED")
    if verdict < 0:
        return text[-_EXCERPT:]
    return text[max(0, verdict - _EXCERPT // 3) : verdict + _EXCERPT]


def _open_files() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
