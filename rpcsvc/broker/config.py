"""What a private node is told: the text of its configuration file and its environment. Pure: nothing is read or
written.

Every path of the node lies below one folder. Every socket of the node is bound to the loopback interface: AMQP by
`listeners.tcp` and whatever other listener is asked for, Erlang's distribution by `inet_dist_use_interface`, epmd
(Erlang's port mapper) by ERL_EPMD_ADDRESS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import BrokerUrl

HOST = "127.0.0.1"
NODE_NAME = "rpcsvc@localhost"
"""`localhost` resolves where the machine's own name may not. Nodes never meet: each has its own epmd and cookie."""

MARK = "RPCSVC_BROKER_FOLDER"
"""The environment variable by which a process is known to belong to the node in that folder."""

MAX_SCHEDULERS = 4
"""Threads that run Erlang code. More would sit beside the workers that the CPUs are for."""

_KEPT = ("TZ", "TMPDIR")
_SHELL_CHARACTERS = frozenset("'\"\\`$&|;<>()[]{}*?!~#")
_OURS = ("listeners.tcp", "default_user", "default_pass")


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of the node in `folder`."""

    folder: Path

    @property
    def node_file(self) -> Path:
        """Where and what the running node is; there only while it runs."""
        return self.folder / "node.json"

    @property
    def credentials_file(self) -> Path:
        """The node's user and last port; its presence says that the folder is a node's."""
        return self.folder / "rpcsvc-broker.json"

    @property
    def lock_file(self) -> Path:
        return self.folder / "lock"

    @property
    def cookie_file(self) -> Path:
        return self.folder / ".erlang.cookie"

    @property
    def config_file(self) -> Path:
        return self.folder / "rabbitmq.conf"

    @property
    def plugins_file(self) -> Path:
        return self.folder / "enabled_plugins"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> Path:
        return self.logs / "rabbitmq.log"

    @property
    def startup_log(self) -> Path:
        """What the node printed: where a start that failed early says why."""
        return self.logs / "startup.log"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The node's one user, and the port it had last (None before the first start)."""

    user: str
    password: str = field(repr=False)
    port: int | None = None

    def url(self, port: int) -> BrokerUrl:
        """The node's URL on `port`."""
        return BrokerUrl(HOST, port, self.user, self.password)


def check_folder(folder: Path) -> Path:
    """`folder`, if a node can live there.

    RabbitMQ hands the path of its data to a shell without quotes (to ask `df` for the free space). A space only makes
    that question fail, which leaves the node without its disk alarm; a quote makes the node hang for ever.

    Raises:
        ConfigurationError: the path holds a character that means something to a shell.
    """
    bad = sorted({c for c in str(folder) if c in _SHELL_CHARACTERS or not c.isprintable()})
    if bad:
        raise ConfigurationError(
            f"the broker's folder {str(folder)!r} has {bad[0]!r} in its path, which RabbitMQ would hand to a shell;"
            " choose another folder"
        )
    return folder


def rabbitmq_conf(credentials: Credentials, port: int, extra: Mapping[str, str]) -> str:
    """The text of rabbitmq.conf; `extra` adds lines or replaces them.

    Raises:
        ConfigurationError: `extra` sets what the node must decide itself, or holds a line break.
    """
    lines = {
        "listeners.tcp.1": f"{HOST}:{port}",
        # Without a default user there is no guest either.
        "default_user": credentials.user,
        "default_pass": credentials.password,
        # Absolute, because a share of the memory would raise the alarm on a small disk.
        "disk_free_limit.absolute": "50MB",
        "log.console": "false",
        "log.file": "rabbitmq.log",
        "log.file.level": "info",
        "log.file.rotation.size": "10485760",
        "log.file.rotation.count": "3",
    }
    for key, value in extra.items():
        if key.startswith(_OURS):
            raise ConfigurationError(
                f"{key} of a private broker cannot be set: it chooses its listener and user itself"
            )
        if key.startswith("listeners.") and not value.startswith(f"{HOST}:"):
            raise ConfigurationError(f"{key} of a private broker is on {HOST} or nowhere, not at {value!r}")
        if not key or not (key + value).isprintable() or "=" in key:
            raise ConfigurationError(f"{key!r} = {value!r} is not a line of rabbitmq.conf")
        lines[key] = value
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def environment(layout: Layout, inherited: Mapping[str, str], path: str, epmd_port: int, cpus: int) -> dict[str, str]:
    """The node's whole environment.

    It is made anew, not inherited: a RABBITMQ_*, ERL_* or NOTIFY_SOCKET of the caller would change the node, and the
    caller's secrets have no business in a process that outlives it.
    """
    schedulers = max(1, min(cpus, MAX_SCHEDULERS))
    erl = (
        f"-sname {NODE_NAME}",  # named by Erlang itself, RabbitMQ needs no second one to start epmd: 0.2 s less
        f"+S {schedulers}:{schedulers}",
        "+fnu",  # file names are UTF-8 in any locale
        "+B i",  # SIGINT is not for the node
    )
    return {
        **{name: inherited[name] for name in _KEPT if name in inherited},
        MARK: str(layout.folder),
        "PATH": path,
        "HOME": str(layout.folder),  # Erlang's cookie lies there
        "LC_ALL": "C.UTF-8",
        # The distribution, on a port that the system chooses (epmd knows it). Not only an argument of the node: each
        # minute RabbitMQ has a second Erlang look after epmd, and that one would listen everywhere for a moment.
        "ERL_AFLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_CRASH_DUMP_SECONDS": "0",  # no dump: it would hold the password, and take its time
        # RabbitMQ's script then becomes the node, instead of waiting beside it.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_NODENAME": NODE_NAME,
        "RABBITMQ_CONF_ENV_FILE": str(layout.folder / "rabbitmq-env.conf"),  # absent: the system's own is not read
        "RABBITMQ_CONFIG_FILE": str(layout.config_file),
        "RABBITMQ_CONFIG_FILES": str(layout.folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(layout.folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(layout.plugins_file),
        "RABBITMQ_MNESIA_BASE": str(layout.data),
        "RABBITMQ_MNESIA_DIR": str(layout.data / "node"),
        "RABBITMQ_LOG_BASE": str(layout.logs),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(layout.data / "config"),
        "RABBITMQ_SCHEMA_DIR": str(layout.data / "schema"),
        # Bound schedulers would wait for a CPU that a worker burns while another one is idle.
        "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(erl),
    }
