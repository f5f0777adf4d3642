"""What an operator may do to a private broker while others use it: in Erlang, or by RabbitMQ's own commands.

The node has an Erlang cookie, a port mapper and a HOME of its own; with the node's environment the commands find all
three, and neither root nor the system's RabbitMQ is involved. A command takes half a second of a CPU, for it is a
program of Elixir; a few lines of Erlang, which the node itself runs, take some milliseconds. So the methods are Erlang,
and the commands are for tests that are about them or what they print.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rpcsvc.broker import PrivateBroker, config, install
from rpcsvc.settings import BrokerUrl

_USERS = "rabbit_auth_backend_internal"
_WHO = '<<"test">>'
"""On whose behalf, for RabbitMQ's log."""


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


def _binary(text: str) -> str:
    """A text as Erlang's binary."""
    return f"<<{','.join(map(str, text.encode()))}>>"


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

    def erlang(self, text: str) -> str:
        """What Erlang prints that the node runs: expressions with commas between, and none behind the last.

        Raises:
            RuntimeError: they cannot be read, or failed; with Erlang's words.
        """
        environment = self.environment()
        program = shutil.which("erl_call", path=environment["PATH"])
        if program is None:  # some packages of Erlang lack it
            return self("eval", f"{text}, ok.").removesuffix("ok\n")
        cookie = self._layout.cookie_file.read_text()
        done = subprocess.run(
            # Each with a name of its own (-r gives one a second): a node knows nobody twice at a time.
            [program, "-sname", config.NODE_NAME, "-c", cookie, "-h", uuid.uuid4().hex, "-e", "-fetch_stdout"],
            input=f"{text}, done.\n",
            env=environment,
            cwd=self._layout.folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if done.returncode or not done.stdout.endswith("{ok, done}"):
            raise RuntimeError(f"{text}: {done.stdout}{done.stderr}")
        return done.stdout.removesuffix("{ok, done}")

    @property
    def version(self) -> tuple[int, ...]:
        """RabbitMQ's version, (4, 0, 5) for instance."""
        return tuple(
            int(number) for number in re.findall(r"\d+", self.erlang("io:put_chars(rabbit_misc:version())"))[:3]
        )

    def enable_plugin(self, name: str) -> None:
        """Enable a plugin, and start it."""
        self._layout.plugins_file.write_text(f"[{name}].\n")
        # A node takes connections a moment before it is all there.
        self.erlang(f'rabbit:await_startup(), {{ok, _, _}} = rabbit_plugins:ensure("{self._layout.plugins_file}")')

    # ---- connections

    def close_all_connections(self, vhost: str | None = None) -> None:
        """Close every connection, or every one to a virtual host, with 320 CONNECTION_FORCED."""
        which = "[]" if vhost is None else f"[{{vhost, {_binary(vhost)}}}]"
        self.erlang(
            '[rabbit_networking:close_connection(proplists:get_value(pid, C), <<"on purpose">>)'
            f" || C <- rabbit_networking:connection_info_all([pid, vhost]), {which} -- C =:= []]"
        )

    def stop_app(self) -> None:
        """Stop RabbitMQ inside the node, which goes on."""
        self("stop_app")

    def start_app(self) -> None:
        """Start it again."""
        self("start_app")

    def set_channel_tick(self, seconds: float) -> None:
        """How often RabbitMQ looks for deliveries that are not acked, on channels that are opened from now on."""
        self.erlang(f"application:set_env(rabbit, channel_tick_interval, {round(seconds * 1000)})")

    @contextmanager
    def consumer_timeout(self, seconds: float, *, looks_every: float) -> Iterator[None]:
        """Deliveries on channels that are opened while this lasts have so long to be acked, and are looked at so often.

        From 4.3 on classic queues know no such limit.
        """
        timeout, tick = round(seconds * 1000), round(looks_every * 1000)
        with self._set("consumer_timeout", timeout), self._set("channel_tick_interval", tick):
            yield

    @contextmanager
    def max_message_size(self, size: int) -> Iterator[None]:
        """Channels that are opened while this lasts take no message of more bytes."""
        with self._set("max_message_size", size):
            yield

    @contextmanager
    def _set(self, name: str, value: int) -> Iterator[None]:
        """Give one of RabbitMQ's settings a value while this lasts; some releases keep a copy of some."""
        before = self.erlang(f'io:format("~w", [application:get_env(rabbit, {name}, undefined)])')
        has_copy = self.erlang(f'io:format("~w", [persistent_term:get({name}, no) =/= no])') == "true"
        self._set_now(name, str(value), has_copy=has_copy)
        try:
            yield
        finally:
            self._set_now(name, before, has_copy=has_copy)

    def _set_now(self, name: str, value: str, *, has_copy: bool) -> None:
        copy = f", persistent_term:put({name}, {value})" if has_copy else ""
        self.erlang(f"application:set_env(rabbit, {name}, {value}){copy}")

    # ---- users and virtual hosts

    def add_user(self, name: str, password: str) -> None:
        """Add a user without any permission."""
        self.erlang(f"ok = {_USERS}:add_user({_binary(name)}, {_binary(password)}, {_WHO})")

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        self.erlang(f"ok = {_USERS}:change_password({_binary(name)}, {_binary(password)}, {_WHO})")

    def delete_user(self, name: str) -> None:
        """Delete a user; its connections go on."""
        self.erlang(f"ok = {_USERS}:delete_user({_binary(name)}, {_WHO})")

    def permit(self, user: str, configure: str, write: str, read: str, *, vhost: str = "/") -> None:
        """Permit a user what these patterns match, and nothing else."""
        patterns = ", ".join(_binary(pattern) for pattern in (configure, write, read))
        self.erlang(f"ok = {_USERS}:set_permissions({_binary(user)}, {_binary(vhost)}, {patterns}, {_WHO})")

    @contextmanager
    def vhost(self, name: str) -> Iterator[str]:
        """A virtual host, and a user of that name who may do all in it, while this lasts; the user's URL."""
        password = secrets.token_hex()
        self.erlang(f"ok = rabbit_vhost:add({_binary(name)}, {_WHO})")
        try:
            self.add_user(name, password)
            self.permit(name, ".*", ".*", ".*", vhost=name)
            yield replace(BrokerUrl.parse(self._broker.url), user=name, password=password, vhost=name).reveal()
        finally:
            self.delete_vhost(name)
            self.delete_user(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it."""
        self.erlang(f"rabbit_vhost:delete({_binary(name)}, {_WHO})")

    def forbid_connections(self, vhost: str) -> None:
        """Let nobody connect to a virtual host; who is there stays."""
        self.erlang(
            f"""ok = rabbit_vhost_limit:parse_set({_binary(vhost)}, <<"{{\\"max-connections\\": 0}}">>, {_WHO})"""
        )

    def allow_connections(self, vhost: str) -> None:
        """Let everybody connect again."""
        self.erlang(f"ok = rabbit_vhost_limit:clear({_binary(vhost)}, {_WHO})")

    def forbid_channels(self, user: str) -> None:
        """Let a user open no channel; those that are open stay."""
        self.erlang(f"""ok = {_USERS}:set_user_limits({_binary(user)}, <<"{{\\"max-channels\\": 0}}">>, {_WHO})""")

    def allow_channels(self, user: str) -> None:
        """Let it open channels again."""
        self.erlang(f'ok = {_USERS}:clear_user_limits({_binary(user)}, <<"max-channels">>, {_WHO})')

    # ---- alarms

    def set_memory_alarm(self, on: bool) -> None:
        """Raise or end the memory alarm: publishers are blocked meanwhile."""
        self.erlang(f"vm_memory_monitor:set_vm_memory_high_watermark({'{absolute, 1}' if on else '0.6'})")

    def set_disk_alarm(self, on: bool) -> None:
        """Raise or end the disk alarm, likewise."""
        self.erlang(f"rabbit_disk_monitor:set_disk_free_limit({10**15 if on else 50_000_000})")

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
        resource = f'rabbit_misc:r(<<"/">>, queue, {_binary(name)})'
        self.erlang(
            f"case rabbit_amqqueue:lookup({resource}) of"
            f" {{ok, Q}} -> rabbit_amqqueue:delete(Q, false, false, {_WHO}); _ -> gone end"
        )

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange; one that is not there is fine."""
        self.erlang(f'rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, {_binary(name)}), false, {_WHO})')

    def queues(self, what: str = "messages") -> dict[str, int]:
        """Every queue, and how many messages (ready or not acked) or consumers it has."""
        lines = self.erlang(
            'F = fun([{name, {resource, _, _, N}}, {_, C}]) -> io:format("~ts~n~w~n", [N, C]) end,'
            f' [F(Q) || Q <- rabbit_amqqueue:info_all(<<"/">>, [name, {what}])]'
        ).splitlines()
        return {name: int(count) for name, count in zip(lines[::2], lines[1::2], strict=True)}

    def __repr__(self) -> str:
        return f"<RabbitCtl of {self._broker!r}>"
