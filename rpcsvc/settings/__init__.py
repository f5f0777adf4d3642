"""What holds when nobody says otherwise: names, limits, where the broker is, how many CPUs there are.

Everything here reads the environment or a small file, and nothing else; no connection is made.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ConfigurationError
from ..wire.names import DEFAULT_QUEUE as DEFAULT_QUEUE
from .urls import BrokerUrl as BrokerUrl
from .urls import BrokerUrls as BrokerUrls

QUEUE_TYPES = ("classic", "quorum")
"""What a server can declare its queue as (RabbitMQ's `x-queue-type`)."""
DEFAULT_QUEUE_TYPE = "classic"
"""Calls are not kept on disk: their callers send them again."""
DEFAULT_CAST_QUEUE_TYPE = "quorum"
"""Casts are: nobody sends them again."""
DEFAULT_TIMEOUT = 30.0
"""Seconds a call waits for its reply."""
DEFAULT_CONNECT_TIMEOUT = 10.0
"""Seconds to open a connection, all attempts together."""
FALLBACK_URL = "amqp://guest:guest@127.0.0.1:5672/"


def find_urls(url: str | Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> BrokerUrls:
    """The brokers to use: `url`, else RPCSVC_URL, else the running private node, else RabbitMQ's default on this host.

    Raises:
        ConfigurationError: the URL that was found first is malformed.
    """
    if url is not None and url != "":
        return parse_urls("url", url)
    variable = environ.get("RPCSVC_URL")
    if variable:
        return parse_urls("RPCSVC_URL", variable)
    return BrokerUrls.parse(_own_node_url(environ) or FALLBACK_URL)


def parse_urls(name: str, url: str | Sequence[str]) -> BrokerUrls:
    """The brokers that an option or variable, `name`, says.

    Raises:
        ConfigurationError: it is malformed; the sentence begins with the name.
    """
    try:
        return BrokerUrls.parse(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _own_node_url(environ: Mapping[str, str]) -> str | None:
    try:
        folder = broker_folder(environ)
    except ConfigurationError:
        return None  # no home, no node there
    return private_node_url(folder)


def find_url(url: str | None = None, environ: Mapping[str, str] = os.environ) -> BrokerUrl:
    """The first of those brokers.

    Raises:
        ConfigurationError: as `find_urls`.
    """
    return find_urls(url, environ).nodes[0]


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's folder for data that outlives a run (XDG Base Directory Specification), with ours in it.

    Raises:
        ConfigurationError: this user has no home, and no such folder is named.
    """
    base = environ.get("XDG_STATE_HOME", "")
    # The specification has relative paths ignored.
    if os.path.isabs(base):
        return Path(base) / "rpcsvc"
    try:
        return Path.home() / ".local" / "state" / "rpcsvc"
    except RuntimeError:
        raise ConfigurationError(
            "this user has no home folder (neither HOME nor an entry in the system's list of users), so there is no"
            " place for a private broker; name one: --dir, or XDG_STATE_HOME=/an/absolute/folder"
        ) from None


def broker_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's private RabbitMQ node keeps everything it has."""
    return state_folder(environ) / "broker"


def private_node_url(folder: Path) -> str | None:
    """The URL of the private node in `folder`, or None if none runs there."""
    try:
        node = json.loads((folder / "node.json").read_bytes())
        pid, url = int(node["pid"]), str(node["url"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return url if _is_alive(pid) else None


def _is_alive(pid: int, proc: Path = Path("/proc")) -> bool:
    if pid <= 0:
        return False  # these would ask for a whole process group
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    try:
        # A zombie still has its pid. The state stands behind the name, which ends with the last parenthesis.
        return not (proc / str(pid) / "stat").read_text().rpartition(")")[2].lstrip().startswith("Z")
    except OSError:
        return True  # no /proc here


def usable_cpus(root: Path = Path("/"), affinity: int | None = None) -> int:
    """How many CPUs this process may really use: its affinity, cut down to its cgroup's quota; at least 1.

    Args:
        root: where /proc and /sys are found.
        affinity: the number of CPUs that the scheduler allows; None asks the system.
    """
    allowed = _affinity() if affinity is None else affinity
    quota = _cgroup_quota(root)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS knows no affinity


def _cgroup_quota(root: Path) -> float | None:
    """The tightest CPU quota on the way from this process's cgroup up to the root, in CPUs (v2: cpu.max; v1: cfs)."""
    quotas = [quota for folder in _cgroup_folders(root) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _cgroup_folders(root: Path) -> list[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        own = mount / path.lstrip("/")
        folders += [own, *(parent for parent in own.parents if parent == mount or mount in parent.parents)]
    return folders


def _quota_of(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text().strip() for name in names).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            return int(quota) / int(period)
    return None
