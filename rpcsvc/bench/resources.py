"""Who uses how much CPU and memory: the processes of clients, server, workers and broker, as psutil sees them.

Only what runs on this machine can be seen, and only what this user may look at. A role that is not seen is left out;
nothing is guessed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from ..broker import PrivateBroker
from ..errors import RpcError
from ..settings import BrokerUrl

ROLES = ("client", "server", "workers", "broker")
_FORK_SERVERS = ("rpcsvc: fork server of ", "rpcsvc.workers.forkserver")
"""Stand in the command line of a pool's fork server: its title, or where it has none, what it was started with."""
_ERLANG = "beam"
"""RabbitMQ's process. What forwards a port (of a container, say) listens on it too, and is not the broker."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of one role have used.

    Attributes:
        processes: how many there are.
        cpu: seconds of CPU time since they started; workers that have died meanwhile included.
        rss: bytes of resident memory of all together; what they share is counted for each.
        uss: bytes of memory that would be free if they ended; None if that may not be read.
    """

    processes: int
    cpu: float
    rss: int
    uss: int | None


class Watched:
    """The processes to look at."""

    def __init__(self, clients: Iterable[int], servers: Iterable[int], broker: int | None) -> None:
        self._clients = [found for pid in clients if (found := _process(pid))]
        self._servers = [found for pid in servers if (found := _process(pid))]
        self._broker = None if broker is None else _process(broker)

    def usage(self) -> dict[str, Usage]:
        """What each role has used so far. Workers are looked up anew: they come and go."""
        fork_servers = [child for server in self._servers for child in _children(server)]
        workers = [child for fork_server in fork_servers for child in _children(fork_server)]
        found = {
            "client": _usage(self._clients),
            "server": _usage([*self._servers, *fork_servers]),
            "workers": _usage(workers, reaped_by=fork_servers),
            "broker": _usage([] if self._broker is None else [self._broker]),
        }
        return {role: usage for role, usage in found.items() if usage is not None}


def find_broker(url: BrokerUrl) -> int | None:
    """The broker's process id, if it runs on this machine and this user may see that."""
    if not is_here(url.host):
        return None
    try:
        status = PrivateBroker().status()
        if status.running and status.port == url.port:
            return status.pid
    except RpcError:
        pass
    listening = {one.pid for one in _connections() if one.status == psutil.CONN_LISTEN and one.laddr.port == url.port}
    return next((pid for pid in sorted(filter(None, listening)) if _ERLANG in _name(pid)), None)


def find_servers(url: BrokerUrl, queue: str) -> list[int]:
    """The process ids of rpcsvc servers on this machine that are connected to this broker.

    A server that was told another queue on its command line is not one of them.
    """
    connected = {one.pid for one in _connections() if one.raddr and one.raddr.port == url.port and one.pid is not None}
    commands = [(process, " ".join(_command(process))) for process in psutil.process_iter()]
    fork_servers = [process for process, command in commands if any(mark in command for mark in _FORK_SERVERS)]
    parents = {parent for process in fork_servers if (parent := _parent(process)) in connected}
    return sorted(pid for pid in parents if pid is not None and _serves(_command_of(pid), queue))


def is_here(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        wanted = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    own = {address.address.partition("%")[0] for group in psutil.net_if_addrs().values() for address in group}
    return bool(wanted & (own | {"127.0.0.1", "::1"}))


def _serves(command: Sequence[str], queue: str) -> bool:
    for position, word in enumerate(command):
        if word == "--queue":
            return list(command[position + 1 : position + 2]) == [queue]
        if word.startswith("--queue="):
            return word == f"--queue={queue}"
    return True


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """Seconds of CPU time between two looks, by role."""
    return {role: max(0.0, after[role].cpu - before[role].cpu) for role in ROLES if role in before and role in after}


# ---- psutil, where processes end while one looks -----------------------------------------------------------------


def _usage(processes: Sequence[psutil.Process], reaped_by: Sequence[psutil.Process] = ()) -> Usage | None:
    count, cpu, rss = 0, 0.0, 0
    uss: int | None = 0
    for process in processes:
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        count += 1
        cpu += times.user + times.system
        rss += memory.rss
        own = _uss(process)
        uss = None if uss is None or own is None else uss + own
    for process in reaped_by:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        cpu += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return Usage(count, cpu, rss, uss) if count else None


def _uss(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_full_info().uss)
    except (psutil.Error, AttributeError):
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children())
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _command_of(pid: int) -> list[str]:
    process = _process(pid)
    return [] if process is None else _command(process)


def _name(pid: int) -> str:
    process = _process(pid)
    try:
        return "" if process is None else str(process.name())
    except psutil.Error:
        return ""


def _connections() -> list[Any]:
    try:
        return list(psutil.net_connections("tcp"))
    except psutil.Error:  # macOS shows them to root only
        return []
