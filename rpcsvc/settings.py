"""What holds when nobody says otherwise: names, limits, where the broker is, how many CPUs there are.

Everything here reads the environment or a small file, and nothing else; no connection is made.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .errors import ConfigurationError

DEFAULT_QUEUE = "rpc_queue"
EVENTS = "rpcsvc.events"
"""The topic exchange on which servers say what clients should know. The routing key is the name of the queue."""
QUEUE_DELETED = "rpcsvc.queue-deleted"
"""The type of the event that says: the queue was deleted, and the calls that lay in it went with it."""
DEFAULT_TIMEOUT = 30.0
"""Seconds a call waits for its reply."""
DEFAULT_CONNECT_TIMEOUT = 10.0
"""Seconds to open a connection, all attempts together."""
DEFAULT_HEARTBEAT = 30
"""Seconds; RabbitMQ's guide advises 5 to 20 for fast detection and warns of false alarms under 5."""
FALLBACK_URL = "amqp://guest:guest@127.0.0.1:5672/"
MAX_BODY = 64 * 1024 * 1024
"""The largest request or reply in bytes. RabbitMQ itself refuses messages above 128 MiB (its `max_message_size`)."""

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is and who we are there, after RabbitMQ's URI specification: amqp://user:password@host:port/vhost.

    `str` and `repr` hide the password; `reveal()` is the whole URL.
    """

    host: str
    port: int
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False
    heartbeat: int = DEFAULT_HEARTBEAT

    @classmethod
    def parse(cls, url: str) -> BrokerUrl:
        """Read a URL.

        An empty path, or "/", is the default virtual host "/". The query may hold `heartbeat=SECONDS`.

        Raises:
            ConfigurationError: it is no such URL. The sentence never holds the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            host = parts.hostname
        except ValueError:
            # Not chained: urllib's sentence shows what it took for the port, which may be half of a password.
            raise ConfigurationError("the broker's URL has a bad port or host; " + _URL_FORM) from None
        if parts.scheme not in _PORTS:
            # The scheme alone is shown: the rest of a mistyped URL may hold a password.
            raise ConfigurationError(f"the broker's URL begins with {_scheme_of(url)!r}; " + _URL_FORM)
        if not host:
            raise ConfigurationError("the broker's URL names no host; " + _URL_FORM)
        if "@" in parts.path + parts.query or parts.fragment:
            # What stands there would be shown, and is the rest of a password more likely than a virtual host.
            raise ConfigurationError(
                "in the broker's URL / ? # @ within a password or a virtual host are written %2F %3F %23 %40; "
                + _URL_FORM
            )
        path = parts.path.removeprefix("/")
        if "/" in path:
            raise ConfigurationError("a virtual host with a slash is written with %2F; " + _URL_FORM)
        return cls(
            host=host,
            port=_PORTS[parts.scheme] if port is None else port,
            user="guest" if parts.username is None else unquote(parts.username),
            password="guest" if parts.password is None else unquote(parts.password),
            vhost=unquote(path) if path else "/",
            tls=parts.scheme == "amqps",
            heartbeat=_heartbeat(parts.query),
        )

    def reveal(self) -> str:
        """The URL with the password in it: for a child's environment or a file of mode 0600, never for a log."""
        return self._text(quote(self.password, safe=""))

    def __str__(self) -> str:
        return self._text("***")

    def _text(self, password: str) -> str:
        scheme = "amqps" if self.tls else "amqp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        vhost = "/" if self.vhost == "/" else "/" + quote(self.vhost, safe="")
        query = "" if self.heartbeat == DEFAULT_HEARTBEAT else f"?heartbeat={self.heartbeat}"
        return f"{scheme}://{quote(self.user, safe='')}:{password}@{host}:{self.port}{vhost}{query}"


_URL_FORM = "it is written amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps:// for TLS)"


def _scheme_of(url: str) -> str:
    return url.split(":", 1)[0] + ":" if "://" in url else ""


def _heartbeat(query: str) -> int:
    options = parse_qs(query, keep_blank_values=True)
    unknown = sorted(options.keys() - {"heartbeat"})
    if unknown:
        raise ConfigurationError(f"the broker's URL has an option {unknown[0]!r} that is not known; known: heartbeat")
    if "heartbeat" not in options:
        return DEFAULT_HEARTBEAT
    text = options["heartbeat"][-1]
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise ConfigurationError(f"heartbeat in the broker's URL is whole seconds from 0 to 65535, not {text!r}")
    return int(text)


def find_url(url: str | None = None, environ: Mapping[str, str] = os.environ) -> BrokerUrl:
    """The broker to use: `url`, else RPCSVC_URL, else the running private node, else RabbitMQ's default on this host.

    Raises:
        ConfigurationError: the URL that was found first is malformed.
    """
    return BrokerUrl.parse(url or environ.get("RPCSVC_URL") or private_node_url(broker_folder(environ)) or FALLBACK_URL)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's folder for data that outlives a run (XDG Base Directory Specification), with ours in it."""
    base = environ.get("XDG_STATE_HOME", "")
    # The specification has relative paths ignored.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    return root / "rpcsvc"


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
